"""Seeded bugs of the pass that rounds biases and of its law."""

from mutant import Mutant

PASS = "passes/round_biases.py"
LAW = "tests/test_pass_laws.py::test_law"
STEPS = "tests/test_laws.py"

MUTANTS: list[Mutant] = [
    Mutant("twice as coarse", PASS, "2.0 ** math.floor(", "2.0 ** math.ceil(", f"{LAW}[meaning-round_biases]"),
    Mutant("down, not to the nearest", PASS, "/ unit + 0.5)", "/ unit)", f"{LAW}[meaning-round_biases]"),
    Mutant(
        "a factor behind a layer is passed",
        PASS,
        "        if node.target not in CLAMPS | CARRIERS:\n            return None\n",
        "",
        "tests/test_round_biases.py::test_what_is_scaled_before_it_is_rounded_stays",
    ),
    Mutant(
        "the accumulator has another unit",
        PASS,
        '_scale(graph, source) * _scale(graph, given["weight"])',
        '_scale(graph, given["weight"])',
        "tests/test_round_biases.py::test_biases_are_whole_numbers_of_units",
    ),
    Mutant(
        "the law looks at nothing",
        "testing/laws.py",
        "for node, x, _, _ in rounded(new, given):",
        "for node, x, _, _ in []:",
        f"{STEPS}::test_a_law_can_fail",
    ),
]
