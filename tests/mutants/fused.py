"""Bugs of fake quantization in C, on its way to memory: places, layouts, shares of threads."""

from mutant import Mutant

FUSED = "compiler/fused.py"
AGREE = "tests/test_fused.py::test_both_forms_agree"
TILE = "tests/test_fused.py::test_shares_tile_the_memory"
TAKEN = "tests/test_fused.py::test_who_goes_where"

MUTANTS: list[Mutant] = [
    Mutant("a gradient is read in x's order", FUSED, "if grad.stride() != x.stride():", "if grad.dim() == 0:", AGREE),
    Mutant("threads begin with the first scale", FUSED, "(span.row, scale), *sums", "(0, scale), *sums", AGREE),
    Mutant("threads write their sums over one another", FUSED, "span.part if one", "0 if one", AGREE),
    Mutant("the last share goes on behind the end", FUSED, "min(each, rows - row)", "each", TILE),
    Mutant("holes are taken for values", FUSED, "return x.is_contiguous() or (", "return True or (", TAKEN),
    Mutant("scales of another axis are taken for rows'", FUSED, "return axis == 0 and ", "return ", TAKEN),
]
