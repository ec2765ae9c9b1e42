"""Bugs of fake quantization in C, on its way to memory: places, layouts, shares of threads."""

from mutant import Mutant

FUSED = "compiler/fused.py"
AGREE = "tests/test_fused.py::test_both_forms_agree"
PENALTIES = "tests/test_fused.py::test_what_penalties_ask_agrees"
TILE = "tests/test_fused.py::test_shares_tile_the_memory"
TAKEN = "tests/test_fused.py::test_who_goes_where"

MUTANTS: list[Mutant] = [
    Mutant("a gradient is read in x's order", FUSED, "if grad.stride() != x.stride():", "if grad.dim() == 0:", AGREE),
    Mutant("halves are as wide as floats", FUSED, "tensor.itemsize * count", "4 * count", AGREE),
    Mutant("threads begin with the first scale", FUSED, "by_x), *behind(span.row,", "by_x), *behind(0,", AGREE),
    Mutant(
        "the first thread's sums are all",
        FUSED,
        "return torch.stack(sums).sum(0) if scale.numel() == 1 else torch.cat(sums)",
        "return torch.cat(sums) if scale.numel() > 1 else sums[0]",
        PENALTIES,
    ),
    Mutant(
        "squares and products are swapped",
        FUSED,
        "return out, sums[:, 0].sum(), sums[:, 1]",
        "return out, sums[:, 1].sum(), sums[:, 0]",
        PENALTIES,
    ),
    Mutant("the last share is left out", "compiler/threads.py", "range(threads + 1)]", "range(threads)]", TILE),
    Mutant("holes are taken for values", FUSED, "return x.is_contiguous() or (", "return True or (", TAKEN),
    Mutant("scales of another axis are taken for rows'", FUSED, "return axis == 0 and ", "return ", TAKEN),
]
