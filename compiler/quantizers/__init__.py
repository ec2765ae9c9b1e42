"""Quantizers: how the values of an edge come onto a grid. One file = one quantizer."""
