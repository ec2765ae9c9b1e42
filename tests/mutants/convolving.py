"""Seeded bugs of convolutions in parts, of their rounding in the cache, and of two steps that run as one."""

from mutant import Mutant

TARGETS = "tests/test_target_laws.py"
JOINT = f"{TARGETS}::test_convolutions_with_their_rounding"

MUTANTS: list[Mutant] = [
    Mutant(
        "the sums of a convolution forget their bias",
        "backends/convolving.py",
        'arrays.cast(sums, "int32") + bias[some]',
        'arrays.cast(sums, "int32")',
        TARGETS,
    ),
    Mutant(
        "taps of a depthwise convolution in the other phase",
        "backends/convolving.py",
        "(divmod(f, s) for f, s in",
        "(divmod(f, s)[::-1] for f, s in",
        TARGETS,
    ),
    Mutant(
        "rounding in the cache forgets the bias",
        "backends/requantizing.py",
        "+ more + missing * factors",
        "+ more",
        JOINT,
    ),
    Mutant(
        "two steps become one although others read between",
        "backends/stepwise.py",
        "alone = reading[first.output] == 1",
        "alone = True",
        JOINT,
    ),
]
