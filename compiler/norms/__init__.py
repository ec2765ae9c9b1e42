"""Batch norms: what their factors are, and through which calls they move to a layer that takes them."""
