"""Sketches: networks as a line of text, the words they are written in, and what passes make of them."""
