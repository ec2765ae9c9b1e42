"""Seeded bugs of the passes."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
REFUSES = "tests/test_pass_laws.py::test_refuses"

MUTANTS: list[Mutant] = [
    Mutant(
        "a rule that never matches",
        "passes/freeze.py",
        '"the scale is a constant already" if',
        '"the scale is a constant already" if match.root or',
        "tests/test_census.py::test_every_rule_fires[freeze]",
    ),
    Mutant(
        "a guard that never refuses",
        "passes/freeze.py",
        'if computed else "it is an activation"',
        'if computed or True else ""',
        "tests/test_census.py::test_every_guard_refuses[freeze]",
    ),
    Mutant(
        "codes are frozen along another axis",
        "passes/freeze.py",
        "quantize(w, scale, zero, lo, hi, axis, odd)",
        "quantize(w, scale[:1], zero, lo, hi, axis, odd)",
        f"{LAW}[meaning-freeze]",
    ),
    Mutant(
        "half the pull of the square error",
        "passes/attach_msqe.py",
        "new_tensor(ctx.weights) * 2",
        "new_tensor(ctx.weights)",
        f"{LAW}[gradient-attach_msqe]",
    ),
    Mutant(
        "half the pull of the partial square",
        "passes/attach_partial_l2.py",
        "pull = 2 * grad /",
        "pull = grad /",
        f"{LAW}[gradient-attach_partial_l2]",
    ),
    Mutant(
        "activations push on weights",
        "passes/attach_msqe.py",
        "xs = [edit.call(_aten.detach.default, x) for x in xs]",
        "xs = list(xs)",
        f"{LAW}[gradient-attach_msqe]",
    ),
]
