"""Seeded bugs of the normal form and of fused activations."""

from mutant import Mutant

NORMAL = "passes/normalize.py"
CANONICAL = "compiler/canonical.py"
FUSE = "passes/fuse_activation.py"
LITERALS = "compiler/literals.py"
LAW = "tests/test_pass_laws.py::test_law"
REFUSES = "tests/test_pass_laws.py::test_refuses"
TEST = "tests/test_normalize.py"
FUSED = "tests/test_fuse_activation.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a dropout that drops goes",
        NORMAL,
        'if given["train"] and given["p"] > 0 else ""',
        'if given["train"] and given["p"] > 0.9 else ""',
        f"{LAW}[meaning-normalize]",
    ),
    Mutant(
        "a detach goes",
        NORMAL,
        'return "" if cut else "it cuts a gradient"',
        'return ""',
        f"{LAW}[meaning-normalize]",
    ),
    Mutant(
        "a cast goes that autocast gives a meaning",
        NORMAL,
        'return "" if certain else "what it casts',
        'return "" if certain or True else "what it casts',
        f"{TEST}::test_a_cast_under_autocast_does_what_it_says",
    ),
    Mutant(
        "a cast to another type goes",
        NORMAL,
        "if source.dtype != result.dtype:",
        "if source.dtype.is_complex != result.dtype.is_complex:",
        f"{LAW}[meaning-normalize]",
    ),
    Mutant(
        "what lies on another device is taken for here",
        NORMAL,
        "if match.plan.devices and",
        "if not match.plan.devices and",
        f"{TEST}::test_a_cast_to_a_device_stays_where_inputs_may_lie_on_several",
    ),
    Mutant(
        "gradients are summed in another order",
        CANONICAL,
        "return summands(kept, 2) - 1 + summands(gone, 2) <= 2",
        "return True",
        f"{LAW}[meaning-normalize]",
    ),
    Mutant(
        "a view of what is written is made anew",
        NORMAL,
        'return "its memory is changed in place" if match.root.name in match.plan.written else ""',
        'return ""',
        f"{REFUSES}[normalize]",
    ),
    Mutant(
        "plus zero goes from a floating value",
        CANONICAL,
        'if node.target is aten.add.Tensor and source.meta["val"].is_floating_point():',
        'if node.target is aten.add.Tensor and source.meta["val"].is_complex():',
        f"{TEST}::test_the_sign_of_a_zero_stays",
    ),
    Mutant(
        "an output becomes the input itself",
        CANONICAL,
        "if known.groups[node] in returned else",
        "if known.groups[node] in () else",
        f"{TEST}::test_an_output_is_no_alias_of_an_input",
    ),
    Mutant(
        "any larger factor goes as 1 does",
        CANONICAL,
        "and other == neutral",
        "and other >= neutral",
        f"{TEST}::test_only_neutral_numbers_go",
    ),
    Mutant(
        "the odd zero of an even kernel goes in front",
        NORMAL,
        "for n in (0, last)]",
        "for n in (last, 0)]",
        f"{TEST}::test_padding_in_words",
    ),
    Mutant(
        "the padding of height and width change places",
        NORMAL,
        "for last in reversed(behind)",
        "for last in behind",
        f"{TEST}::test_padding_in_words",
    ),
    Mutant(
        "padding forgets the dilation",
        CANONICAL,
        "[step * (int(size) - 1)",
        "[(int(size) - 1)",
        f"{TEST}::test_padding_in_words",
    ),
    Mutant(
        "a squeeze of the batch becomes a reshape",
        CANONICAL,
        "return any(fixed(value.shape[axis]) is None for axis in axes)",
        "return False",
        f"{REFUSES}[normalize]",
    ),
    Mutant(
        "an addmm forgets its scale",
        NORMAL,
        'plain = given["beta"] == given["alpha"] == 1 and',
        'plain = given["alpha"] == 1 and',
        f"{LAW}[meaning-normalize]",
    ),
    Mutant(
        "two reshapes become one over memory in another order",
        NORMAL,
        'return "" if contiguous(_first_of(match[inner]).meta["val"]) else "the first of two reshapes may copy"',
        'return ""',
        f"{REFUSES}[normalize]",
    ),
    Mutant(
        "a steep maximum is a leaky relu",
        FUSE,
        "chosen or 0 <= a <= 1",
        "chosen or 0 <= a",
        f"{LAW}[meaning-fuse_activation]",
    ),
    Mutant(
        "a shared part is computed twice",
        FUSE,
        "shared = any(reader not in bound for node in calls for reader in node.users)",
        "shared = False",
        f"{REFUSES}[fuse_activation]",
    ),
    Mutant(
        "softmax over another axis",
        FUSE,
        "axis % rank for axis in",
        "(axis + 1) % rank for axis in",
        f"{LAW}[meaning-fuse_activation]",
    ),
    Mutant(
        "gelu with the other constant",
        FUSE,
        'match.node("x"), approximate="tanh")',
        'match.node("x"), approximate="none")',
        f"{LAW}[meaning-fuse_activation]",
    ),
    Mutant(
        "where of a negative condition keeps its order",
        FUSE,
        "aten.where.ScalarSelf(condition=below, self=otherwise, other=then),",
        "aten.where.ScalarSelf(condition=above, self=otherwise, other=then),",
        FUSED,
    ),
    Mutant(
        "the threshold of softplus shows in gradients",
        FUSE,
        'match.node("x"), 1, 40)',
        'match.node("x"), 1, 20)',
        f"{FUSED}::test_values_and_gradients",
    ),
    Mutant(
        "a number may be far off",
        LITERALS,
        "PRECISION = 1e-10",
        "PRECISION = 1.0",
        f"{FUSED}::test_another_number_is_another_function",
    ),
    Mutant(
        "a parameter is a number",
        LITERALS,
        "str(node.target).startswith(CONSTANTS) and",
        "",
        f"{FUSED}::test_a_parameter_that_happens_to_be_zero_is_no_number",
    ),
    Mutant(
        "a layer norm forgets eps",
        FUSE,
        'None, None, match.bindings.by_name["eps"])',
        "None, None, 0.0)",
        f"{LAW}[meaning-fuse_activation]",
    ),
]
