"""What is known of the values of a graph before any is rounded: which are, their signs, and where they stand.

Each answer is one sweep over the nodes, so that a graph of ten thousand takes no longer than its length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from ..graph import Graph, arguments, shape
from ..layers import channel_axis, is_layer
from ..norms.norm import forms, is_second
from ..norms.takers import Search, norms
from ..operators import (
    ADDITIONS,
    AVERAGES,
    CLAMPS,
    CONVOLUTIONS,
    JOINS,
    MATMULS,
    MAX_POOLS,
    NONNEGATIVE,
    SCALINGS,
    SHIFTS,
    TOTALS,
    TRANSPOSED,
    aten,
    own,
)
from .divisors import guards_a_division
from .sharing import bordered, carried, floating, readers


@dataclass(frozen=True)
class _Sums:
    """An accumulator. axis: of its channels.   linear: a factor or a bias a channel still goes into its weights.

    spatial: maxima over windows stay within a channel.   total: a sum over axes, which further sums and a factor of all
    go into.
    """

    axis: int
    linear: bool = True
    spatial: bool = False
    total: bool = False


def fused(graph: Graph, constants: Set[fx.Node]) -> Mapping[fx.Node, fx.Node]:
    """Value -> its only reader, where the integer program computes both before any rounding."""
    found = _up_to_norms(graph, constants)
    sums: dict[fx.Node, _Sums] = {}
    for node in graph.nodes:
        if node.op != "call_function" or node in constants or is_second(node):
            continue
        if (both := forms(node)) is not None:
            found.update(dict.fromkeys(both, node))
            if both[1] in sums:
                sums[node] = sums[both[1]]
        elif node.target is aten.batch_norm.default and _operand(node, constants) in found.keys() - sums.keys():
            sums[node] = _Sums(1)  # behind moves
        elif is_layer(node):
            sums[node] = _Sums(channel_axis(node), spatial=node.target in CONVOLUTIONS | TRANSPOSED)
        elif node.target in MATMULS:
            sums[node] = _Sums(len(shape(node)) - 1)
        elif (source := _operand(node, constants)) is not None:
            once = _is_read_once(source)
            behind = _behind(node, source, sums.get(source), constants) if once else None
            if behind is not None:
                sums[node] = behind
            elif node.target in TOTALS:
                sums[node] = _Sums(0, total=True)
            if behind is not None or (once and node.target in CLAMPS and source.op == "call_function"):
                found[source] = node
    return found


def _up_to_norms(graph: Graph, constants: Set[fx.Node]) -> dict[fx.Node, fx.Node]:
    """Value -> its only reader, from the layers that take in a norm to the norm: there may be moves between."""
    search = Search(constants)
    paths = [search.takers(norm).between for norm in norms(graph) if not is_second(norm)]
    passed = [node for path in paths if all(map(_is_read_once, path)) for node in path]
    return {node: next(reader for reader in readers(node) if not is_second(reader)) for node in passed}


def _is_read_once(source: fx.Node) -> bool:
    return len([reader for reader in readers(source) if not is_second(reader)]) == 1


def _operand(node: fx.Node, constants: Set[fx.Node]) -> fx.Node | None:
    """The one value that the call computes with, beside constants."""
    values = [operand for operand in node.all_input_nodes if operand not in constants]
    return values[0] if len(values) == 1 else None


def _behind(node: fx.Node, source: fx.Node, sums: _Sums | None, constants: Set[fx.Node]) -> _Sums | None:
    """What the call makes of an accumulator, or nothing where that must be rounded first."""
    if sums is None:
        return None
    if sums.total:
        alike = node.target in TOTALS or (node.target in SCALINGS and _by_a_number(node))
        return sums if alike else None
    if node.target in CLAMPS or (node.target in MAX_POOLS and sums.spatial):
        return replace(sums, linear=False)  # rounding keeps order: the maximum goes first, and less is rounded
    if not sums.linear:
        return None
    if node.target is aten.batch_norm.default:
        return sums if sums.axis == 1 else None
    return sums if node.target in SCALINGS | SHIFTS and _a_channel(node, source, sums.axis) else None


def _by_a_number(node: fx.Node) -> bool:
    """Whether a value is multiplied or divided by a positive number."""
    other = arguments(node)["other"]
    return isinstance(other, (int, float)) and 0 < other < math.inf


def _a_channel(node: fx.Node, source: fx.Node, axis: int) -> bool:
    """Whether a value is multiplied by, or added to, one constant, or one for each channel, or for each sample."""
    given = arguments(node)
    if given["self"] is not source and node.target not in {aten.mul.Tensor, *ADDITIONS}:
        return False
    constant = given["other"] if given["self"] is source else given["self"]
    if not isinstance(constant, fx.Node):
        return True
    sizes, missing = shape(constant), len(shape(source)) - len(shape(constant))
    return missing >= 0 and all(
        not isinstance(size, int) or size == 1 or i + missing == axis for i, size in enumerate(sizes)
    )


def nonnegative(graph: Graph) -> set[fx.Node]:
    """The nodes of which no value can be below zero."""
    found: set[fx.Node] = set()
    for node in graph.nodes:
        limits = node.op == "get_attr" and any(reader.target is aten.clamp_max.Tensor for reader in node.users)
        if limits and not bool((graph.tensor(node) < 0).any()):
            found.add(node)
        if node.op == "call_function" and floating(node) and _stays_positive(node, found):
            found.add(node)
    return found


def _stays_positive(node: fx.Node, found: Set[fx.Node]) -> bool:
    def at_least_zero(value: Any) -> bool:
        return value in found if isinstance(value, fx.Node) else value is None or value >= 0

    if node.target in NONNEGATIVE:
        return True
    if sources := carried(node) or bordered(node):
        fill = arguments(node).get("value") if hasattr(node.target, "_schema") else None
        enough = any if node.target is aten.maximum.default else all
        return enough(map(at_least_zero, sources)) and at_least_zero(fill) and _scalars_too(node, at_least_zero)
    if node.target is own.fake_quantize.default:
        return bool(arguments(node)["lo"] >= arguments(node)["zero"])
    if node.target in CLAMPS:
        least, most = _limits(node)
        return at_least_zero(most) and ((least is not None and least >= 0) or at_least_zero(arguments(node)["self"]))
    if node.target in AVERAGES | TOTALS:
        return at_least_zero(node.all_input_nodes[0])
    if node.target in ADDITIONS | SCALINGS:
        given = arguments(node)
        if guards_a_division(node):
            return True
        square = given["self"] is given["other"] and node.target in SCALINGS
        return square or (given.get("alpha", 1) >= 0 and all(at_least_zero(given[key]) for key in ("self", "other")))
    if node.target is aten.pow.Tensor_Scalar:
        return at_least_zero(arguments(node)["self"]) or arguments(node)["exponent"] % 2 == 0
    return node.target in MATMULS and all(map(at_least_zero, node.all_input_nodes))


def _scalars_too(node: fx.Node, at_least_zero: Callable[[Any], bool]) -> bool:
    """Of a choice between a tensor and a number, the number."""
    if node.target not in JOINS:
        return True
    return all(at_least_zero(value) for value in node.args if isinstance(value, (int, float)))


def _limits(node: fx.Node) -> tuple[float | None, float | None]:
    """The numbers between which a clamp holds its values."""
    given = arguments(node)
    if "min_val" in given:
        return given["min_val"], given["max_val"]
    return given.get("min"), given.get("max")


@dataclass(frozen=True)
class Ends:
    """Where values and layers stand between the model's inputs and outputs.

    outputs: values that are read as outputs alone, reshaped perhaps, or as the place of a maximum.
    first, last: layers that an input reaches, or that reach an output, through no other layer.
    before_last: values that only last layers read.   multiplied: values that only layers and matrix products read.
    """

    outputs: Set[fx.Node]
    first: Set[fx.Node]
    last: Set[fx.Node]
    before_last: Set[fx.Node]
    multiplied: Set[fx.Node]


def ends(graph: Graph) -> Ends:
    """See `Ends`."""
    nodes = graph.nodes
    reaching = _backward(nodes, any, lambda reader: reader.op == "output", lambda reader: not is_layer(reader))
    last = {node for node in reaching if is_layer(node)}
    return Ends(
        _backward(nodes, all, lambda reader: reader.op == "output", lambda r: bool(carried(r)) or not floating(r)),
        _first(nodes),
        last,
        _backward(nodes, all, lambda reader: reader in last, lambda reader: bool(carried(reader))),
        _backward(nodes, all, is_product, lambda r: r.target not in JOINS and bool(carried(r))),
    )


def is_product(node: fx.Node) -> bool:
    """Whether this is a layer or a product of matrices."""
    return is_layer(node) or node.target in MATMULS


def _first(nodes: list[fx.Node]) -> set[fx.Node]:
    """The layers that an input reaches through no other."""
    reached: set[fx.Node] = set()
    first: set[fx.Node] = set()
    for node in nodes:
        if node.op == "placeholder":
            reached.add(node)
        elif any(operand in reached for operand in node.all_input_nodes) and _carries_values(node):
            (first if is_layer(node) else reached).add(node)
    return first


def _carries_values(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (torch.Tensor, list, tuple))


def _backward(
    nodes: list[fx.Node],
    enough: Callable[[Any], bool],
    wanted: Callable[[fx.Node], bool],
    through: Callable[[fx.Node], bool],
) -> set[fx.Node]:
    """The nodes of whose readers any or all are wanted, or stand in front of such ones and let values through."""
    found: set[fx.Node] = set()
    for node in reversed(nodes):
        given = readers(node)
        if given and enough(wanted(reader) or (reader in found and through(reader)) for reader in given):
            found.add(node)
    return found
