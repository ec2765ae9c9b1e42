"""From a frozen graph to the integer program."""
