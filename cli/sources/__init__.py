"""The kinds of SOURCE: a Python factory, a model of an installed zoo, a saved program. `cli/source.py` chooses."""
