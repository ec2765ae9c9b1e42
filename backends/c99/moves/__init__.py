"""One file, one op that only puts elements elsewhere."""
