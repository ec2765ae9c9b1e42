"""Seeded bugs of torch.cond, and of the lines that refusals name."""

from mutant import Mutant

COND = "compiler/capture/cond.py"
TESTS = "tests/test_cond.py"
PLACES = "tests/test_places.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "zeros times infinity reach what was not selected",
        COND,
        "if all(_is_tame(node) for node in _calls(body)):",
        "if True:",
        f"{TESTS}::test_outputs_and_gradients_are_those_of_the_side_that_was_selected[root]",
    ),
    Mutant(
        "layers in a side are shielded too",
        COND,
        "if all(_is_tame(node) for node in _calls(body)):",
        "if False:",
        f"{TESTS}::test_layers_read_their_weights_themselves",
    ),
    Mutant(
        "a side may draw",
        COND,
        "if _draws(call):",
        "if False:",
        f"{TESTS}::test_what_only_one_side_may_do_is_refused[draws-draws random numbers-before torch.cond]",
    ),
    Mutant(
        "the second call of a module in a side has no module",
        "compiler/capture/lines.py",
        'key.partition("@")[0]',
        "key",
        f"{TESTS}::test_calls_of_both_sides_are_of_the_users_line_and_module",
    ),
    Mutant(
        "calls in a side are of the line of the torch.cond",
        "compiler/capture/regions.py",
        "return {key: chosen.meta.get(key) for key, known in own.items() if not known}",
        "return {key: chosen.meta.get(key) for key in own}",
        f"{TESTS}::test_calls_of_both_sides_are_of_the_users_line_and_module",
    ),
    Mutant(
        "the line after the change is named",
        "compiler/capture/changes.py",
        "found.append(last)",
        "found.append(_shown(frame))",
        f"{PLACES}::test_the_line_at_which_a_model_changes_what_it_keeps[appends-memory.append-memory]",
    ),
]
