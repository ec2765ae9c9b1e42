"""Node by node: the float model, the fake-quantized one and the integer program, beside each other."""
