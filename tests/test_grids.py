"""Which values get a grid, which share one, how wide it is and along which axis: held by a second reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lowbit.compiler.calibrate import calibrate
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.grid import Grid, best_scale
from lowbit.compiler.layers import along_outputs, channels, is_layer, output_axis
from lowbit.testing import graph as traced
from torch import Tensor, fx

aten, own = torch.ops.aten, torch.ops.lowbit

MOVED = {
    *("view", "reshape", "flatten", "transpose", "permute", "slice", "select", "dropout", "upsample_nearest2d", "pad"),
    *("contiguous", "clone", "channel_shuffle", "chunk", "split", "getitem", "expand"),
    *("max_pool1d", "max_pool2d", "max_pool3d"),
}
JOINED = {"cat", "maximum"}
POOLED = {"max_pool1d", "max_pool2d", "max_pool3d"}
CLAMPED = {"relu", "relu_", "relu6", "hardtanh", "clamp"}


def quantized(sketch: str, **options: Any) -> Graph:
    text = ", ".join(f"{key}={str(value).lower()}" for key, value in options.items())
    return traced(f"{sketch} | insert_fake_quant({text})")


def name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


@dataclass(frozen=True)
class Scale:
    """The grid that a value lies on: the name of its scale, and its ends."""

    name: str
    lo: int
    hi: int


def grid_of(node: fx.Node) -> Scale:
    held = arguments(node)
    exponent = held["scale"] if held["scale"].op == "get_attr" else arguments(held["scale"])["self"]
    return Scale(str(exponent.target), held["lo"], held["hi"])


def placed(graph: Graph) -> dict[fx.Node, Scale | None]:
    """Every activation -> its grid, or nothing, read off forwards: what moves values keeps the grid of all of them."""
    found: dict[fx.Node, Scale | None] = {}
    constants = graph.constants()
    for node in graph.nodes:
        if node.op == "output" or node in constants:
            continue
        found[node] = None
        operands = [found[n] for n in node.all_input_nodes if n in found and real(n)]
        if node.target is own.fake_quantize.default:
            found[node] = grid_of(node)
        elif name(node) in MOVED | JOINED:
            rounded = all(reader.target is own.fake_quantize.default for reader in node.users)
            assert name(node) in MOVED or rounded or len(set(operands)) == 1, f"{node} joins {operands}"
            found[node] = operands[0] if name(node) in MOVED or len(set(operands)) == 1 else None
    return found


def real(node: fx.Node) -> bool:
    value = node.meta["val"]
    return not isinstance(value, Tensor) or value.is_floating_point()


def bare(graph: Graph) -> Iterator[tuple[fx.Node, fx.Node]]:
    """(call, operand) where a call computes with an activation that is on no grid and is not just a sum before it."""
    constants, where = graph.constants(), placed(graph)
    for node in graph.nodes:
        if node.op != "call_function" or node in constants or node.target is own.fake_quantize.default:
            continue
        for operand in node.all_input_nodes:
            together = name(node) in CLAMPED | POOLED | {"batch_norm", "mul"} and len(operand.users) == 1
            moved = name(node) in MOVED | JOINED
            if operand in where and real(operand) and where[operand] is None and not (together or moved):
                yield node, operand


SKETCHES = (
    "conv(3) bn relu [ conv(3) ] cat conv(2) relu gap linear(3)",
    "conv(4) relu [ conv(4) bn ] + relu [ conv(4) ] + gap linear(3)",
    "conv(4) relu6 [ gap conv(4,k=1) sigmoid ] * conv(2)",
    "conv(4) hardswish halves shuffle(2) conv(4,groups=2) tanh upsample conv(3)",
    "[ conv(3) relu ] cat maxpool [ conv(6) ] cat relu conv(2)",
    "input(3,9) conv(4) bn relu maxpool conv(4) gap linear(2)",
    "input(2,4,4,4) conv(3) relu maxpool conv(2)",
    "tconv(4,stride=2) bn relu tconv(2) gelu softmax linear(2)",
    "conv(4) pad swap relu avgpool bn conv(3)",
    "rows mix(4) relu swap mix(3) dropout",
    "conv(3) conv(3) tied [ [ relu conv(3) ] cat halves ] + conv(2)",
)
every_sketch = pytest.mark.parametrize("sketch", SKETCHES)


@every_sketch
def test_what_computes_reads_grids(sketch: str) -> None:
    assert not list(bare(quantized(sketch)))


@every_sketch
def test_outputs_are_rounded(sketch: str) -> None:
    graph = quantized(sketch)
    where = placed(graph)
    assert all(where[node] is not None for node in graph.outputs)


@every_sketch
def test_what_is_computed_with_its_source_leaves_no_grid_between(sketch: str) -> None:
    """The one reader of a grid is no clamp, unless of a grid that others read too; no batch norm behind a layer."""
    graph = quantized(sketch)
    for node in graph.nodes:
        before = arguments(node)["x"] if node.target is own.fake_quantize.default else None
        if before is None or before.op != "call_function" or len(node.users) > 1:
            continue
        (reader,) = node.users
        assert reader.op == "output" or name(reader) not in CLAMPED
        assert not (name(reader) == "batch_norm" and is_layer(before) and "linear" not in name(before))


def widths(graph: Graph) -> dict[str, int]:
    """Short name of the scale -> bits, signed ones below zero: `weights.0.weight`, `relu`."""
    nodes = [node for node in graph.nodes if node.target is own.fake_quantize.default]
    found = {grid_of(node).name.removeprefix("lowbit.scales."): grid_of(node) for node in nodes}
    return {
        key.removeprefix("activations."): -Grid((s.hi - s.lo).bit_length(), True).bits if s.lo else s.hi.bit_length()
        for key, s in found.items()
    }


FIRST, MIDDLE, LAST = "weights.0.weight", "weights.2.weight", "weights.5.1.weight"
THREE = "conv(3) relu conv(3) relu avgpool linear(2)"


@pytest.mark.parametrize(
    ("sketch", "options", "wanted"),
    [
        (THREE, {}, {FIRST: -8, MIDDLE: -8, LAST: -8, "input_1": -8, "relu": 8, "avg_pool2d": 8, "linear": -16}),
        (THREE, {"weight_bits": 3, "first_bits": 7}, {FIRST: -7, MIDDLE: -3, LAST: -3, "relu": 8, "avg_pool2d": 8}),
        (
            THREE,
            {"weight_bits": 3, "activation_bits": 4, "last_bits": 9},
            {FIRST: -3, MIDDLE: -3, LAST: -9, "relu": 4, "relu_1": 4, "avg_pool2d": 9, "input_1": -8},
        ),
        (THREE, {"input_bits": 5, "output_bits": 6}, {"input_1": -5, "linear": -6, "relu": 8}),
        ("conv(3)", {"first_bits": 5, "last_bits": 6}, {FIRST: -6}),
        ("conv(3) relu", {"quantize_outputs": False}, {FIRST: -8, "input_1": -8}),
        ("conv(3) flatten view", {"output_bits": 12}, {"conv2d": -12}),
        ("conv(3) relu [ conv(2) relu ] cat conv(1)", {}, {"relu": 8}),
        ("conv(3) relu [ conv(2) ] cat conv(1)", {}, {"relu": -8}),
        ("conv(3) relu [ conv(2) ] cat", {"activation_bits": 5}, {"relu": -5}),
        ("conv(3) sigmoid [ conv(3) relu ] + conv(1)", {}, {"add": 8}),
        ("conv(3) sigmoid [ conv(3) tanh ] * conv(1)", {}, {"mul": -8}),
        ("conv(3) [ id ] + conv(1)", {}, {"add": -8}),
        ("conv(3) [ id ] * conv(1)", {}, {"mul": 8}),
        ("conv(3) relu6 avgpool upsample [ id ] * gap conv(1)", {}, {"mul": 8}),
    ],
)
def test_widths_and_signs(sketch: str, options: dict[str, Any], wanted: dict[str, int]) -> None:
    found = widths(quantized(sketch, **options))
    assert {key: found.get(key) for key in wanted} == wanted
    if options.get("quantize_outputs") is False:
        assert found == wanted


def test_layers_of_a_residual_net_that_are_first_and_last() -> None:
    """Both branches of a stem are first, what ends in the sum is last, and nothing between them is either."""
    found = widths(quantized("[ conv(3) ] + relu conv(3) relu [ conv(3) relu conv(3) ] +", first_bits=5, last_bits=6))
    weights = [bits for key, bits in found.items() if key.startswith("weights")]
    assert weights == [-5, -6, -8, -6]


STREAM = "conv(4) relu [ conv(4) bn ] + relu [ dropout conv(4) ] + avgpool linear(2)"


def test_residual_streams_are_wide_and_layers_read_them_narrow() -> None:
    graph = quantized(STREAM, residual_bits=16, activation_bits=7)
    found = widths(graph)
    streams = {key: bits for key, bits in found.items() if abs(bits) == 16}
    assert streams == {"relu": 16, "batch_norm": -16, "relu_1": 16, "conv2d_2": -16, "add_1": -16, "linear": -16}
    assert {key: bits for key, bits in found.items() if "narrow" in key} == {"narrow.relu": 7, "narrow.relu_1": 7}
    where = placed(graph)
    for node in graph.nodes:
        if is_layer(node):
            read = where[arguments(node)["input"]]
            assert read is not None
            assert read.hi < 2**8
    assert not list(bare(graph))


def test_a_sum_is_as_wide_behind_its_clamp() -> None:
    assert widths(quantized("conv(4) [ conv(4) ] + relu avgpool conv(2)", residual_bits=16))["relu"] == 16


def test_a_stream_that_layers_alone_read_is_no_wider() -> None:
    found = widths(quantized("conv(3) [ conv(3) ] + conv(2)", residual_bits=16))
    assert (found["conv2d"], found["add"]) == (-16, -8)


def test_streams_as_wide_as_the_rest_have_one_grid() -> None:
    assert not [key for key in widths(quantized(STREAM, residual_bits=8)) if "narrow" in key]


def test_what_is_joined_keeps_grids_of_its_own_where_asked() -> None:
    joining = "conv(3) relu [ conv(3) ] cat conv(2)"
    for graph, scales in ((quantized(joining), 1), (apart := quantized(joining, join_bits=12), 2)):
        where, (join,) = placed(graph), graph.fx.find_nodes(op="call_function", target=aten.cat.default)
        assert len({where[node] for node in join.all_input_nodes}) == scales
    assert (widths(apart)["relu"], widths(apart)["conv2d_1"], widths(apart)["cat"]) == (8, -8, -8)
    assert widths(quantized("conv(3) [ conv(3) ] cat tanh conv(2)", join_bits=12))["cat"] == -12


def test_terms_share_a_grid_where_asked() -> None:
    apart, shared = (placed(quantized("conv(3) [ conv(3) ] + conv(2)", share_add=on)) for on in (False, True))
    for where, alike in ((apart, False), (shared, True)):
        (total,) = [node for node in where if node.target is aten.add.Tensor]
        terms = {where[node] for node in total.all_input_nodes}
        assert (len(terms) == 1) is alike


def read_through(sketch: str, target: Any) -> bool:
    """Whether what the call computes with was rounded."""
    graph = quantized(sketch)
    (call,) = [node for node in graph.nodes if node.target is target]
    return any(operand.target is own.fake_quantize.default for operand in call.all_input_nodes)


@pytest.mark.parametrize("fold", ["", "simulate_fold | "])
def test_a_norm_behind_moves_is_computed_before_any_rounding(fold: str) -> None:
    graph = traced(f"conv(4) swap [ conv(4) ] cat bn relu linear(3) | {fold}insert_fake_quant")
    rounded = [name(arguments(node)["x"]) for node in graph.nodes if node.target is own.fake_quantize.default]
    assert rounded.count("relu") == 1
    assert not {"cat", "batch_norm", "div", "add"} & set(rounded)
    assert rounded.count("conv2d") == 1  # the first: a convolution reads it too


def test_a_norm_along_another_axis_reads_a_grid() -> None:
    assert read_through("rows mix(4) bn", aten.batch_norm.default)
    assert not read_through("linear(4) bn", aten.batch_norm.default)


def test_a_group_goes_by_its_first_edge_whatever_joins_later() -> None:
    found = widths(quantized("conv(3) [ conv(2) ] cat [ maxpool upsample ] cat [ conv(4) ] cat"))
    assert set(found) >= {"conv2d"}
    assert not {"conv2d_1", "conv2d_2", "cat", "cat_1", "cat_2"} & set(found)


CHANNELS = (
    "conv(4)",
    "conv(6,groups=3)",
    "linear(4)",
    "mix(3)",
    "tconv(4)",
    "input(3,9) conv(4)",
    "input(3,9) tconv(2)",
)


@pytest.mark.parametrize("sketch", CHANNELS)
def test_one_scale_for_each_output_channel(sketch: str) -> None:
    """A channel as large again has a scale as large again, and no other has."""
    graph = quantized(sketch, per_channel=True)
    (call,) = [node for node in graph.nodes if is_layer(node)]
    held = arguments(arguments(call)["weight"])
    weight, axis = graph.evaluate(held["x"]), held["axis"]
    factors = 2.0 ** torch.arange(channels(call)).double()
    scale = graph.evaluate(held["scale"])
    assert axis == output_axis(call)
    assert scale.shape == factors.shape
    grid = Grid(8, signed=True, narrow=True)
    torch.testing.assert_close(best_scale(weight * along_outputs(call, factors), grid, axis), scale * factors)


@pytest.mark.parametrize("sketch", ["tconv(6,groups=3)", "input(3,9) tconv(6,groups=3)"])
def test_grouped_transposed_convolutions_have_one_scale(sketch: str) -> None:
    graph = quantized(sketch, per_channel=True)
    assert [tensor.numel() for key, tensor in graph.state.items() if "scales.weights" in key] == [1]


def test_shared_scales_are_calibrated_on_all_that_share() -> None:
    graph = quantized("conv(3) relu [ conv(2) ] cat [ conv(5) tanh ] cat conv(1)")
    x = torch.randn(8, 3, 8, 8, dtype=torch.float64)
    calibrate(graph, [[x]])
    joined = [node for node in graph.nodes if node.target is aten.cat.default][-1]
    bare_graph = traced("conv(3) relu [ conv(2) ] cat [ conv(5) tanh ] cat conv(1) | eval")
    (cat,) = [node for node in bare_graph.nodes if node.target is aten.cat.default][-1:]
    every = bare_graph.select(outputs=(cat,)).module()(x)[0][0]
    scale = graph.evaluate(arguments(next(iter(joined.all_input_nodes[-1:])))["scale"])
    torch.testing.assert_close(scale, best_scale(every, Grid(8, signed=True)), rtol=2**-20, atol=0)
