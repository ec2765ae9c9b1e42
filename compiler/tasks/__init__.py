"""What a model can be trained for: one file is one task, found because it lies here."""
