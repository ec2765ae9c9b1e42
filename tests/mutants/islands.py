"""Seeded bugs of what stays outside of a graph: leaves, and the Python between islands."""

from mutant import Mutant

LEAVES = "compiler/capture/leaves.py"
ISLANDS = "compiler/capture/islands.py"
PLAIN = "compiler/capture/plain.py"
ARCHIPELAGO = "compiler/archipelago.py"
ARGUMENTS = "compiler/arguments.py"
LEAF = "tests/test_leaves.py"
ISLAND = "tests/test_islands.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a leaf's results do not grow with the batch",
        LEAVES,
        "slope = (seen[1] - seen[0]) // grown if grown else 0",
        "slope = 0",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "two batches tell how a shape grows",
        LEAVES,
        "zip(rows, seen, strict=True)):",
        "zip(rows[:2], seen[:2], strict=True)):",
        f"{LEAF}::test_a_shape_that_does_not_follow_the_batch",
    ),
    Mutant(
        "every result of a leaf is its first",
        LEAVES,
        "(made[path, call], index)",
        "(made[path, call], 0)",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "every call of a leaf has the arguments of the first",
        LEAVES,
        "leaves.calls[path, call])",
        "leaves.calls[path, 0])",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "every call of a leaf returns the shapes of the first",
        LEAVES,
        "self.returned[path][call]",
        "self.returned[path][0]",
        f"{LEAF}::test_each_call_of_a_leaf_has_its_own_shapes",
    ),
    Mutant(
        "leaves within leaves are leaves",
        LEAVES,
        "if path not in inner}",
        "if True}",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "a list of modules is a leaf",
        LEAVES,
        "named_modules() if _has_forward(one)}",
        "named_modules()}",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "a leaf loses a forward of its own",
        LEAVES,
        "if own[path] is not None:",
        "if False:",
        f"{LEAF}::test_a_leaf_whose_forward_is_its_own_keeps_it",
    ),
    Mutant(
        "a leaf's tensors are the graph's too",
        PLAIN,
        " and not leaves.hold(k))}",
        ")}",
        f"{LEAF}::test_the_tensors_of_a_leaf_are_its_own",
    ),
    Mutant(
        "the parts of a leaf keep their mode",
        "compiler/part.py",
        "            child.train(mode)",
        "            child.training = mode",
        f"{LEAF}::test_a_leaf_trains_in_place",
    ),
    Mutant(
        "parts of an island are islands",
        ISLANDS,
        "            return\n        except",
        "        except",
        f"{ISLAND}::test_the_whole_trains_as_ever_at_any_size",
    ),
    Mutant(
        "islands hold for one size",
        ISLANDS,
        "Wanted(any_size=any_size)",
        "Wanted()",
        f"{ISLAND}::test_the_whole_trains_as_ever_at_any_size",
    ),
    Mutant(
        "the first call of a part stands for all",
        ISLANDS,
        "for call in calls:",
        "for call in ():",
        f"{ISLAND}::test_a_part_that_is_called_in_several_forms_is_left_to_python",
    ),
    Mutant(
        "a part is seen in training alone",
        ISLANDS,
        "_watch(copied(model).eval(), example, calls)",
        "pass",
        f"{ISLAND}::test_a_part_that_is_called_in_several_forms_is_left_to_python",
    ),
    Mutant(
        "a part is seen at one batch size",
        ISLANDS,
        "_watch(copied(model), example.grown(), calls)",
        "pass",
        f"{ISLAND}::test_a_part_that_is_called_in_several_forms_is_left_to_python",
    ),
    Mutant(
        "what was assumed of sizes is forgotten",
        "compiler/capture/traced.py",
        "if wanted.any_size:",
        "if False:",
        f"{ISLAND}::test_sizes_that_break_what_was_assumed_are_refused",
    ),
    Mutant(
        "equal sizes of two inputs are not held to it",
        "compiler/assumptions.py",
        'conditions[f"(t{i}_{axis} == {_python(size.expr)})"] = None',
        "pass",
        f"{ISLAND}::test_inputs_that_were_alike_must_be",
    ),
    Mutant(
        "a quick call is not held to what was assumed",
        ARGUMENTS,
        "plain = not graph.assumptions.conditions and all(",
        "plain = all(",
        f"{ISLAND}::test_sizes_that_break_what_was_assumed_are_refused",
    ),
    Mutant(
        "what no island holds is not trained",
        ARCHIPELAGO,
        "if id(p) not in held)",
        "if False)",
        f"{ISLAND}::test_each_island_is_lowered_on_its_own",
    ),
    Mutant(
        "calibration trains",
        ARCHIPELAGO,
        "with in_mode(self._own(), False):",
        "with in_mode(self._own(), True):",
        f"{ISLAND}::test_each_island_is_lowered_on_its_own",
    ),
    Mutant(
        "schedules of islands stand still",
        ARCHIPELAGO,
        "            island.step()",
        "            pass",
        f"{ISLAND}::test_each_island_is_lowered_on_its_own",
    ),
]
