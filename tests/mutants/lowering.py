"""Seeded bugs of the lowering to integers."""

from mutant import Mutant

LOWERING, VALUES = "tests/test_lowering_laws.py", "tests/test_lowering_values.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a shift of one too few",
        "backends/lowering/real.py",
        "shift = 24 - exponent",
        "shift = 23 - exponent",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "a bias is not scaled",
        "backends/lowering/accumulate.py",
        "units = real / scale",
        "units = real",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "what rounding leaves out of a bias is lost",
        "backends/lowering/accumulate.py",
        "rest=units - integers)\n    parts =",
        "rest=0 * units)\n    parts =",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "too few bits of a bias are kept",
        "backends/lowering/rules/grid.py",
        "math.log2(ratio / (4 * TIPPED))",
        "math.log2(ratio / (4000 * TIPPED))",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "a channel without weights keeps its scale",
        "backends/lowering/accumulate.py",
        "free = ~weight.reshape(outputs, -1).any(axis=1) &",
        "free = (outputs < 0) &",
        f"{LOWERING}::test_channels_without_weights",
    ),
    Mutant(
        "padding is not zero",
        "backends/lowering/convolving.py",
        "pad_value=zero",
        "pad_value=zero + 1",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "an average is a sum",
        "backends/lowering/rules/average.py",
        "x.scale / divisor",
        "x.scale",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "a term of a sum takes the other's scale",
        "backends/lowering/rules/grid.py",
        "multiplier_b=m_b",
        "multiplier_b=m_a",
        f"{LOWERING}::test_integers_are_those_of_the_graph",
    ),
    Mutant(
        "a mask is rounded to fewer bits than it may have",
        "backends/lowering/factors.py",
        "BITS = 22",
        "BITS = 7",
        f"{VALUES}::test_integers_are_those_of_the_graph[sums]",
    ),
    Mutant(
        "a factor is cut off",
        "backends/lowering/factors.py",
        "return np.floor(k / step + 0.5)",
        "return np.floor(k / step / 256) * 256 + 0 * (0.5)",
        f"{VALUES}::test_integers_are_those_of_the_graph[sums]",
    ),
    Mutant(
        "blocks are joined along the axis beside",
        "backends/lowering/layouts.py",
        "place = _numbered(whole[0].axes)[0][axis][0]",
        "place = _numbered(whole[0].axes)[0][axis - 1][0]",
        f"{VALUES}::test_integers_are_those_of_the_graph[rows]",
    ),
]
