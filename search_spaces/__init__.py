"""Studies as packaged YAML: the embedded demo, one template per paper, a real one."""
