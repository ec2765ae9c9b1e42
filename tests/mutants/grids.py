"""Seeded bugs of the planning of grids."""

from mutant import Mutant

LAW = "tests/test_pass_laws.py::test_law"
EDGES, SHARING = "compiler/grids/edges.py", "compiler/grids/sharing.py"
PLACEMENT, DECLARED, LAYERS = "compiler/grids/placement.py", "compiler/grids/declared.py", "compiler/layers.py"
PASS, QUANTIZER = "passes/insert_fake_quant.py", "compiler/quantizer.py"
GRIDS, GRAPHS, INPUTS = "tests/test_grids.py", "tests/test_grid_graphs.py", "tests/test_grid_inputs.py"
BELOW = "tests/test_below.py"
WIDTHS, READS = f"{GRIDS}::test_widths_and_signs", f"{GRIDS}::test_what_computes_reads_grids"

MUTANTS: list[Mutant] = [
    Mutant(
        "grids are put on grids",
        "compiler/grids/weights.py",
        "if weight.target not in GRIDS:",
        "if weight.target:",
        f"{LAW}[idempotent-insert_fake_quant]",
    ),
    Mutant(
        "a sum with one negative term is not negative",
        EDGES,
        'and all(at_least_zero(given[key]) for key in ("self", "other"))',
        'and any(at_least_zero(given[key]) for key in ("self", "other"))',
        f"{LAW}[meaning-insert_fake_quant]",
    ),
    Mutant("a sum with itself is a square", EDGES, " and node.target in SCALINGS\n", "\n", WIDTHS),
    Mutant(
        "the first member tells the sign of a group",
        PLACEMENT,
        "share_below(known.graph, node) for node in members)",
        "share_below(known.graph, node) for node in members[:1])",
        WIDTHS,
    ),
    Mutant(
        "the least share tells the zero point of a group",
        PLACEMENT,
        "max(0.0 if node in known.positive",
        "min(0.0 if node in known.positive",
        f"{BELOW}::test_a_grid_has_its_zero_where_the_function_needs_it",
    ),
    Mutant(
        "the scale is found as if zero were the least integer",
        "compiler/grid.py",
        "return self.lo - self.zero, self.hi - self.zero",
        "return self.lo, self.hi",
        "tests/test_grid.py::test_the_best_scale",
    ),
    Mutant(
        "values below zero have no integer on a narrow grid",
        PLACEMENT,
        "zero=max(1, round(",
        "zero=int((",
        f"{BELOW}::test_a_grid_has_its_zero_where_the_function_needs_it",
    ),
    Mutant(
        "what is joined has grids of its own",
        SHARING,
        "passed.add_edges_from((node, operand) for operand in operands)",
        "passed.add_edges_from((node, operand) for operand in operands[:1])",
        READS,
    ),
    Mutant(
        "each member of a group has a scale",
        PLACEMENT,
        "name = _name(known.graph, members)",
        "name = _name(known.graph, members[-1:])",
        f"{GRIDS}::test_a_group_goes_by_its_first_edge_whatever_joins_later",
    ),
    Mutant(
        "terms are never tied",
        PASS,
        "alone={*together.values(), *apart}, ties=ties",
        "alone={*together.values(), *apart}",
        f"{GRIDS}::test_terms_share_a_grid_where_asked",
    ),
    Mutant(
        "what is joined is tied to the whole",
        PASS,
        "alone={*together.values(), *apart}",
        "alone={*together.values()}",
        f"{GRIDS}::test_what_is_joined_keeps_grids_of_its_own_where_asked",
    ),
    Mutant("what is read twice is not rounded", EDGES, "once = _is_read_once(source)", "once = True", READS),
    Mutant(
        "a factor of any shape goes into a layer",
        EDGES,
        "size == 1 or i + missing == axis for",
        "size >= 1 or i + missing == axis for",
        f"{GRAPHS}::test_a_factor_for_each_position_is_no_layers",
    ),
    Mutant(
        "a norm of other axes goes into a layer",
        EDGES,
        "return sums if sums.axis == 1 else None",
        "return sums",
        f"{GRIDS}::test_a_norm_along_another_axis_reads_a_grid",
    ),
    Mutant(
        "what stands between a layer and a norm is rounded",
        EDGES,
        "found = _up_to_norms(graph, constants)",
        "found: dict[fx.Node, fx.Node] = {}",
        f"{GRIDS}::test_a_norm_behind_moves_is_computed_before_any_rounding",
    ),
    Mutant(
        "last layers are those before them",
        EDGES,
        "lambda reader: not is_layer(reader))",
        "lambda reader: True)",
        f"{GRIDS}::test_layers_of_a_residual_net_that_are_first_and_last",
    ),
    Mutant(
        "every layer is first",
        EDGES,
        "(first if is_layer(node) else reached).add(node)",
        "(first.add(node) if is_layer(node) else None, reached.add(node))",
        f"{GRIDS}::test_layers_of_a_residual_net_that_are_first_and_last",
    ),
    Mutant(
        "layers read the wide stream",
        PASS,
        "edit.divert(reader, narrow)",
        "edit.keep(reader)",
        f"{GRIDS}::test_residual_streams_are_wide_and_layers_read_them_narrow",
    ),
    Mutant(
        "a fused sum is no stream",
        PASS,
        "        while total in together:\n            total = together[total]\n",
        "",
        f"{GRIDS}::test_a_sum_is_as_wide_behind_its_clamp",
    ),
    Mutant(
        "channels of a transposed convolution lie first",
        QUANTIZER,
        "edge.axis or 0, edge.straight",
        "0, edge.straight",
        f"{GRIDS}::test_one_scale_for_each_output_channel",
    ),
    Mutant(
        "grouped transposed convolutions have channels",
        LAYERS,
        "return 1 if groups(call) == 1 else None",
        "return 1",
        f"{GRIDS}::test_grouped_transposed_convolutions_have_one_scale",
    ),
    Mutant(
        "the last edge of a group is calibrated",
        "compiler/calibrate.py",
        "[kept[node] for node in nodes]",
        "[kept[node] for node in nodes[-1:]]",
        f"{GRIDS}::test_shared_scales_are_calibrated_on_all_that_share",
    ),
    Mutant(
        "two graphs name a group apart",
        PLACEMENT,
        "(*in_state, *in_both, *names)[0]",
        "names[0]",
        f"{GRAPHS}::test_both_graphs_read_the_same_scales",
    ),
    Mutant(
        "given scales are trained",
        QUANTIZER,
        "scale = edit.buffer(edge.name, edge.start)",
        "scale = edit.parameter(edge.name, edge.start)",
        f"{INPUTS}::test_given_scales_are_not_calibrated_nor_trained",
    ),
    Mutant(
        "a declared zero is forgotten",
        DECLARED,
        "Grid(self.bits, self.signed, zero=self.zero)",
        "Grid(self.bits, self.signed)",
        f"{INPUTS}::test_declared_integers_go_in_as_they_are",
    ),
    Mutant(
        "bytes have a sign",
        DECLARED,
        "torch.uint8: Integers(scale=1.0)",
        "torch.uint8: Integers(scale=1.0, signed=True)",
        f"{INPUTS}::test_integers_that_are_converted_inside_are_their_own_grid",
    ),
    Mutant(
        "inputs that disagree are joined",
        PLACEMENT,
        "if trained or len(given) > 1:",
        "if trained:",
        f"{INPUTS}::test_inputs_that_are_joined_must_agree",
    ),
]
