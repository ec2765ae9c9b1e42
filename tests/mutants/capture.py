"""Seeded bugs of capture: leaves, islands, eval mode, the check at capture, and the model that is captured."""

from mutant import Mutant

LEAVES = "compiler/capture/leaves.py"
ISLANDS = "compiler/capture/islands.py"
EVALUATION = "compiler/capture/evaluation.py"
EXPORT = "compiler/capture/export.py"
FIDELITY = "compiler/capture/fidelity.py"
EXAMPLE = "compiler/capture/example.py"
PLAIN = "compiler/capture/plain.py"
ARCHIPELAGO = "compiler/archipelago.py"
ARGUMENTS = "compiler/arguments.py"
DEVICES = "compiler/devices.py"
LEAF = "tests/test_leaves.py"
ISLAND = "tests/test_islands.py"
MODES = "tests/test_two_modes.py"
CAPTURE = "tests/test_capture.py"
PREPARED = "tests/test_prepared.py"
CONTRACT = "tests/test_module_contract.py"
SAME = "tests/test_fidelity.py"

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
        " and not leaves.hold(k)}",
        "}",
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
        "_watch(copy.deepcopy(model).eval(), example, calls)",
        "pass",
        f"{ISLAND}::test_a_part_that_is_called_in_several_forms_is_left_to_python",
    ),
    Mutant(
        "a part is seen at one batch size",
        ISLANDS,
        "_watch(copy.deepcopy(model), example.grown(), calls)",
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
    Mutant(
        "eval mode has grids of its own",
        EVALUATION,
        "node.name = names.get(node) or _fresh(",
        "node.name = _fresh(",
        f"{MODES}::test_passes_put_the_same_grids_on_both",
    ),
    Mutant(
        "the line of a call does not tell which one it is",
        EVALUATION,
        "for role in (_exact_role, _role):",
        "for role in (_role,):",
        f"{MODES}::test_calls_of_one_line_go_by_one_name",
    ),
    Mutant(
        "constants of both modes are mixed up",
        EVALUATION,
        "is not tensor else name",
        "is None else name",
        f"{MODES}::test_eval_after_training_is_exact[constants]",
    ),
    Mutant(
        "what eval mode alone reads is lost",
        "compiler/pipeline.py",
        "state = {**rewritten.state, **twin.state}",
        "state = {**rewritten.state}",
        f"{MODES}::test_what_eval_mode_alone_computes_is_lowered",
    ),
    Mutant(
        "a tensor of both graphs is made twice",
        "compiler/edit.py",
        "return name in self.shared and",
        "return False and",
        f"{MODES}::test_passes_put_the_same_grids_on_both",
    ),
    Mutant(
        "a moved model leaves its graph of eval mode behind",
        DEVICES,
        "evaluation=graph.evaluation and placed(graph.evaluation, device))",
        "evaluation=graph.evaluation)",
        f"{MODES}::test_both_graphs_move",
    ),
    Mutant(
        "zeros that a recurrence starts from keep their type",
        DEVICES,
        "if state.target is aten.zeros.default and",
        "if False and",
        f"{CONTRACT}::test_converted_to_another_type",
    ),
    Mutant(
        "a fixed batch is said of any model",
        EXPORT,
        "if failure is None:",
        "if False:",
        f"{MODES}::test_a_model_that_looks_at_its_batch_size_is_refused_with_the_line",
    ),
    Mutant(
        "a fixed batch is refused",
        EXPORT,
        "if failure is None:",
        "if True:",
        f"{MODES}::test_a_model_that_fixes_its_batch_says_so",
    ),
    Mutant(
        "what torch assumed of the batch is no branch",
        EXPORT,
        "if guards or (bounds",
        "if (bounds",
        f"{PREPARED}::test_a_branch_on_the_batch_size",
    ),
    Mutant(
        "every mask counts as causal",
        EXPORT,
        "return is_causal is True",
        "return True",
        f"{PREPARED}::test_a_mask_that_is_not_causal",
    ),
    Mutant(
        "buffers are not compared at capture",
        FIDELITY,
        "for name, tensor in seen.items()}, **_cloned_buffers(module)}",
        "for name, tensor in seen.items()}}",
        f"{SAME}::test_what_differs_is_named",
    ),
    Mutant(
        "differences are as large as values",
        FIDELITY,
        "TRAINING, EVAL = 1e-4, 1e-5",
        "TRAINING, EVAL = 1.0, 1e-5",
        f"{SAME}::test_what_differs_is_named",
    ),
    Mutant(
        "one seed tells what is drawn",
        FIDELITY,
        "SEEDS = (0, 1)",
        "SEEDS = (0,)",
        f"{SAME}::test_a_draw_that_was_frozen_is_seen",
    ),
    Mutant(
        "the check trains the model",
        FIDELITY,
        "= copy.deepcopy(model), copy.deepcopy(graph.module())",
        "= model, copy.deepcopy(graph.module())",
        f"{CAPTURE}::test_capture_leaves_the_model_as_it_was",
    ),
    Mutant(
        "arguments are in the order given",
        EXAMPLE,
        "return cls(bound.args, bound.kwargs)",
        "return cls(*given)",
        f"{PREPARED}::test_named_arguments_in_any_order",
    ),
    Mutant(
        "a tensor given twice is one input",
        EXAMPLE,
        "own = tensor.detach().clone()",
        "own = tensor",
        f"{PREPARED}::test_examples_that_are_one_tensor_or_need_a_gradient",
    ),
    Mutant(
        "a forward of the model's own is lost",
        EXAMPLE,
        "if own is not None:",
        "if False:",
        f"{PREPARED}::test_a_forward_of_its_own_stays_with_the_model",
    ),
    Mutant(
        "a tied weight is read under each of its names",
        PLAIN,
        "node.target = names.get(node.target, node.target)",
        "node.target = str(node.target)",
        f"{PREPARED}::test_tied_weights_get_one_grid",
    ),
    Mutant(
        "the line that called is told, not the one that computes",
        PLAIN,
        'source = f"{os.path.basename(frames[-1][0])}:{frames[-1][1]}  {frames[-1][2]}" if frames',
        'source = f"{os.path.basename(frames[0][0])}:{frames[0][1]}  {frames[0][2]}" if frames',
        f"{PREPARED}::test_the_line_of_a_call_is_the_innermost",
    ),
    Mutant(
        "parts in eval mode train",
        "compiler/capture/whole.py",
        "with contextlib.nullcontext() if frozen else in_mode(model, True):",
        "with in_mode(model, True):",
        f"{CAPTURE}::test_a_part_in_eval_mode_stays_frozen",
    ),
    Mutant(
        "a value that is no tensor may change",
        ARGUMENTS,
        "isinstance(value, Tensor) or value != wanted:",
        "isinstance(value, Tensor):",
        f"{CAPTURE}::test_keywords_in_dictionaries_out",
    ),
    Mutant(
        "a quick call may have any shape",
        ARGUMENTS,
        "wanted.fit(x.shape) and",
        "True and",
        f"{PREPARED}::test_an_example_of_another_shape_does_not_calibrate",
    ),
]
