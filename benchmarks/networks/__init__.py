"""The networks of the benchmarks, as plain modules: one file each."""
