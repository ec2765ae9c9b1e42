"""lowbit in the training loops of other packages; each file needs its package, an extra of `lowbit`."""
