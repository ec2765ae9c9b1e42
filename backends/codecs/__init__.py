"""One file, one entropy coder."""
