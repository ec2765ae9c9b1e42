"""What a graph becomes: the integer program, its targets, its coders and its file."""
