"""What lowbit is measured against: each peer by its own public way, at the same widths."""
