"""Seeded bugs of recipes: where a pass may stand, what a fact asks for, what is said of a batch."""

from mutant import Mutant

STAGE, PIPELINE, RECIPE, CALLERS = (f"compiler/{name}.py" for name in ("stage", "pipeline", "recipe", "callers"))
TEST, PLACES, BATCHES = (f"tests/test_{name}.py" for name in ("stages", "recipe_errors", "calibration_errors"))

MUTANTS = [
    Mutant(
        "penalties are no work of a training",
        STAGE,
        "if len(after.penalties) > len(before",
        "if (0) > len(before",
        TEST,
    ),
    Mutant(
        "updates are no work of a training",
        STAGE,
        "after.updates.keys() - before",
        "before.updates.keys() - before",
        TEST,
    ),
    Mutant(
        "what is calibrated already is new", STAGE, "calibrated(after) - calibrated(before)", "calibrated(after)", TEST
    ),
    Mutant("grids may freeze before calibration", STAGE, "(grids := calibrated(before))", "(grids := set())", TEST),
    Mutant(
        "a post-training recipe is followed by a training",
        RECIPE,
        "POST_TRAINING if self.post_training else TRAINING",
        "TRAINING",
        TEST,
    ),
    Mutant("a schedule asks for steps first", PIPELINE, "steps = steps or 1", "steps = steps", TEST),
    Mutant("a fact keeps its way out to itself", PIPELINE, "if ender else fact.fix", 'if ender else ""', TEST),
    Mutant("an idle pass gives no reason", PIPELINE, ".most_common(REASONS)", ".most_common(0)", TEST),
    Mutant("a pass may stand twice", RECIPE, "if first != i and not later", "if first > i and not later", PLACES),
    Mutant("no pass may stand twice", RECIPE, "if first != i and not later.pass_.repeatable", "if first != i", PLACES),
    Mutant(
        "passes are told apart by their names",
        RECIPE,
        "earlier.pass_ is later.pass_",
        "earlier.name == later.name",
        PLACES,
    ),
    Mutant("the last line is blamed", RECIPE, "int(line[1]) if line else", "", PLACES),
    Mutant("a batch has no number", CALLERS, 'place = f"batch {number}"', 'place = "a batch"', BATCHES),
    Mutant("batches are counted from nought", "api.py", "enumerate(given, 1)", "enumerate(given)", BATCHES),
]
