"""Seeded bugs of attention: the pass that takes it apart, masks, layouts, words and gathered places."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law[meaning-split_attention]"
ROWS = "tests/test_lowering_values.py::test_integers_are_those_of_the_graph[rows]"
CHOICES = "tests/test_lowering_values.py::test_integers_are_those_of_the_graph[choices]"
WORDS = "tests/test_attention.py::test_transformers_lower_wholly"
PASS, LAYOUTS, BATCH = "passes/split_attention.py", "backends/lowering/layouts.py", "backends/lowering/batch.py"

MUTANTS: list[Mutant] = [
    Mutant("scores are not divided by the root of the width", PASS, "1 / math.sqrt(", "1 / float(", LAW),
    Mutant("it looks ahead", PASS, "aten.tril.default", "aten.triu.default", LAW),
    Mutant(
        "finite parts of a mask are lost", PASS, "return edit.call(aten.add.Tensor, scores, mask)", "return scores", LAW
    ),
    Mutant("probabilities are never dropped", PASS, 'if given["dropout_p"]:', "if False:", "tests/test_attention.py"),
    Mutant(
        "what is masked is almost the least",
        "backends/lowering/rules/choosing.py",
        "range.lo - reach(float(grid.scale[0]))",
        "range.lo - 1",
        ROWS,
    ),
    Mutant(
        "axes are turned in one go only",
        LAYOUTS,
        "for number in numbers[axis])",
        "for number in numbers[-1 - axis])",
        ROWS,
    ),
    Mutant(
        "an axis is split the other way around", LAYOUTS, "part, size = size, 1", "size, part = 1, part // size", ROWS
    ),
    Mutant("the graph has the batch first", BATCH, "np.moveaxis(seen, 0, parts.index(None))", "seen", ROWS),
    Mutant("softmax goes over another axis", BATCH, "dim % rank - rank", "-2", ROWS),
    Mutant(
        "words are one row off",
        "backends/lowering/rules/embedding.py",
        "reals.T.astype(np.float64), 0,",
        "reals.T.astype(np.float64), 1,",
        WORDS,
    ),
    Mutant(
        "a constant beside values is zero",
        "backends/lowering/constants.py",
        "integers.reshape(-1))",
        "0 * integers.reshape(-1))",
        WORDS,
    ),
    Mutant(
        "places are taken backwards",
        "backends/lowering/moving.py",
        "found.flatten().tolist()",
        "found.flatten().tolist()[::-1]",
        CHOICES,
    ),
]
