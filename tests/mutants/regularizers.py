"""Seeded bugs of penalties, their coefficients and schedules."""

from mutant import Mutant

SUITE = "tests/test_regularizers.py"
COEFFICIENTS = "tests/test_coefficients.py"
SCHEDULES = "tests/test_schedules.py"
DIFFERENCES = f"{SUITE}::test_gradients_by_finite_differences"
SETTLING, SETTLED = "passes/settle_weights.py", "tests/test_settling.py"
COEFFICIENT, SCHEDULE, WAVES = "compiler/coefficient.py", "compiler/schedule.py", "compiler/waves.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "every schedule has a clock",
        "compiler/clock.py",
        "if STEP in edit.state else",
        "if STEP in edit.graph.leaves else",
        f"{SCHEDULES}::test_one_clock_for_all_schedules",
    ),
    Mutant(
        "a schedule is a step late",
        SCHEDULE,
        "t = step.double()",
        "t = step.double() - 1",
        f"{SCHEDULES}::test_it_follows_the_steps_of_a_training",
    ),
    Mutant(
        "an exponential schedule is a ramp",
        SCHEDULE,
        "return initial * (final / initial) ** u",
        "pass",
        f"{SCHEDULES}::test_each_shape_is_its_closed_form",
    ),
    Mutant(
        "a tanh that does not come to its end",
        SCHEDULE,
        " / math.tanh(_SLOPE)) / 2",
        ") / 2",
        f"{SCHEDULES}::test_each_shape_is_its_closed_form",
    ),
    Mutant(
        "a coefficient that has reached its limit stays there",
        COEFFICIENT,
        ".logical_and_(grad < 0), 0), None",
        ", 0), None",
        f"{SCHEDULES}::test_a_bounded_exponent_can_come_back",
    ),
    Mutant(
        "the log term has no alpha",
        COEFFICIENT,
        "omega, alpha=options.alpha)",
        "omega)",
        f"{COEFFICIENTS}::test_a_learnable_coefficient_at_rest_is_a_logarithm",
    ),
    Mutant(
        "what is told of a penalty is the weighted one",
        "compiler/edit.py",
        "term if measure is None else measure",
        "term",
        f"{SUITE}::test_it_goes_with_any_quantizer",
    ),
    Mutant(
        "the sine has its zeros between odd levels",
        WAVES,
        "periods.mul_(0.5).add_(0.5) if odd",
        "periods.mul_(0.5) if odd",
        f"{SUITE}::test_the_sine_is_its_definition",
    ),
    Mutant(
        "half the pull of the sine", WAVES, "slope.mul_(grad * (math.pi", "slope.mul_(grad * (math.pi / 2", DIFFERENCES
    ),
    Mutant("a width feels no rising divisor", WAVES, " - grad * value) * inside", ") * inside", DIFFERENCES),
    Mutant(
        "a scale learns from the sine",
        "passes/attach_sinreq.py",
        'edit.call(_aten.detach.default, given["scale"])',
        'given["scale"]',
        "tests/test_golden.py::test_a_pass_does_what_is_written[attach_sinreq]",
    ),
    Mutant(
        "the nearest power of two is the one below",
        "passes/attach_power_of_two.py",
        "(exponent + 0.5).floor()",
        "exponent.floor()",
        f"{SUITE}::test_powers_of_two_are_at_rest",
    ),
    Mutant(
        "a range is a scale",
        "passes/attach_range_l2.py",
        'grid["hi"] - grid["zero"]',
        "1",
        f"{SUITE}::test_the_range_of_an_edge",
    ),
    Mutant(
        "widths are drawn down to the end",
        "passes/attach_waveq.py",
        "0.0, -options.bits)",
        "0.0, 0.0)",
        f"{SUITE}::test_waveq_has_three_phases",
    ),
    Mutant(
        "weights settle in the units of their grid",
        SETTLING,
        "reduce(torch.div, factors,",
        "reduce(torch.mul, factors,",
        f"{SETTLED}::test_what_has_settled_lies_on_its_grid_and_computes_the_same",
    ),
    Mutant(
        "what is masked settles too",
        SETTLING,
        "reduce(torch.mul, masks,",
        "reduce(torch.add, masks,",
        f"{SETTLED}::test_what_is_masked_keeps_its_value",
    ),
    Mutant(
        "weights settle in a step",
        SETTLING,
        '"ramp", begin, end, 0.0, 1.0)',
        '"ramp", begin, begin + 1, 0.0, 1.0)',
        f"{SETTLED}::test_weights_move_from_its_beginning_on",
    ),
    Mutant(
        "settling begins a step early",
        SETTLING,
        '"ramp", begin, end, 0.0, 1.0)',
        '"ramp", begin - 1, end, 0.0, 1.0)',
        f"{SETTLED}::test_weights_move_from_its_beginning_on",
    ),
]
