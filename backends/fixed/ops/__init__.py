"""One file, one integer operation."""
