"""Multiply-accumulates of a graph's calls, for a batch of one: products of sizes, known without running anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import fx

from ..graph import Graph, arguments

_aten = torch.ops.aten
Sizes: TypeAlias = Callable[[Any], tuple[int, ...]]
"""The shape of an operand, with one sample in the batch."""
Formula: TypeAlias = Callable[[Mapping[str, Any], tuple[int, ...], Sizes], int]
"""(arguments by schema name, shape of the first result, sizes) -> multiply-accumulates."""


def macs(graph: Graph) -> dict[fx.Node, int]:
    """Multiply-accumulates of each call that multiplies tensors by tensors, for one sample; other calls are left out.

    Counted are convolutions, linears, matrix products, attention and recurrent layers, as many as a direct computation
    takes and without their biases; a convolution counts its padding. A batch that the capture fixed is shared out.
    """
    sizes = _one_sample()
    samples = _fixed_batch(graph)
    found: dict[fx.Node, int] = {}
    for node in graph.fx.nodes:
        formula = _FORMULAS.get(getattr(node.target, "overloadpacket", None)) if node.op == "call_function" else None
        if formula is not None:
            found[node] = formula(arguments(node), sizes(node), sizes) // samples
    return found


def _one_sample() -> Sizes:
    """Shapes with every symbol taken for 1: the batch is the only one; what was reckoned before is remembered."""
    known: dict[str, int] = {}

    def size(value: Any) -> int:
        if isinstance(value, int):
            return value
        expression = value.node.expr
        name = str(expression)
        if name not in known:
            known[name] = max(0, int(expression.subs(dict.fromkeys(expression.free_symbols, 1))))
        return known[name]

    def sizes(operand: Any) -> tuple[int, ...]:
        value = operand.meta["val"] if isinstance(operand, fx.Node) else operand
        first = value[0] if isinstance(value, (list, tuple)) else value
        return tuple(size(item) for item in first.shape) if isinstance(first, torch.Tensor) else ()

    return sizes


def _fixed_batch(graph: Graph) -> int:
    """The batch size where the capture fixed it, else 1."""
    shapes = [node.meta["val"].shape for node in graph.inputs if isinstance(node.meta["val"], torch.Tensor)]
    first = next((shape[0] for shape in shapes if len(shape)), 1)
    return max(1, first) if isinstance(first, int) else 1


def _convolution(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    weight = sizes(given["weight"])
    transposed = given.get("transposed", "output_padding" in given)  # only the calls that transpose have the latter
    return math.prod(sizes(given["input"]) if transposed else out) * math.prod(weight[1:])


def _linear(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    return math.prod(out) * sizes(given["weight"])[-1]


def _product(left: str) -> Formula:
    """A matrix product: the last axis of its left operand is summed over."""

    def formula(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
        return math.prod(out) * sizes(given[left])[-1]

    return formula


def _tensordot(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    own, axes = sizes(given["self"]), given["dims_self"]
    summed: int = math.prod(own[axis] for axis in axes)
    return math.prod(out) * summed


def _attention(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    """Each query with each key, and each weight with each value; a causal mask saves nothing."""
    query, key, value = (sizes(given[name]) for name in ("query", "key", "value"))
    return math.prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def _recurrent(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    """Every step of every sample multiplies by each weight matrix once; biases are vectors."""
    steps = sizes(given["data"])[:1] if "data" in given else sizes(given["input"])[:2]
    weights = [sizes(weight) for weight in given["params"]]
    return math.prod(steps) * sum(math.prod(weight) for weight in weights if len(weight) == 2)


def _cell(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    """One step of a recurrent layer."""
    return math.prod(out[:-1]) * sum(math.prod(sizes(given[name])) for name in ("w_ih", "w_hh"))


def _einsum(given: Mapping[str, Any], out: tuple[int, ...], sizes: Sizes) -> int:
    """Operands are contracted in pairs, from left to right or along the path that torch was given."""
    shapes = [sizes(operand) for operand in given["tensors"]]
    left, arrow, right = str(given["equation"]).replace(" ", "").partition("->")
    terms = [_axes(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    extent: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        extent.update((axis, max(size, extent.get(axis, 1))) for axis, size in zip(term, shape, strict=True))
    kept = {axis for axis in extent if (axis in right if axis.isalpha() else not arrow or "." in right)}
    once = {axis for axis in extent if left.count(axis) == 1}
    return _contracted([set(term) for term in terms], kept if arrow else kept | once, extent, given["path"] or [])


def _axes(term: str, rank: int) -> list[str]:
    """A letter for each axis of an operand; those of an ellipsis are numbered from the right, as they broadcast."""
    head, dots, tail = term.partition("...")
    hidden = range(rank - len(head) - len(tail), 0, -1) if dots else ()
    return [*head, *map(str, hidden), *tail]


def _contracted(terms: list[set[str]], result: set[str], extent: Mapping[str, int], path: Sequence[int]) -> int:
    """The products of all pairs; an axis that one operand alone has is summed away before it."""
    count, pairs = 0, iter(zip(path[::2], path[1::2], strict=True))
    while len(terms) > 1:
        first, second = sorted(next(pairs, (0, 1)))
        b, a = terms.pop(second), terms.pop(first)
        read = result.union(*terms)
        both = (a & (b | read)) | (b & (a | read))
        count += math.prod(extent[axis] for axis in both)
        terms = [*terms, both & read] if path else [both & read, *terms]
    return count


def _formulas() -> Mapping[Any, Formula]:
    """Operator -> formula, whichever of its overloads is called."""
    convolutions = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    groups: tuple[tuple[Formula, tuple[str, ...]], ...] = (
        (_convolution, (*convolutions, "convolution")),
        (_linear, ("linear",)),
        (_product("self"), ("matmul", "linalg_matmul", "mm", "bmm", "mv", "dot", "vdot", "inner")),
        (_product("mat1"), ("addmm",)),
        (_product("mat"), ("addmv",)),
        (_product("batch1"), ("baddbmm",)),
        (_tensordot, ("tensordot",)),
        (_einsum, ("einsum",)),
        (_attention, ("scaled_dot_product_attention",)),
        (_recurrent, ("lstm", "gru", "rnn_tanh", "rnn_relu")),
        (_cell, ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")),
    )
    return {getattr(_aten, name): formula for formula, names in groups for name in names}


_FORMULAS = _formulas()
