"""Seeded bugs of the compiler: facts, engine, modes, grids, capture, the pipeline and the prepared module."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
REFUSES = "tests/test_pass_laws.py::test_refuses"
GRID = "compiler/grid.py"
ENGINE = "compiler/engine.py"
EDIT = "compiler/edit.py"
GRIDS = "tests/test_grid.py"
SCHEDULE = "tests/test_schedule.py"
CAPTURE = "tests/test_capture.py"
REGIONS = "tests/test_regions.py"
REFUSALS = "tests/test_refusals.py"
WITNESS = "tests/test_witness.py"
RECIPES = "tests/test_recipe_laws.py"
LOWERING = "tests/test_lowering_laws.py"
COMPUTED = "tests/test_lowering_refusals.py::test_weights_that_are_computed_from_the_input_are_refused"

MUTANTS: list[Mutant] = [
    Mutant(
        "a batch's statistics count as training",
        "compiler/facts.py",
        ' and arguments(node)["running_mean"] is not None',
        "",
        REFUSES,
    ),
    Mutant(
        "a computed weight must be on a grid",
        "compiler/facts.py",
        "return weight in constants and",
        "return weight is not None and",
        COMPUTED,
    ),
    Mutant(
        "the bias of a computed weight is corrected",
        "passes/correct_bias.py",
        "if fixed(shape(match.root)[channel_axis(match.root)]) is None:",
        "if False:",
        "tests/test_lowering_refusals.py::test_passes_leave_the_batch_of_computed_weights_free",
    ),
    Mutant(
        "the engine forgets to copy",
        ENGINE,
        "working, _ = graph.copy()",
        "working = graph",
        f"{LAW}[pure-insert_fake_quant]",
    ),
    Mutant(
        "the engine drops what nobody reads",
        ENGINE,
        "useful = after.read() | (before.state.keys() - before.read())",
        "useful = after.read()",
        f"{RECIPES}::test_a_float_checkpoint_loads",
    ),
    Mutant(
        "a new node forgets its rule",
        EDIT,
        "(*source.trail, self.label)",
        "source.trail",
        f"{LAW}[provenance-insert_fake_quant]",
    ),
    Mutant(
        "a new node forgets its place",
        EDIT,
        "Origin(layer, source.source,",
        'Origin("nowhere", source.source,',
        f"{LAW}[provenance-insert_fake_quant]",
    ),
    Mutant(
        "a new node has no value",
        "compiler/graph.py",
        'node.meta = {_ORIGIN: origin, "val": value}',
        "node.meta = {_ORIGIN: origin}",
        f"{LAW}[legal-insert_fake_quant]",
    ),
    Mutant(
        "a taken name is used again",
        EDIT,
        "lambda taken: taken in self.state and not self._is_shared(taken, value)",
        "lambda taken: False",
        f"{LAW}[meaning-fold_batch_norm]",
    ),
    Mutant(
        "a share is one too many",
        "compiler/magnitude.py",
        "rank = round(share * flat.numel())",
        "rank = round(share * flat.numel()) + 1",
        f"{SCHEDULE}::test_masks_follow_the_cubic",
    ),
    Mutant(
        "a coefficient is pushed the wrong way",
        "compiler/coefficient.py",
        "edit.call(_aten.sub.Tensor, pulled,",
        "edit.call(_aten.add.Tensor, pulled,",
        f"{GRIDS}::test_the_coefficient_rests_at_alpha_over_r",
    ),
    Mutant(
        "clipped values keep their gradient",
        GRID,
        "return grad if straight else inside,",
        "return grad,",
        f"{GRIDS}::test_gradients_of_rounding",
    ),
    Mutant("ties go to even", GRID, "steps.add_(0.5).floor_()", "steps.round_()", f"{GRIDS}::test_ties_go_up"),
    Mutant(
        "the worst scale is kept",
        GRID,
        "torch.where(error < least, scale, best)",
        "torch.where(error > least, scale, best)",
        f"{GRIDS}::test_the_best_scale",
    ),
    Mutant(
        "scales are found on the wrong grid",
        "compiler/calibrate.py",
        'signed=given["lo"] < 0',
        "signed=True",
        f"{LOWERING}::test_calibration_finds_the_best_scales",
    ),
    Mutant(
        "statistics move in eval mode",
        "compiler/modes.py",
        '"batch_norm": ("training", False)',
        '"batch_norm": ("training", True)',
        "tests/test_two_modes.py::test_where_flags_are_exact_there_is_one_graph",
    ),
    Mutant(
        "weight standardisation takes a mode",
        "compiler/modes.py",
        "name in _NORMS and",
        "False and",
        f"{CAPTURE}::test_weight_standardisation_is_no_mode",
    ),
    Mutant(
        "a norm used twice counts in eval mode",
        "compiler/modes.py",
        "for node in reversed(derived.nodes):",
        "for node in derived.nodes:",
        f"{CAPTURE}::test_a_module_used_twice",
    ),
    Mutant(
        "gradients are not compared at capture",
        "compiler/capture/fidelity.py",
        'seen |= {f"the gradient of',
        'unseen = {f"the gradient of',
        f"{CAPTURE}::test_a_custom_gradient_is_refused",
    ),
    Mutant(
        "a batch of one is fixed",
        "compiler/capture/example.py",
        "rows == {1} and x.dim() else copied",
        "False else copied",
        f"{CAPTURE}::test_any_batch_from_any_example",
    ),
    Mutant(
        "passes are copied with a module",
        "compiler/contract.py",
        "__deepcopy__",
        "_deepcopy",
        f"{RECIPES}::test_the_state_comes_back",
    ),
    Mutant(
        "scales decay",
        "compiler/prepared.py",
        '("scales", "bits", "coefficients"), (10 * lr, 0.0)',
        '("scales", "bits", "coefficients"), (10 * lr, weight_decay)',
        f"{RECIPES}::test_parameter_groups_are_a_partition",
    ),
    Mutant(
        "the first pattern wins",
        "compiler/pipeline.py",
        "in reversed(self.layers)",
        "in self.layers",
        "tests/test_options.py::test_the_last_pattern_that_fits_wins",
    ),
    Mutant(
        "facts order passes backwards",
        "compiler/pipeline.py",
        "order.add_edge(j, i,",
        "order.add_edge(i, j,",
        "tests/test_recipe_errors.py::test_the_order_of_facts_is_found",
    ),
    Mutant(
        "no_grad is forgotten",
        "compiler/capture/regions.py",
        "if region.grad or not self.carries(value):",
        "if True:",
        f"{REGIONS}::test_each_call_in_each_block",
    ),
    Mutant(
        "a write without gradients returns a stand-in",
        "compiler/capture/regions.py",
        "return viewed if viewed in written and viewed not in read else new",
        "return new",
        f"{REGIONS}::test_a_value_written_without_gradients_keeps_its_own",
    ),
    Mutant(
        "a value that no_grad returns unchanged is detached",
        "compiler/capture/regions.py",
        "if same and None not in same:",
        "if False:",
        f"{REGIONS}::test_each_call_in_each_block",
    ),
    Mutant(
        "autocast does not cast",
        "compiler/capture/regions.py",
        "self.cast(x, casts.inputs.get(i), node, region)",
        "self.cast(x, None, node, region)",
        f"{REGIONS}::test_each_call_in_each_block",
    ),
    Mutant(
        "the cast of a weight is made anew for each reader",
        "compiler/capture/regions.py",
        "if key not in region.weights:",
        "if True:",
        f"{REGIONS}::test_any_nesting_is_the_module",
    ),
    Mutant(
        "an activation is cast once for all readers",
        "compiler/capture/regions.py",
        'if value.target in self.parameters and value.meta["val"].dtype == torch.float32:',
        'if value.meta["val"].dtype == torch.float32:',
        f"{REGIONS}::test_an_activation_is_cast_for_each_reader",
    ),
    Mutant(
        "casts inside a call are forgotten",
        "compiler/capture/autocast.py",
        "with _under(blocks):",
        "with _under(()):",
        f"{REGIONS}::test_an_activation_is_cast_for_each_reader",
    ),
    Mutant(
        "the innermost module is not named",
        "compiler/capture/refusal.py",
        'return found[-1] if found else ""',
        'return found[0] if found else ""',
        f"{REFUSALS}::test_the_line_the_module_the_cause_and_the_way_round",
    ),
    Mutant(
        "torch's lines count as the user's",
        "compiler/capture/refusal.py",
        'return not filename.startswith((TORCH, _LOWBIT, _PYTHON, "<"))',
        'return not filename.startswith((_LOWBIT, _PYTHON, "<"))',
        f"{REFUSALS}::test_the_line_the_module_the_cause_and_the_way_round",
    ),
    Mutant(
        "a drawn number is not seen",
        "compiler/capture/witness.py",
        "if state != before[name]]",
        "if state is None]",
        f"{WITNESS}::test_a_draw_by_an_imported_name_is_seen",
    ),
    Mutant(
        "a reentrant checkpoint loses its gradients",
        "compiler/capture/witness.py",
        "if cls is CheckpointFunction:",
        "if False:",
        f"{WITNESS}::test_a_reentrant_checkpoint_is_exported_with_its_gradients",
    ),
    Mutant(
        "a fake tensor stays in the model",
        "compiler/capture/witness.py",
        "                vars(module).pop(name)\n",
        "",
        f"{WITNESS}::test_attributes_set_are_seen_and_put_back",
    ),
]
