"""Files that `lowbit emit` writes, with @names@ to fill in."""
