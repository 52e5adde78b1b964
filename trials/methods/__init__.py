"""The methods: one paper, one file. The folder is the list."""
