"""The machine: capture, graphs, patterns, rewriting, recipes. Knows torch.fx; knows no pass and no target."""
