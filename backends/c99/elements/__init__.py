"""One file, one op that computes each element from those in its place: any loop can end in it."""
