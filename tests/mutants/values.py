"""Seeded bugs of functions, products, sums with constants and averages: their ops, kernels and lowering."""

from mutant import Mutant

OPS, TARGETS, VALUES = "tests/test_op_laws.py", "tests/test_target_laws.py", "tests/test_lowering_values.py"
EDGES = f"{TARGETS}::test_every_op_is_the_interpreters_on_its_edges"
INTEGERS = f"{VALUES}::test_integers_are_those_of_the_graph"
TABLE, MULTIPLY, KERNELS = "backends/fixed/ops/table.py", "backends/fixed/ops/multiply.py", "backends/kernels.py"
ARITHMETIC, AFFINE = "backends/lowering/rules/arithmetic.py", "backends/lowering/affine.py"
PRODUCTS = "backends/lowering/products.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "range of a table leaves out its last value",
        TABLE,
        "seen.hi - call.first + 1]",
        "max(seen.hi, seen.lo + 1) - call.first]",
        f"{OPS}::test_output_has_the_shape_and_lies_in_the_range[table]",
    ),
    Mutant(
        "a table's rows lie along the batch",
        TABLE,
        "-1 if i == axis + 1 and rows > 1",
        "-1 if i == axis and rows > 1",
        f"{OPS}::test_value_is_the_oracles[table]",
    ),
    Mutant(
        "a product forgets the second zero point",
        MULTIPLY,
        "(a - zero_a) * (b - zero_b)\n    return product",
        "(a - zero_a) * b\n    return product",
        f"{OPS}::test_value_is_the_oracles[multiply]",
    ),
    Mutant(
        "range of a product looks at its ends alone",
        MULTIPLY,
        "return product(*centred(call))\n\n\ndef _value",
        "a, b = centred(call)\n    return Range(a.lo * b.lo, a.hi * b.hi)\n\n\ndef _value",
        f"{OPS}::test_output_has_the_shape_and_lies_in_the_range[multiply]",
    ),
    Mutant("a kernel looks past the end", KERNELS, "call.first, last), ", "call.first, last + 1), ", EDGES),
    Mutant("a kernel looks into the first row", KERNELS, "* entries - call.first", "* 0 - call.first", EDGES),
    Mutant("a kernel's product keeps a zero point", KERNELS, "(a - call.zero_a) *", "a *", EDGES),
    Mutant(
        "a table begins one later",
        "backends/lowering/curves.py",
        "reals.reshape(1, -1), seen.lo)",
        "reals.reshape(1, -1), seen.lo + 1)",
        f"{INTEGERS}[curves]",
    ),
    Mutant(
        "the values of a table are not rounded up",
        "backends/lowering/rules/grid.py",
        "+ kind(0.5))",
        "+ kind(0.0))",
        f"{INTEGERS}[curves]",
    ),
    Mutant("a difference is a sum", ARITHMETIC, "alpha if target in _SUMS else -alpha)", "alpha)", f"{INTEGERS}[sums]"),
    Mutant("rsub is sub", ARITHMETIC, "Sum(b, a, -alpha)", "Sum(a, b, -alpha)", f"{INTEGERS}[sums]"),
    Mutant("a product has one scale", PRODUCTS, "a.scale * b.scale", "a.scale", f"{INTEGERS}[sums]"),
    Mutant(
        "what a bias lacks is lost",
        AFFINE,
        "offset = (np.zeros(1) if x.rest is None else x.rest) - x.zero",
        "offset = np.zeros(1) - x.zero",
        f"{INTEGERS}[sums]",
    ),
    Mutant(
        "an input beside a far larger constant keeps its unit",
        AFFINE,
        "scale=x.scale * 2.0**bits",
        "scale=x.scale",
        f"{INTEGERS}[rows]",
    ),
    Mutant(
        "the room beside a constant is a bit too small",
        AFFINE,
        "np.floor(np.log2(np.maximum(units, 1))) + 1)",
        "np.floor(np.log2(np.maximum(units, 1))))",
        f"{INTEGERS}[rows]",
    ),
    Mutant(
        "a sum is an average",
        "backends/lowering/rules/average.py",
        "1 if node.node.target in _SUMS else count",
        "count",
        f"{INTEGERS}[averages]",
    ),
    Mutant(
        "uneven windows have one weight",
        "backends/lowering/windows.py",
        "(least // counts)[:, None]",
        "(least // counts)[0]",
        f"{INTEGERS}[averages]",
    ),
    Mutant(
        "windows reach behind the padding",
        "backends/lowering/windows.py",
        "min(i * s - p + k, n + p)",
        "i * s - p + k",
        f"{INTEGERS}[averages]",
    ),
    Mutant(
        "each sum is rounded",
        "compiler/grids/edges.py",
        "alike = node.target in TOTALS or (",
        "alike = (",
        f"{VALUES}::test_sums_over_one_axis_after_another_are_rounded_once",
    ),
]
