"""Grids of a graph: which of its values lie on one, which share one, and how wide each is."""
