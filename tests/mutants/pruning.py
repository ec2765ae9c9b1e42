"""Seeded bugs of pruning: masks, when they change, and the criteria that set them."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
AGP = "passes/schedule_pruning.py"
SCHEDULE, PLACES, MAGNITUDE = "compiler/masks/schedule.py", "compiler/masks/placement.py", "compiler/magnitude.py"
TESTS = "tests/test_schedule.py"

MUTANTS: list[Mutant] = [
    Mutant("the cubic is a square", MAGNITUDE, ") ** 3", ") ** 2", f"{TESTS}::test_masks_follow_the_cubic"),
    Mutant(
        "it begins at zero", MAGNITUDE, "return first + (last", "return (last", f"{TESTS}::test_masks_follow_the_cubic"
    ),
    Mutant("masks move behind the end", SCHEDULE, "now > end or ", "", f"{TESTS}::test_masks_follow_the_cubic"),
    Mutant(
        "the largest weights are masked",
        MAGNITUDE,
        "[w.abs() > limit for",
        "[w.abs() <= limit for",
        f"{TESTS}::test_the_smallest_weights_are_masked",
    ),
    Mutant(
        "masks are not applied",
        PLACES,
        "return edit.call(_aten.mul.Tensor, match.root, edit",
        "edit.call(_aten.mul.Tensor, match.root, edit",
        f"{LAW}[legal-schedule_pruning]",
    ),
]
