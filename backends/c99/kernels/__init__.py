"""One file, one way to compute some ops in C."""
