"""The fixed-point integer program: records, verifier, interpreter, text, lowering."""
