"""lowbit: compile any PyTorch module into a small, exact, integer-only program."""
