"""Seeded bugs of the fold of batch norms, of its simulation and of the multiply-add that is left."""

from mutant import Mutant

SHAPES = "tests/test_batch_norm_shapes.py"
FOLD = "passes/fold_batch_norm.py"
PLAN = "compiler/norms/folding.py"
TAKERS = "compiler/norms/takers.py"
MOVES = "compiler/norms/movement.py"
NORM = "compiler/norms/norm.py"
SIMULATE = "passes/simulate_fold.py"
LOWERING = "backends/lowering/affine.py"
INTEGERS = "tests/test_multiply_add.py"
FROZEN = "tests/test_frozen_statistics.py"
LAW = "tests/test_pass_laws.py::test_law[meaning-fold_batch_norm]"


def _eval(shape: str) -> str:
    return f"{SHAPES}::test_eval[{shape}]"


def _training(shape: str) -> str:
    return f"{SHAPES}::test_training[{shape}]"


def _codes(shape: str) -> str:
    return f"{SHAPES}::test_codes_are_those_of_training[{shape}]"


MUTANTS: list[Mutant] = [
    Mutant("eps is forgotten", NORM, "(var + eps).rsqrt()", "var.rsqrt()", _eval("conv(4) bn(eps=0.001) relu6")),
    Mutant("the mean is forgotten", FOLD, "(b - change.after.mean)", "b", _eval("conv(4,nobias) bn")),
    Mutant(
        "the bias is forgotten",
        FOLD,
        'if given["bias"] is not None:',
        'if given["bias"] is given:',
        _eval("linear(5) bn"),
    ),
    Mutant(
        "signs are not turned",
        FOLD,
        "torch.where(factor < 0, -1, 1)",
        "torch.where(factor < 0, 1, 1)",
        LAW,
    ),
    Mutant("readers are forgotten", TAKERS, "if not feeds(node):", "if not node.users:", _eval("conv(3) [ bn ] +")),
    Mutant(
        "axes are forgotten",
        TAKERS,
        "if any(size > 1 for i, size in enumerate(index.shape) if i != axis):",
        "if index.numel() != int(shape(layer.node)[axis]):",
        _eval("rows mix(3) bn"),
    ),
    Mutant(
        "a border is forgotten",
        PLAN,
        "    return not any([padding]",
        "    return True or any([padding]",
        _eval("bn conv(4)"),
    ),
    Mutant(
        "stride before a transposed one",
        PLAN,
        "if layer.target in TRANSPOSED:",
        "if not layer.users:",
        _eval("bn tconv(4,pad=0)"),
    ),
    Mutant(
        "a second norm takes the place of the first",
        PLAN,
        "affine if change.after is None else affine.after(change.after)",
        "affine",
        _eval("conv(4) bn bn"),
    ),
    Mutant(
        "a shuffle is read forwards",
        MOVES,
        "found.index_copy(axis, taken, index.expand(read))",
        "index.expand(read)",
        _eval("input(4,8,8) conv(6) shuffle(3) bn"),
    ),
    Mutant(
        "a permutation is not turned back",
        MOVES,
        "[order.index(axis) for axis in range(len(order))]",
        "order",
        f"{SHAPES}::test_moved_values_leave_no_multiply_add[channels last, as rows]",
    ),
    Mutant("what nobody reads is normed", PLAN, "torch.where(read, k, 1)", "k", _eval("half of the channels")),
    Mutant(
        "an operand of a join is forgotten",
        TAKERS,
        "for i, part in enumerate(found) if not part.takers]",
        "for i, part in enumerate(found) if part.reason is part]",
        _eval("conv(4) [ conv(4) ] cat bn"),
    ),
    Mutant(
        "k passes a gradient's place",
        SIMULATE,
        "sums = edit.like(match.root, weight=product, bias=None)",
        "sums = edit.like(match.root, weight=product)",
        _training("conv(4) bn(noaffine)"),
    ),
    Mutant("k may be zero", NORM, "g.abs().clamp_min(FLOOR).copysign(g)", "g", _training("a gamma of zero")),
    Mutant(
        "the division is forgotten",
        PLAN,
        "self.after.k if self.divisor is None",
        "self.after.k if True",
        _codes("conv(4) bn(noaffine)"),
    ),
    Mutant(
        "k along the inputs of a transposed one",
        SIMULATE,
        "axis == output_axis(call)",
        "axis == 0",
        _training("input(2,5,6,7) conv(4,stride=2) bn tconv(3) bn"),
    ),
    Mutant(
        "a zero point is forgotten",
        LOWERING,
        "np.zeros(1) if x.rest is None else x.rest) - x.zero",
        "np.zeros(1) if x.rest is None else x.rest)",
        INTEGERS,
    ),
    Mutant(
        "an offset in whole steps",
        LOWERING,
        "BITS, ROOM = 20, 2.0**30",
        "BITS, ROOM = 0, 2.0**30",
        "tests/test_lowering_values.py::test_integers_are_those_of_the_graph[sums]",
    ),
    Mutant("an accumulator overflows", LOWERING, "2.0**30", "2.0**40", INTEGERS),
    Mutant("a factor's sign is lost", LOWERING, "np.sign(k) * ", "", INTEGERS),
    Mutant(
        "frozen statistics go on moving",
        SIMULATE,
        "frozen, before, after))",
        "frozen, after, after))",
        f"{FROZEN}::test_before_and_behind_the_step",
    ),
    Mutant(
        "both forms of a norm that freezes share statistics",
        SIMULATE,
        "running_mean=old[0], running_var=old[1]",
        "running_mean=new[0], running_var=new[1]",
        f"{FROZEN}::test_before_and_behind_the_step",
    ),
    Mutant(
        "norms freeze a step late",
        SIMULATE,
        "steps_done(edit), at)",
        "steps_done(edit), at + 1)",
        f"{FROZEN}::test_before_and_behind_the_step",
    ),
    Mutant(
        "each norm counts the steps",
        "compiler/clock.py",
        "if STEP in edit.state else",
        "if STEP in edit.graph.leaves else",
        f"{FROZEN}::test_eval_mode_has_one_norm",
    ),
    Mutant(
        "eval mode sets statistics",
        "compiler/modes.py",
        " or sets_statistics(node)",
        "",
        f"{FROZEN}::test_eval_mode_has_one_norm",
    ),
    Mutant(
        "a norm that freezes has a grid in front",
        "compiler/grids/edges.py",
        "if not is_second(reader)]",
        "]",
        f"{FROZEN}::test_the_choice_needs_no_other_grids",
    ),
]
