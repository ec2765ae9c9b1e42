"""The fixed-point integer program: its records, operations, verifier and text. It knows no target and no graph."""
