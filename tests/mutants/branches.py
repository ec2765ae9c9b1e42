"""Seeded bugs of branches of which a graph holds both sides."""

from mutant import Mutant

BRANCHES = "compiler/capture/branches.py"
SIDES = "compiler/capture/sides.py"
MERGED = "compiler/capture/merged.py"
LAWS = "tests/test_branches.py"
REFUSED = "tests/test_branch_refusals.py"
ANEW = f"{LAWS}::test_each_forward_decides_anew"

MUTANTS: list[Mutant] = [
    Mutant(
        "both sides of a branch are the wrong way round",
        MERGED,
        "pair = sides if mark.args[2] else sides[::-1]",
        "pair = sides[::-1] if mark.args[2] else sides",
        f"{ANEW}[skipped]",
    ),
    Mutant(
        "a check that says yes when all is finite counts as a draw",
        MERGED,
        "pair = sides if mark.args[2] else sides[::-1]",
        "pair = sides[::-1]",
        f"{ANEW}[clamped]",
    ),
    Mutant(
        "the outer branch chooses before the inner one",
        MERGED,
        "for number in reversed(ends[node]):",
        "for number in ends[node]:",
        f"{LAWS}::test_what_is_not_finite_takes_the_other_side",
    ),
    Mutant(
        "a branch within one side changes the other side",
        MERGED,
        "{**untouched, **others}.items()",
        "others.items()",
        f"{LAWS}::test_what_is_not_finite_takes_the_other_side",
    ),
    Mutant(
        "what is decided within a branch is decided",
        MERGED,
        "if any(a.mark < b.mark < a.end < b.end for a in sides for b in sides):",
        "if False:",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "two branches that change two variables are taken for one",
        MERGED,
        "doubts = {(first, number) for first in self.chosen.get(one.same[node], ())}",
        "doubts = set[tuple[int, int]]()",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "numbers that differ between the sides are those of one",
        MERGED,
        "return graph.signature.outputs, dict(graph.signature.constants)",
        "return graph.signature.outputs",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "constants of both sides are one",
        MERGED,
        "while self.state.setdefault(name, trace.tensor(node)) is not trace.tensor(node):",
        "while self.state.setdefault(name, trace.tensor(node)) is None:",
        f"{ANEW}[constants_of_sides]",
    ),
    Mutant(
        "a norm on one side counts in both cases",
        SIDES,
        "if is_effect(node) or _keeps_statistics(node):",
        "if is_effect(node):",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "buffers are written in both cases",
        SIDES,
        "if is_effect(node) or _keeps_statistics(node):",
        "if _keeps_statistics(node):",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "a value that is read before and after a branch is the one after",
        SIDES,
        "and found.setdefault(x, y) is not y:",
        "and found.setdefault(x, y) is None:",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "a weight is chosen before the layer that reads it",
        SIDES,
        'return "get_attr" not in (a.op, b.op) and isinstance',
        "return isinstance",
        f"{LAWS}::test_a_weight_is_read_by_the_layer",
    ),
    Mutant(
        "a probability that the input decides counts as drawn",
        BRANCHES,
        "if any(x not in self._known for x in given):",
        "if False:",
        f"{REFUSED}::test_sides_that_do_not_fit_are_refused",
    ),
    Mutant(
        "eval mode drops layers",
        "compiler/capture/whole.py",
        "            if seen.branches:\n",
        "            if False:\n",
        f"{LAWS}::test_eval_mode_decides_nothing_that_the_model_does_not",
    ),
    Mutant(
        "draws of a layer that is skipped are compared too",
        "compiler/capture/asides.py",
        "with contextlib.nullcontext() if taken else",
        "with contextlib.nullcontext() if True else",
        f"{LAWS}::test_draws_of_a_skipped_layer_move_the_stream_alone",
    ),
    Mutant(
        "a choice is told without its line",
        MERGED,
        "Origin(place.layer, place.source, (_BRANCH,))",
        'Origin(place.layer, "", (_BRANCH,))',
        f"{LAWS}::test_choices_know_the_line_of_the_branch",
    ),
    Mutant(
        "every model is exported as if it branched",
        "compiler/capture/traced.py",
        "graph, seen = _pure(model, example, wanted, leaves)\n        except",
        "graph, seen = with_both_sides(partial(_pure, model, example, wanted, leaves), None)\n        except",
        f"{LAWS}::test_a_model_without_such_branches_is_exported_once",
    ),
]
