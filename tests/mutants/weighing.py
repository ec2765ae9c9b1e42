"""Bugs of the grid of weights with its mask and factors in one pass."""

from mutant import Mutant

WEIGHING, FUSED = "compiler/weighing.py", "compiler/fused_weights.py"
AGREE = "tests/test_weighing.py::test_both_ways_agree"
PRODUCTS = "tests/test_weighing.py::test_products_agree"
TAKEN = "tests/test_weighing.py::test_who_goes_where"
STEP = "tests/test_weighing.py::test_a_training_step_is_that_of_the_graph_as_it_stands"
TWICE = "tests/test_weighing.py::test_gradients_of_gradients_are_not_lost"

MUTANTS: list[Mutant] = [
    Mutant(
        "threads begin with the first row", FUSED, "*behind(span.row, scale), sums", "*behind(0, scale), sums", AGREE
    ),
    Mutant("every row has the first factor", FUSED, "return w.numel() // len(w)", "return w.numel()", AGREE),
    Mutant(
        "a scale's gradient is that of the first thread",
        FUSED,
        "joined(spread(w, scale, work), scale)",
        "spread(w, scale, work)[0]",
        AGREE,
    ),
    Mutant("what is divided is not", FUSED, "_size(w), around.divides, out", "_size(w), False, out", AGREE),
    Mutant(
        "products lose their mask",
        WEIGHING,
        "multiplied(w, Around(mask, k))",
        "multiplied(w, Around(None, k))",
        PRODUCTS,
    ),
    Mutant(
        "the gradient of a product is that of a sum",
        WEIGHING,
        "multiplied(grad, *ctx.saved",
        "(lambda g, *_: g)(grad, *ctx.saved",
        PRODUCTS,
    ),
    Mutant("factors of columns are taken for rows'", FUSED, "and _along_rows(k, w))", ")", TAKEN),
    Mutant("masks of another shape are taken", FUSED, "and mask.shape == w.shape", "", TAKEN),
    Mutant("a factor that learns is taken", FUSED, "not k.requires_grad and ", "", TAKEN),
    Mutant(
        "a division is joined with any factor", WEIGHING, "k is not None and _divides(reader, k)", "k is not None", STEP
    ),
    Mutant(
        "what is clipped passes no gradient",
        WEIGHING,
        "ctx.ends, ctx.straight, ctx.clipped",
        "ctx.ends, False, ctx.clipped",
        AGREE,
    ),
    Mutant("gradients of gradients are lost", WEIGHING, "if torch.is_grad_enabled() or not", "if not", TWICE),
]
