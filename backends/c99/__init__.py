"""A program as one C99 file: integers only, no heap, one static arena."""
