"""What people look at: a graph by its modules, its multiply-accumulates, two graphs' difference, why a rule fired."""
