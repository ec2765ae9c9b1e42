"""Masks of zeros and ones on weights: where they stand, when `step()` sets them anew, and by which criterion."""
