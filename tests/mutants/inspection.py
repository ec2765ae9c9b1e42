"""Seeded bugs of what looks at a model: outline, costs, coverage, explain, diff; and of what reads a SOURCE."""

from mutant import Mutant

MACS = "compiler/inspection/macs.py"
OUTLINE = "compiler/inspection/outline.py"
EXPLAIN = "compiler/inspection/explain.py"
CHOICE = "compiler/inspection/choice.py"
DIFFERENCE = "compiler/inspection/difference.py"
COVERAGE = "backends/lowering/coverage.py"
WEIGHTS = "cli/weights.py"
COSTS = "tests/test_macs.py"
SUMS = "tests/test_outline.py"
FATES = "tests/test_coverage.py"
TOLD = "tests/test_explain.py"
DIFFERS = "tests/test_difference.py"
LOADED = "tests/cli/test_weights.py"
SOURCES = "tests/cli/test_sources.py"
ZOOS = "tests/cli/test_zoos.py"
SAVED = "tests/cli/test_saved.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a transposed convolution costs what it gives",
        MACS,
        'sizes(given["input"]) if transposed else out',
        "out",
        f"{COSTS}::test_closed_forms",
    ),
    Mutant(
        "biases of a recurrence are multiplied",
        MACS,
        " for weight in weights if len(weight) == 2)",
        " for weight in weights)",
        f"{COSTS}::test_closed_forms",
    ),
    Mutant(
        "an axis of one operand is multiplied out",
        MACS,
        "both = (a & (b | read)) | (b & (a | read))",
        "both = a | b",
        f"{COSTS}::test_einsum",
    ),
    Mutant(
        "a fixed batch is not shared out",
        MACS,
        "sizes(node), sizes) // samples",
        "sizes(node), sizes)",
        f"{COSTS}::test_a_fixed_batch_is_shared_out",
    ),
    Mutant(
        "tied parameters count twice",
        OUTLINE,
        "if tensor.identity in names:",
        "if False:",
        f"{SUMS}::test_sums_are_those_of_the_parts_and_tied_parameters_count_once",
    ),
    Mutant(
        "what a recipe adds stands apart",
        OUTLINE,
        'yield Held(homes.get(name, name.rpartition(".")[0]),',
        'yield Held(name.rpartition(".")[0],',
        f"{SUMS}::test_what_a_recipe_adds_stands_with_the_calls_that_read_it",
    ),
    Mutant(
        "parameters of leaves do not count",
        OUTLINE,
        "{**inside, **graph.state}",
        "graph.state",
        f"{SUMS}::test_parameters_of_a_leaf_count",
    ),
    Mutant(
        "a graph of eval mode has no marks",
        "backends/lowering/heirs.py",
        "if copied.evaluation is not None:",
        "if False:",
        f"{FATES}::test_it_is_eval_mode_that_is_covered",
    ),
    Mutant(
        "changes in place are covered",
        COVERAGE,
        "refused_in_place(node) or",
        "",
        f"{FATES}::test_a_tensor_changed_under_another_name_is_named",
    ),
    Mutant(
        "a call is blamed for the one before it",
        COVERAGE,
        "    if not sources or not (error.why == NO_GRID or node.target in PICKS):\n        return error\n",
        "    return error\n",
        FATES,
    ),
    Mutant(
        "training is explained where eval mode is another graph",
        EXPLAIN,
        "replace(captured.twin or captured, evaluation=None)",
        "replace(captured, evaluation=None)",
        f"{TOLD}::test_a_graph_of_eval_mode_is_what_is_explained",
    ),
    Mutant(
        "what takes a node's place is not followed",
        EXPLAIN,
        "followed = followed - set(attempt.gone) | {attempt.became}",
        "followed = followed - set(attempt.gone)",
        f"{TOLD}::test_a_node_is_followed_through_what_takes_its_place",
    ),
    Mutant(
        "a rule made what it found",
        "compiler/inspection/attempts.py",
        "for node in edit.made if node not in readers)",
        "for node in edit.made)",
        TOLD,
    ),
    Mutant(
        "a path means all that begin like it",
        CHOICE,
        'path.startswith(f"{wanted}.")',
        "path.startswith(wanted)",
        f"{TOLD}::test_a_path_is_all_below_it_and_a_line_the_file_that_is_meant",
    ),
    Mutant(
        "a line means that of any file",
        CHOICE,
        "return given[-common:] == own[-common:]",
        "return True",
        f"{TOLD}::test_a_path_is_all_below_it_and_a_line_the_file_that_is_meant",
    ),
    Mutant(
        "a common subsequence is not the longest",
        "compiler/inspection/align.py",
        "range(-edits, edits + 1, 2)",
        "range(-edits, edits, 2)",
        f"{DIFFERS}::test_where_everything_repeats_as_much_is_paired_as_can_be",
    ),
    Mutant(
        "other operands are no difference",
        DIFFERENCE,
        "return pairs.get(old.place) == new.place",
        "return True",
        f"{DIFFERS}::test_steps_without_names_are_aligned_by_what_they_are",
    ),
    Mutant(
        "what was removed stands at the end",
        DIFFERENCE,
        "while due < back[j]:",
        "while False:",
        f"{DIFFERS}::test_what_was_removed_stands_where_it_was",
    ),
    Mutant(
        "zeros of both signs are one value",
        DIFFERENCE,
        ".view(torch.uint8) != theirs.reshape(-1).view(torch.uint8)",
        " != theirs.reshape(-1)",
        f"{DIFFERS}::test_contents_are_compared_bit_by_bit",
    ),
    Mutant(
        "code in a file of weights runs",
        WEIGHTS,
        "weights_only=True",
        "weights_only=False",
        f"{LOADED}::test_a_pickle_that_attacks_is_refused_and_not_run",
    ),
    Mutant(
        "two tensors of a tied weight may differ",
        WEIGHTS,
        "if not _same(state[first], state[other]):",
        "if False:",
        f"{LOADED}::test_one_name_of_tied_weights_is_enough_and_two_must_agree",
    ),
    Mutant(
        "fractions are cut off",
        WEIGHTS,
        "not torch.can_cast(given.dtype, value.dtype)",
        "False",
        f"{LOADED}::test_what_does_not_fit_is_listed_with_what_resembles_it",
    ),
    Mutant(
        "names that the model lacks are passed over",
        WEIGHTS,
        "if not missing and not unknown:",
        "if not missing:",
        f"{LOADED}::test_nothing_is_loaded_in_part",
    ),
    Mutant(
        "percent signs stay",
        "cli/sources/query.py",
        "value(unquote(text))",
        "value(text)",
        f"{SOURCES}::test_what_is_written_as_a_query_is_read_back",
    ),
    Mutant(
        "an installed line is told before the user's",
        "cli/sources/failure.py",
        "last = (own or frames)[-1:]",
        "last = frames[-1:]",
        f"{SOURCES}::test_a_bad_factory_is_refused",
    ),
    Mutant(
        "a saved program trains in eval mode",
        "cli/sources/saved.py",
        "(False, evaluated(graph))",
        "(False, graph)",
        f"{SAVED}::test_it_computes_what_the_model_computes_in_both_modes",
    ),
    Mutant(
        "ties of a saved program come undone",
        "cli/sources/saved.py",
        "seen.setdefault(layout, parameter)",
        "parameter",
        f"{SAVED}::test_it_has_the_names_the_ties_and_the_classes_of_the_model",
    ),
    Mutant(
        "weights may be fetched",
        "cli/sources/zoos.py",
        'if taken and zoo != "transformers":',
        "if False:",
        f"{ZOOS}::test_what_a_package_does_not_have_is_refused",
    ),
    Mutant(
        "a hub may be asked",
        "cli/sources/zoos.py",
        'os.environ["HF_HUB_OFFLINE"] = "1"',
        "pass",
        f"{ZOOS}::test_nothing_asks_a_hub",
    ),
    Mutant(
        "a config takes any field",
        "cli/sources/transformers.py",
        "if not hasattr(usual, field):",
        "if False:",
        f"{ZOOS}::test_what_a_package_does_not_have_is_refused",
    ),
]
