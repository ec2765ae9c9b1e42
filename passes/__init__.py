"""One file, one pass. Each imports the compiler and torch, never a sibling, never a backend."""
