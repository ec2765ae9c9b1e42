"""Seeded bugs of what moves, joins and upsamples integers, and of transposed convolutions."""

from mutant import Mutant

CALLS = "tests/test_lowering_calls.py"
MOVES = f"{CALLS}::test_calls_move_the_exact_integers"
IMAGES = f"{MOVES}[(4, 5, 6)]"
LAYERS = f"{CALLS}::test_layers_have_the_exact_integers"

MUTANTS: list[Mutant] = [
    Mutant(
        "b stands before a",
        "backends/fixed/ops/concat.py",
        "np.concatenate([a, b], axis + 1)",
        "np.concatenate([b, a], axis + 1)",
        "tests/test_op_laws.py::test_value_is_the_oracles[concat]",
    ),
    Mutant(
        "a place outside is taken",
        "backends/fixed/ops/take.py",
        "call.x.shape[call.axis] - 1)",
        "call.x.shape[call.axis])",
        "tests/test_op_laws.py::test_constraint_broken_alone_is_refused",
    ),
    Mutant(
        "places are evenly spaced if their ends are",
        "backends/lowering/moving.py",
        "(len(distances) == 1 and min(distances) > 0)",
        "min(distances) > 0",
        IMAGES,
    ),
    Mutant(
        "a fraction is taken from the wrong side",
        "backends/lowering/rules/interpolating.py",
        "rows[j, i] += 1 - (place - i)",
        "rows[j, i] += place - i",
        IMAGES,
    ),
    Mutant(
        "corners are aligned always",
        "backends/lowering/rules/interpolating.py",
        "        if corners:",
        "        if corners or m:",
        IMAGES,
    ),
    Mutant(
        "a window beyond the border is left out",
        "backends/lowering/rules/max_pool.py",
        "max(p, (out - 1) * s + d * (k - 1) + 1 - n - p)",
        "p",
        f"{MOVES}[(4, 6, 8)]",
    ),
    Mutant(
        "a transposed kernel is not turned around",
        "backends/lowering/rules/transposed.py",
        "tuple(range(2, w.ndim))",
        "()",
        f"{LAYERS}[conv_transpose2d]",
    ),
    Mutant(
        "groups of a transposed convolution are mixed",
        "backends/lowering/rules/transposed.py",
        "w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)",
        "w.reshape(w.shape[0] // groups, groups, *w.shape[1:]).transpose(1, 2, 0, *range(3, w.ndim + 1))",
        f"{LAYERS}[grouped conv_transpose2d]",
    ),
]
