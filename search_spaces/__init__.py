"""Studies as packaged YAML: the embedded demo, those of four papers, a small real one."""
