"""Seeded bugs of pruning: masks, when they change, and the criteria that set them."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
AGP = "passes/schedule_pruning.py"
SCHEDULE, PLACES, MAGNITUDE = "compiler/masks/criterion.py", "compiler/masks/placement.py", "compiler/magnitude.py"
SURGERY, N_OF_M, UNITS = "passes/prune_by_surgery.py", "passes/prune_n_of_m.py", "passes/prune_units.py"
TESTS, PRUNING = "tests/test_schedule.py", "tests/test_pruning.py"
NARROW = "tests/test_prune_units.py"

MUTANTS: list[Mutant] = [
    Mutant("the cubic is a square", MAGNITUDE, ") ** 3", ") ** 2", f"{TESTS}::test_masks_follow_the_cubic"),
    Mutant(
        "it begins at zero", MAGNITUDE, "return first + (last", "return (last", f"{TESTS}::test_masks_follow_the_cubic"
    ),
    Mutant("masks move behind the end", SCHEDULE, "now > end or ", "", f"{TESTS}::test_masks_follow_the_cubic"),
    Mutant(
        "the largest weights are masked",
        MAGNITUDE,
        "[w.abs() > limit for",
        "[w.abs() <= limit for",
        f"{TESTS}::test_the_smallest_weights_are_masked",
    ),
    Mutant(
        "masks are not applied",
        PLACES,
        "return edit.call(product, match.root, edit",
        "edit.call(product, match.root, edit",
        f"{LAW}[legal-schedule_pruning]",
    ),
    Mutant(
        "the delay is not kept",
        SCHEDULE,
        "now < begin or ",
        "",
        f"{PRUNING}::test_sparsity_follows_the_weights_behind_its_delay",
    ),
    Mutant(
        "masks change in every step",
        SCHEDULE,
        "now > end or (now % every and now != end)",
        "now > end",
        f"{PRUNING}::test_no_weight_is_sorted_between_two_changes",
    ),
    Mutant(
        "all equal weights go",
        MAGNITUDE,
        "return above if left == 0 else",
        "return above if left != 1 else",
        f"{PRUNING}::test_equal_weights_are_pruned_to_the_number",
    ),
    Mutant(
        "a masked weight does not learn from its gradient",
        PLACES,
        "(grad, None))",
        "(None, None))",
        f"{PRUNING}::test_what_a_masked_weight_learns_from",
    ),
    Mutant(
        "a mask behind another is not set",
        PLACES,
        "        end = product\n    return end",
        "        end = product\n    return weight",
        f"{PRUNING}::test_a_later_pass_counts_the_zeros_of_an_earlier_one",
    ),
    Mutant(
        "thresholds of surgery move",
        SURGERY,
        "int(step) != first",
        "int(step) < first",
        f"{PRUNING}::test_surgery_has_two_thresholds_taken_once",
    ),
    Mutant(
        "between its thresholds all weights stay",
        SURGERY,
        "((mask > 0) & (size >= above))",
        "(size >= above)",
        f"{PRUNING}::test_surgery_has_two_thresholds_taken_once",
    ),
    Mutant(
        "sigma is not heard",
        "passes/sparsify.py",
        "deviating(w, sigma)",
        "deviating(w, 0.0)",
        f"{PRUNING}::test_sparsity_follows_the_weights_behind_its_delay",
    ),
    Mutant(
        "n of m output channels",
        N_OF_M,
        "TRANSPOSED else 1",
        "TRANSPOSED else 0",
        f"{PRUNING}::test_n_of_m_stay_along_the_input_channels",
    ),
    Mutant(
        "the smallest n of m stay",
        N_OF_M,
        "descending=True",
        "descending=False",
        f"{PRUNING}::test_n_of_m_stay_along_the_input_channels",
    ),
    Mutant(
        "the bias of a pruned unit lives on",
        "compiler/units/trained.py",
        "            yield bias, ids\n",
        "            yield from ()\n",
        f"{NARROW}::test_pruned_units_leave_the_program",
    ),
    Mutant(
        "norms of pruned units live on",
        "compiler/units/trained.py",
        'for name in ("weight", "bias"))',
        'for name in ("weight",))',
        f"{NARROW}::test_units_follow_the_cubic",
    ),
    Mutant(
        "a set loses all its units",
        UNITS,
        "len(members)), len(members) - 1)",
        "len(members)), len(members))",
        f"{NARROW}::test_one_unit_of_each_set_stays",
    ),
    Mutant(
        "the largest of a set is not spared",
        UNITS,
        "        relative[members[norms[members].argmax()]] = torch.inf\n",
        "",
        f"{NARROW}::test_one_unit_of_each_set_stays",
    ),
    Mutant(
        "zero is not settled behind a clamp",
        "compiler/units/settled.py",
        "(node.target in CLAMPS and",
        "(node.target in RECTIFIERS and",
        f"{NARROW}::test_pruned_units_leave_the_program",
    ),
    Mutant(
        "a dead channel gets a scale of its own",
        "passes/fold_batch_norm.py",
        "if factor is None or axis is None:",
        "if factor is None or axis is not None:",
        f"{NARROW}::test_pruned_units_leave_the_program",
    ),
    Mutant(
        "masks go with grids without a zero",
        "passes/freeze.py",
        'masks and match.argument(grid, "odd")',
        'not masks and match.argument(grid, "odd")',
        f"{PRUNING}::test_a_mask_on_a_grid_without_a_zero_is_refused",
    ),
    Mutant(
        "an embedding reads the weight that it is tied to unmasked",
        "compiler/masks/placement.py",
        "frozenset({_aten.batch_norm.default, EMBEDDING}) | MATMULS",
        "frozenset({_aten.batch_norm.default}) | MATMULS",
        f"{PRUNING}::test_a_parameter_of_an_embedding_and_a_head_is_masked_once_and_gets_one_grid",
    ),
]
