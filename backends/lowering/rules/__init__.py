"""One file, one kind of call and how it becomes integer steps."""
