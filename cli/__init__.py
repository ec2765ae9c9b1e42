"""The command line: a thin skin over `lowbit.api`."""
