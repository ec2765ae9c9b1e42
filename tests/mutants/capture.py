"""Seeded bugs of capture: eval mode, the check at capture, and the model that is captured."""

from mutant import Mutant

EVALUATION = "compiler/capture/evaluation.py"
EXPORT = "compiler/capture/export.py"
FIDELITY = "compiler/capture/fidelity.py"
EXAMPLE = "compiler/capture/example.py"
PLAIN = "compiler/capture/plain.py"
ARGUMENTS = "compiler/arguments.py"
DEVICES = "compiler/devices.py"
MODES = "tests/test_two_modes.py"
CAPTURE = "tests/test_capture.py"
PREPARED = "tests/test_prepared.py"
CONTRACT = "tests/test_module_contract.py"
SAME = "tests/test_fidelity.py"

MUTANTS: list[Mutant] = [
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
        "for name, tensor in seen.items()}, **self._buffers(module)}",
        "for name, tensor in seen.items()}}",
        f"{SAME}::test_what_differs_is_named",
    ),
    Mutant(
        "differences are as large as values",
        "compiler/capture/closeness.py",
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
        "= copied(model), copy.deepcopy(protected(drawing_alike(graph)",
        "= model, copy.deepcopy(protected(drawing_alike(graph)",
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
        "copied = x.detach().clone()",
        "copied = x",
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
        "with contextlib.nullcontext() if frozen else in_mode(model, True), ",
        "with in_mode(model, True), ",
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
