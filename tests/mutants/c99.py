"""Seeded bugs of the C generator."""

from mutant import Mutant

LAWS = "tests/test_c99_laws.py"
VALUES = f"{LAWS}::test_every_value_is_the_interpreters"
MEMORY = f"{LAWS}::test_what_lives_at_once_lies_apart_and_results_are_read_before_they_go"
EMIT = "tests/test_emit.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "32 bits hold what takes 33",
        "backends/c99/rounding.py",
        "(units << rounding.shifts)) < 2**32 and",
        "(units << rounding.shifts)) < 2**33 and",
        VALUES,
    ),
    Mutant(
        "sums are shifted although some are negative",
        "backends/c99/rounding.py",
        "needed = np.maximum(-(rounding.ends[0] >> rounding.shifts), 0)",
        "needed = np.maximum(-(rounding.ends[0] >> rounding.shifts) - 1, 0)",
        VALUES,
    ),
    Mutant(
        "multipliers are made alike beyond 32 bits",
        "backends/c99/rounding.py",
        "return made if fits else rounding",
        "return made",
        VALUES,
    ),
    Mutant(
        "a power of two is taken out of the multipliers alone",
        "backends/c99/rounding.py",
        "added=rounding.added >> spare, shifts",
        "added=rounding.added, shifts",
        VALUES,
    ),
    Mutant(
        "saturation is left out where it acts from above",
        "backends/c99/rounding.py",
        "if before.hi > hi else []",
        "if before.hi > hi + 1 else []",
        VALUES,
    ),
    Mutant(
        "a table forgets that it was cut",
        "backends/c99/elements/table.py",
        "(v{plus(-seen.lo)})",
        "(v{plus(-call.first)})",
        VALUES,
    ),
    Mutant(
        "padding is always zero",
        "backends/c99/kernels/patches.py",
        "pad=literal(call.pad_value)",
        "pad=literal(0)",
        VALUES,
    ),
    Mutant(
        "a depthwise border is skipped whatever stands there",
        "backends/c99/kernels/depthwise.py",
        "BORDER if call.pad_value else SKIP",
        "SKIP",
        VALUES,
    ),
    Mutant(
        "depthwise takes convolutions that mix channels",
        "backends/c99/kernels/depthwise.py",
        'return "" if depth == 1 and outputs == task.call.groups else',
        'return "" if depth == 1 else',
        VALUES,
    ),
    Mutant(
        "patches of wide integers have 16 bits",
        "backends/c99/kernels/patches.py",
        "narrow = seen(call) in INT16.range and call.weight.range in INT16.range",
        "narrow = call.weight.range in INT16.range",
        VALUES,
    ),
    Mutant(
        "an operand is taken that a later function reads",
        "backends/c99/arena.py",
        "if life and life.last == time and",
        "if life and",
        VALUES,
    ),
    Mutant(
        "an operand is taken that a layer reads elsewhere too",
        "backends/c99/arena.py",
        "tensor.buffer not in strays.union(others)",
        "tensor.buffer not in strays",
        VALUES,
    ),
    Mutant(
        "an operand is taken that lies otherwise",
        "backends/c99/arena.py",
        "tensor.buffer not in strays.union(others)",
        "tensor.buffer not in others",
        f"{LAWS}::test_in_place_never_takes_memory_that_is_read_otherwise",
    ),
    Mutant(
        "blocks that follow one another share",
        "backends/c99/arena.py",
        "return self.first <= other.last and other.first <= self.last",
        "return self.first < other.last and other.first < self.last",
        MEMORY,
    ),
    Mutant(
        "scratch memory is forgotten",
        "backends/c99/unit.py",
        "own = [Block(function.body.scratch, time, time)",
        "own = [Block(0, time, time)",
        MEMORY,
    ),
    Mutant(
        "a value that others read runs in a loop",
        "backends/c99/schedule.py",
        "if step is None or self.readers[value] != 1 or",
        "if step is None or",
        VALUES,
    ),
    Mutant(
        "constants of another axis run in the loops of a layer",
        "backends/c99/schedule.py",
        "return step if fits and axis in (None, *order[-1:]) else None",
        "return step if fits else None",
        VALUES,
    ),
    Mutant(
        "loops are merged over an axis that has constants",
        "backends/c99/loops.py",
        "if outer and not alone and axis not in apart and",
        "if outer and",
        VALUES,
    ),
    Mutant(
        "a reshape takes any order",
        "backends/c99/moves/reshape.py",
        "((row_major(len(call.x.shape)),), row_major(len(call.shape)))",
        "((None,), row_major(len(call.shape)))",
        VALUES,
    ),
    Mutant(
        "a quotient is rounded towards zero",
        "backends/c99/elements/divide.py",
        "return a / b - (a % b < 0);",
        "return a / b;",
        VALUES,
    ),
    Mutant(
        "rows are unpacked from where bytes would lie",
        "backends/c99/weights.py",
        "{length * width // 8}",
        "{length}",
        f"{LAWS}::test_weights_in_every_form_compute_the_same_and_smaller_ones_are_smaller",
    ),
    Mutant(
        "coded weights are streamed where they are met again",
        "backends/c99/kernels/patches.py",
        "task.places <= made.rows",
        "True",
        f"{LAWS}::test_weights_in_every_form_compute_the_same_and_smaller_ones_are_smaller",
    ),
    Mutant(
        "the header tells the wrong zero",
        "backends/c99/project.py",
        '"ZERO": port.zero,',
        '"ZERO": 0,',
        f"{EMIT}::test_the_header_tells_what_integers_stand_for",
    ),
    Mutant(
        "golden vectors are all the same",
        "backends/c99/project.py",
        "for end in (lo, hi)",
        "for end in (hi, hi)",
        f"{EMIT}::test_golden_vectors_hold_both_ends",
    ),
]
