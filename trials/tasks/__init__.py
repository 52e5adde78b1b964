"""The tasks: one benchmark family, one file. The folder is the list."""
