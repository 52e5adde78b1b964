"""The commands: each file has a `run` that takes parsed arguments and returns an exit status."""
