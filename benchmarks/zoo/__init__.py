"""The capture zoo: models, an oracle of its own, a runner in subprocesses, and the report."""
