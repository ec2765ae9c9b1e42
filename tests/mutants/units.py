"""Seeded bugs of units and of the passes that choose among them."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
UNITS = "tests/test_units.py"
SURVIVES = f"{UNITS}::test_what_survives_is_what_it_was"
GOES = f"{UNITS}::test_what_goes"

GROUPS = "compiler/units/groups.py"
FLOW = "compiler/units/flow.py"
CHOICE, CHOOSE = "compiler/units/choice.py", "compiler/units/choose.py"
SETTLED = "compiler/units/settled.py"
IDLE = "compiler/units/idle.py"
ORDER = "compiler/units/order.py"
CHAIN = "tests/test_unit_order.py"

MUTANTS: list[Mutant] = [
    Mutant("terms of a sum are not tied", GROUPS, "    if found.joined:\n", "    if False:\n", UNITS),
    Mutant(
        "inputs and outputs of a depthwise layer are not tied",
        GROUPS,
        "        draft.tie(np.repeat(inputs, rows), outputs)\n",
        "",
        f"{UNITS}::test_units_of_a_depthwise_layer_are_those_of_its_input",
    ),
    Mutant(
        "outputs of the model may move",
        GROUPS,
        '_pin_readers(draft, node, "it is an output of the model")',
        "pass",
        f"{LAW}[meaning-remove_dead_units]",
    ),
    Mutant(
        "groups lose channels one by one",
        GROUPS,
        "        for ids in (inputs, outputs):\n",
        "        for ids in ():\n",
        "tests/test_pass_laws.py::test_refuses[remove_dead_units]",
    ),
    Mutant(
        "groups exchange their channels",
        GROUPS,
        "np.repeat(np.arange(blocks), len(ids) // blocks)",
        "np.zeros(len(ids), dtype=int)",
        f"{UNITS}::test_blocks_of_channels_keep_to_their_groups",
    ),
    Mutant(
        "components stop after one round",
        GROUPS,
        "            root = root[root]\n",
        "            root = root[root]\n        return root\n",
        f"{UNITS}::test_components_are_those_of_networkx",
    ),
    Mutant(
        "a border of zeros is forgotten",
        SETTLED,
        "return padded or bool",
        "return bool",
        f"{UNITS}::test_a_border_of_zeros_sees_a_constant",
    ),
    Mutant(
        "padding is a constant like any other",
        SETTLED,
        "        return x.zeros()\n    if node.target in (aten.add",
        "        return x\n    if node.target in (aten.add",
        f"{UNITS}::test_a_constant_behind_a_border_of_its_own_stays",
    ),
    Mutant("a constant is not clipped", SETTLED, "+ 0.5), lo, hi)", "+ 0.5), lo - 99, hi + 99)", UNITS),
    Mutant(
        "constants are dropped, not folded",
        IDLE,
        "if isinstance(call, Call) and total.any():",
        "if False:",
        SURVIVES,
    ),
    Mutant(
        "a bias takes in a constant in single precision",
        IDLE,
        "np.where(right, real, inside)",
        "np.where(right, real, real)",
        f"{UNITS}::test_a_bias_moves_by_whole_units",
    ),
    Mutant(
        "a bias of any size takes in constants",
        IDLE,
        "(steps >= BIAS_LIMIT)",
        "(steps < 0)",
        f"{UNITS}::test_a_bias_that_would_be_too_large_refuses",
    ),
    Mutant("a layer may lose all its units", IDLE, "if not search.needed[ids].any():", "if False:", GOES),
    Mutant(
        "what idle units read stays",
        IDLE,
        "layer.alive[0, outputs].any(0)",
        "layer.alive[0].any(0)",
        f"{UNITS}::test_what_only_idle_units_read_goes",
    ),
    Mutant(
        "a scale keeps its channels",
        CHOICE,
        "    if scale.numel() > 1:\n",
        "    if False:\n",
        UNITS,
    ),
    Mutant(
        "columns are not moved",
        CHOICE,
        "(ins % columns)[:, None, :]]",
        "(ins % columns).sort(1).values[:, None, :]]",
        f"{LAW}[meaning-reorder_units]",
    ),
    Mutant(
        "a bias is not moved",
        CHOOSE,
        '{"bias": (0, outputs)}',
        '{"bias": (0, np.sort(outputs))}',
        f"{LAW}[meaning-reorder_units]",
    ),
    Mutant(
        "blocks of columns are one column",
        FLOW,
        "* channels + sel) * behind + np.arange(behind)",
        "* channels + sel) * behind + np.zeros(behind, dtype=int)",
        UNITS,
    ),
    Mutant(
        "a part of a split may lose all its channels",
        FLOW,
        "    if inside.size == 0 or inside[-1] - inside[0] + 1 != inside.size:\n",
        "    if False:\n",
        f"{UNITS}::test_parts_stay_beside_each_other",
    ),
    Mutant(
        "ties of a chain are broken by the last",
        ORDER,
        "np.where(left, alike, -1).argmax()",
        "len(left) - 1 - np.where(left, alike, -1)[::-1].argmax()",
        f"{CHAIN}::test_a_chain_is_found_again",
    ),
    Mutant(
        "signs make no difference to what is alike",
        ORDER,
        "[found > 0, found < 0]",
        "[found != 0, found != 0]",
        f"{UNITS}::test_rows_of_other_signs_are_not_alike",
    ),
    Mutant(
        "what only one has makes no difference to what is alike",
        ORDER,
        "np.maximum(own + own[last] - shared[last], 1)",
        "1",
        f"{CHAIN}::test_a_row_with_little_else_is_nearer_than_one_that_shares_as_much",
    ),
]
