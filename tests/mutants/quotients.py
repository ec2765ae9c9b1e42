"""Seeded bugs of what two values need: products of matrices, quotients, norms, and the lowering to them."""

from mutant import Mutant

OPS, TARGETS = "tests/test_op_laws.py", "tests/test_target_laws.py"
ROOTS = f"{TARGETS}::test_integer_roots_are_exact_where_floats_are_not"
EDGES = f"{TARGETS}::test_every_op_is_the_interpreters_on_its_edges"
MATMUL, DIVIDE = "backends/fixed/ops/matmul.py", "backends/fixed/ops/divide.py"
STANDARDIZE, DIVIDING, KERNELS = "backends/fixed/ops/standardize.py", "backends/dividing.py", "backends/kernels.py"

VALUES, WIDE = "tests/test_lowering_values.py", "tests/test_lowering_wide.py"
ROWS, CHOICES = (f"{VALUES}::test_integers_are_those_of_the_graph[{table}]" for table in ("rows", "choices"))
NORM, EXACT, WIDENING = (f"backends/lowering/{name}.py" for name in ("rules/norm", "exact", "widening"))
ARITHMETIC, PADDING = "backends/lowering/rules/arithmetic.py", "backends/lowering/rules/padding.py"
BORDERS = "tests/test_lowering_calls.py::test_calls_move_the_exact_integers"
DIVISORS, DEVIATION = "compiler/grids/divisors.py", "backends/lowering/rules/deviation.py"
EXTREMES, CHOOSING = "backends/lowering/rules/extremes.py", "backends/lowering/rules/choosing.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "calibration lets divisors be negative",
        "compiler/calibrate.py",
        'if given["lo"] > given["zero"] and',
        "if False and",
        "tests/test_divisors.py",
    ),
    Mutant(
        "verification does not look at divisors",
        "backends/verification/verify.py",
        "int((found < 0).sum()) if pair.divides else 0",
        "0",
        "tests/test_divisors.py",
    ),
    Mutant(
        "a matrix product forgets a zero point",
        MATMUL,
        "(b - zero_b).swapaxes",
        "b.swapaxes",
        f"{OPS}::test_value_is_the_oracles[matmul]",
    ),
    Mutant(
        "the proof of a matrix product counts rows",
        MATMUL,
        "call.a.shape[-1]) in INT32",
        "call.b.shape[-2]) in INT32",
        f"{OPS}::test_constraint_broken_alone_is_refused[matmul_C1]",
    ),
    Mutant(
        "wide matrix products run in float32",
        KERNELS,
        'call.a.shape[-1]) in SINGLE else "float64"',
        'call.a.shape[-1]) in SINGLE else "float32"',
        EDGES,
    ),
    Mutant(
        "a quotient is not rounded",
        DIVIDE,
        "(a * multiplier + (b << (shift - 1)))",
        "(a * multiplier)",
        f"{OPS}::test_value_is_the_oracles[divide]",
    ),
    Mutant(
        "a quotient's range looks at its ends alone",
        DIVIDE,
        "for p in (a.lo, a.hi) for q in (b.lo, b.hi)]",
        "for p, q in ((a.lo, b.lo), (a.hi, b.hi))]",
        f"{OPS}::test_output_has_the_shape_and_lies_in_the_range[divide]",
    ),
    Mutant(
        "a kernel divides by what is below one",
        DIVIDING,
        ".clip(1, WIDE)\n        found = quotient",
        "\n        found = quotient",
        EDGES,
    ),
    Mutant(
        "a mean is subtracted where none should be",
        STANDARDIZE,
        "mean = centred * c.sum",
        "mean = c.sum",
        f"{OPS}::test_value_is_the_oracles[standardize]",
    ),
    Mutant(
        "a square root is one too large",
        DIVIDING,
        'near = near - arrays.cast(near * near > x, "int64")\n    ',
        "",
        ROOTS,
    ),
    Mutant("epsilon is forgotten", DIVIDING, " + call.epsilon", "", EDGES),
    Mutant("epsilon stays a real number", "backends/lowering/rows.py", " / float(x.scale[0]) ** 2", "", ROWS),
    Mutant(
        "the sign of a divisor is lost", ARITHMETIC, "sign, sign, 2, 0, 1 - 2 * b.zero)", "sign, sign, 0, 0, 1)", ROWS
    ),
    Mutant("the magnitude of a divisor keeps its sign", ARITHMETIC, "held(node, magnitude, 0, top)", "b.value", ROWS),
    Mutant(
        "a border off the grid is doubled",
        PADDING,
        '0.0, float(node.given["value"])',
        '0.0, 2 * float(node.given["value"])',
        BORDERS,
    ),
    Mutant("grids of divisors have a zero", DIVISORS, "            found.add(node)", "            pass", ROWS),
    Mutant(
        "a guarded divisor can be negative", DIVISORS, '0 < given["other"] <= SMALL', '0 < given["other"] < 0', ROWS
    ),
    Mutant(
        "a deviation is of the numbers themselves", DEVIATION, "x.value, total, n, -1)", "x.value, total, n, 0)", ROWS
    ),
    Mutant("a deviation counts every number", DEVIATION, "n - _correction(node)", "n", ROWS),
    Mutant("a length is a mean", DEVIATION, "eps=0.0), x, math.sqrt(n))", "eps=0.0), x, 1.0)", ROWS),
    Mutant("a length looks at what is positive", DEVIATION, "reflected(node, x.value, 2 * x.zero)", "x.value", ROWS),
    Mutant(
        "a rounded mean stays in a variance",
        DEVIATION,
        "step / n, wide=True), -1.0)",
        "step / n, wide=True), 0.0)",
        ROWS,
    ),
    Mutant(
        "two axes of a row change places",
        "backends/lowering/rows.py",
        'node.step("transpose", value, axes=order)',
        "value",
        ROWS,
    ),
    Mutant("a norm of squares subtracts a mean", NORM, "not in _OF_SQUARES", "is not None", ROWS),
    Mutant(
        "exponentials below the table are its last",
        "backends/lowering/exponentials.py",
        "math.ceil(math.log(2 * peak) / step)",
        "math.ceil(math.log(2) / step)",
        ROWS,
    ),
    Mutant(
        "a quotient loses a scale",
        "backends/lowering/rules/grid.py",
        "x.a.scale / (x.b.scale * scale)",
        "x.a.scale / scale",
        ROWS,
    ),
    Mutant(
        "a difference is a sum of integers", EXACT, "combined(node, a, b, 1, -1)", "combined(node, a, b, 1, 1)", ROWS
    ),
    Mutant("the place of a maximum is the last", EXTREMES, "np.arange(n)[::-1]", "np.arange(n)", CHOICES),
    Mutant(
        "a minimum is a maximum",
        EXTREMES,
        "_LEAST = frozenset({_aten.amin.default, _aten.min.dim,",
        "_LEAST = frozenset({_aten.min.dim,",
        CHOICES,
    ),
    Mutant(
        "a choice takes the other", CHOOSING, '("self", "other") if "other"', '("other", "self") if "other"', CHOICES
    ),
    Mutant(
        "parts are added without room",
        WIDENING,
        "whole.bits for whole in sums) - ROOM - 1",
        "whole.bits for whole in sums) - ROOM - 2",
        f"{WIDE}::test_wide_sums_are_exact_on_every_target",
    ),
    Mutant(
        "a lower digit keeps the zero point",
        WIDENING,
        "-(2**DIGIT), -x.zero)",
        "-(2**DIGIT), 1)",
        f"{WIDE}::test_wide_sums_are_exact_on_every_target",
    ),
    Mutant(
        "noise is taken for a value",
        "passes/insert_fake_quant.py",
        "still = constants | dataless(graph)",
        "still = constants",
        CHOICES,
    ),
]
