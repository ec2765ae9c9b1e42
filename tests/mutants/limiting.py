"""Bugs of limits that run with the grid behind them."""

from mutant import Mutant

LIMITING = "compiler/limiting.py"
AGREE = "tests/test_limiting.py::test_both_ways_agree"
CALL = "tests/test_limiting.py::test_the_limits_are_those_of_the_call"
READERS = "tests/test_limiting.py::test_a_limit_with_other_readers_stays"
SOME = "tests/test_limiting.py::test_some_values_are_chosen_once"

MUTANTS: list[Mutant] = [
    Mutant("a ReLU ends at six", LIMITING, 'given.get("max_val", math.inf)', 'given.get("max_val", 6.0)', CALL),
    Mutant("the gradient passes limits", LIMITING, "ctx.grid[-1], ctx.limits)", "ctx.grid[-1])", AGREE),
    Mutant(
        "whoever reads is forgotten",
        LIMITING,
        "all(user in rounding or _looking(user) for user in node.users)",
        "True",
        READERS,
    ),
    Mutant(
        "samples are not limited", LIMITING, "F.hardtanh(some(x.detach(), count), bottom, top)", "some(x, count)", SOME
    ),
    Mutant(
        "chosen values are thinned",
        "compiler/samples.py",
        "runs[:: x.numel() // count]",
        "runs[:: x.numel() // count + 1]",
        SOME,
    ),
]
