"""Seeded bugs of quantizers, odd grids and calibration."""

from mutant import Mutant

GRID, SPARSE, SQUASH = "compiler/grid.py", "compiler/grids/sparse.py", "compiler/grids/squash.py"
SCALES, WIDTH, PLACEMENT = "compiler/grids/scales.py", "compiler/grids/width.py", "compiler/grids/placement.py"
OBSERVERS, WHO = "compiler/observers.py", "compiler/quantizers"
LAWS, GRADIENTS = "tests/test_quantizer_laws.py", "tests/test_quantizer_gradients.py"
CALIBRATION = "tests/test_calibration.py"
FORMULA = f"{LAWS}::test_a_quantizer_is_the_formula_of_its_paper"
LEVELS = f"{LAWS}::test_levels_are_counted"

MUTANTS: list[Mutant] = [
    Mutant(
        "odd integers are rounded half up",
        GRID,
        "steps.mul_(0.5).floor_()",
        "steps.mul_(0.5).round_()",
        FORMULA + "[dorefa-3]",
    ),
    Mutant(
        "codes of odd grids are frozen as of others",
        "passes/freeze.py",
        "codes = quantize(w, scale, zero, lo, hi, axis, odd)",
        "codes = quantize(w, scale, zero, lo, hi, axis)",
        f"{LAWS}::test_freezing_changes_no_bit_and_the_program_has_the_integers[False-dorefa-3]",
    ),
    Mutant(
        "WRPN has the steps of code in use",
        f"{WHO}/wrpn.py",
        "1 / edge.grid.hi)",
        "1 / (edge.grid.hi + 0.5))",
        f"{FORMULA}[wrpn-2]",
    ),
    Mutant(
        "LSQ has the grid of the others",
        f"{WHO}/lsq.py",
        "Grid(bits, signed=True)",
        "Grid(bits, signed=True, narrow=True)",
        f"{LEVELS}[lsq-3]",
    ),
    Mutant(
        "the clip of WRPN lets gradients pass",
        f"{WHO}/wrpn.py",
        "straight=False, ",
        "",
        f"{GRADIENTS}::test_gradients_of_clipped_and_of_dropped_weights",
    ),
    Mutant(
        "max|w| is not multiplied back",
        SQUASH,
        "if peak else 1.0",
        "if not peak else 1.0",
        f"{LAWS}::test_ranges_of_the_weights_own_size[3]",
    ),
    Mutant(
        "the maximum of tanh takes no gradient",
        SQUASH,
        "(g - first * t.sign() * pulled)",
        "g",
        f"{GRADIENTS}::test_the_gradient_of_dorefa_is_the_slope_of_what_it_rounds[False]",
    ),
    Mutant(
        "each of several maxima takes the whole gradient",
        SQUASH,
        "spread(through[0] / through[1], weight, axis)",
        "spread(through[0], weight, axis)",
        f"{GRADIENTS}::test_ties_for_the_largest_weight_share_its_gradient",
    ),
    Mutant("the threshold of TWN is that of a median", SPARSE, "TWN = 0.7", "TWN = 0.75", FORMULA + "[ternary-2]"),
    Mutant("survivors of TWN round to zero", SPARSE, "NEAREST = 0.75", "NEAREST = 0.25", FORMULA + "[ternary-2]"),
    Mutant(
        "the magnitude of TWN is the mean of all",
        SPARSE,
        "/ large.sum(1).clamp_min(1)",
        "/ magnitude.shape[1]",
        FORMULA + "[ternary-2]",
    ),
    Mutant(
        "SQuantizer's deviation is that of a sample",
        "compiler/magnitude.py",
        "correction=0",
        "correction=1",
        f"{LAWS}::test_the_deviation_of_squantizer_is_that_of_all_its_weights",
    ),
    Mutant(
        "dropped weights of SQuantizer have a gradient",
        SPARSE,
        "return grad * _survives(ctx.saved_tensors[0], ctx.axis, ctx.sigma), None, None",
        "return grad, None, None",
        f"{GRADIENTS}::test_gradients_of_clipped_and_of_dropped_weights",
    ),
    Mutant(
        "LSQ's gradient is scaled by the number alone",
        f"{WHO}/lsq.py",
        "count * edge.grid.hi",
        "count",
        f"{GRADIENTS}::test_gradients_of_scales[4]",
    ),
    Mutant("LSQ starts at the mean", f"{WHO}/lsq.py", "2 * mean / math", "mean / math", FORMULA + "[lsq-3]"),
    Mutant(
        "PACT learns from what it rounds",
        f"{WHO}/pact.py",
        ", clipped=True",
        "",
        f"{GRADIENTS}::test_pact_clips_at_its_level[2]",
    ),
    Mutant(
        "a range below zero is pushed the wrong way",
        SCALES,
        "torch.where(size < 0, -grad, grad)",
        "torch.where(size < 0, grad, grad)",
        f"{GRADIENTS}::test_a_range_below_zero_counts_as_its_size",
    ),
    Mutant(
        "powers of two round down",
        SCALES,
        "torch.floor(exponent + 0.5)",
        "torch.floor(exponent)",
        f"{GRADIENTS}::test_exponents_become_whole_by_the_rounding_of_all_grids",
    ),
    Mutant(
        "more bits ask for a larger scale",
        WIDTH,
        "return None, -math.log(2)",
        "return None, math.log(2)",
        f"{GRADIENTS}::test_the_width_of_waveq",
    ),
    Mutant(
        "a width is frozen one step late",
        f"{WHO}/waveq.py",
        "_aten.gt.Scalar, step_ending(edit), edge.freeze_at",
        "_aten.gt.Scalar, step_ending(edit), edge.freeze_at + 1",
        f"{GRADIENTS}::test_a_width_stays_once_it_is_frozen",
    ),
    Mutant(
        "quantizers of hidden values take what can be negative",
        PLACEMENT,
        "(hidden and not signed)",
        "hidden",
        f"{LAWS}::test_values_that_can_be_negative_get_a_learned_grid",
    ),
    Mutant(
        "masks go with grids without a zero",
        "compiler/grids/weights.py",
        "if grid.odd and any(",
        "if grid.narrow and any(",
        f"{LAWS}::test_what_does_not_go_together_is_refused",
    ),
    Mutant(
        "the lower end does not count",
        OBSERVERS,
        "least / lo if lo",
        "least / 1e9 if lo",
        f"{CALIBRATION}::test_minmax_reaches_both_ends",
    ),
    Mutant(
        "an average forgets nothing",
        OBSERVERS,
        "MOMENTUM = 0.9",
        "MOMENTUM = 0.99",
        f"{CALIBRATION}::test_a_moving_average_follows_the_batches",
    ),
    Mutant(
        "a level is set as if it were a scale",
        SCALES,
        'scale = scale * given["other"]',
        "scale = scale * 1",
        f"{CALIBRATION}::test_every_trained_scale_is_set[pact]",
    ),
]
