"""Functions of one integer: their real values at every integer that it can be, of which the next grid makes a table.

Each is computed in float64 by the very call of the graph, from the numbers that the fake quantizer gives, and rounded
to the type of the model: a table and the fake-quantized model differ only where torch's own function is not as exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...compiler.arrays import Floats
from ..fixed.ops.table import MOST
from .lower import Node
from .real import Curve, Input, Limited, Quotient, Real, Sum

PER_CHANNEL = frozenset({torch.ops.aten.prelu.default})
"""Calls whose constant is along the channels however many axes follow."""


def precision(node: Node) -> type[np.floating[Any]]:
    """The type in which the fake-quantized model computes a call."""
    return np.float64 if node.node.meta["val"].dtype == torch.float64 else np.float32


def varying(node: Node) -> list[str]:
    """The arguments that are no constants."""
    return [
        name for name, value in node.given.items() if isinstance(value, (Real, Sum, Quotient, Curve, Limited, Input))
    ]


def curve(node: Node) -> Curve:
    """The call as a function of its one argument that is no constant, element by element."""
    names = varying(node)
    if len(names) != 1:
        raise node.unsupported("it does not compute with one value that is an integer")
    before = _before(node, names[0])
    axis, channels = _channels(node, before)
    rank = len(node.builder[before.x.value].shape) + 1
    probe = torch.tensor(np.repeat(before.values, channels // len(before.values), axis=0).T)  # (n, channels)
    probe = probe.reshape([len(probe), *(channels if i == axis else 1 for i in range(rank - 1))])
    found = _called(node, names[0], probe)
    if found.shape != probe.shape:
        raise node.unsupported("its constants differ along several axes")
    values = found.reshape(len(found), channels).T.numpy().astype(precision(node)).astype(np.float64)
    values = np.array([_filled(node, row) for row in values])
    return Curve(before.x, values, before.first, axis)


def _filled(node: Node, row: Floats) -> Floats:
    """The values, with the nearest number where there is none: the model itself gives nothing to go on with there."""
    numbers = np.flatnonzero(~np.isnan(row))
    if not numbers.size:
        raise node.unsupported("it gives no number for any integer of its input's grid")
    places = np.arange(len(row))
    after = numbers[np.searchsorted(numbers, places).clip(max=len(numbers) - 1)]
    before = numbers[(np.searchsorted(numbers, places, side="right") - 1).clip(min=0)]
    found: Floats = row[np.where(np.abs(after - places) < np.abs(before - places), after, before)]
    return found


def _before(node: Node, name: str) -> Curve:
    """What is computed with: a function already, or the real numbers that integers stand for."""
    value = node.given[name]
    if isinstance(value, Curve):
        return value
    x = node.on_grid(name)
    seen = node.builder[x.value].range
    if seen.hi - seen.lo >= MOST:
        raise node.unsupported(f"a table of its values would have {seen.hi - seen.lo + 1} entries, more than {MOST}")
    integers = np.arange(seen.lo, seen.hi + 1, dtype=np.float64) - x.zero
    reals = (integers * float(x.scale[0])).astype(precision(node)).astype(np.float64)
    return Curve(x, reals.reshape(1, -1), seen.lo)


def _channels(node: Node, before: Curve) -> tuple[int, int]:
    """(axis, channels) of the rows that the function needs: those of its input, or of a constant that has several."""
    found = {(before.axis, len(before.values))} if len(before.values) > 1 else set()
    rank = len(node.builder[before.x.value].shape)
    for constant in node.given.values():
        if isinstance(constant, np.ndarray) and constant.size > 1:
            first = 0 if node.node.target in PER_CHANNEL else rank - constant.ndim
            found |= {(first + i, n) for i, n in enumerate(constant.shape) if n > 1}
    if len(found) > 1 or any(axis < 0 for axis, _ in found):
        raise node.unsupported("its constants differ along several axes, or along the batch")
    return next(iter(found), (0, 1))


def _called(node: Node, name: str, probe: Tensor) -> Tensor:
    """What the call gives for `probe`, in float64."""
    given = {key: torch.as_tensor(v).double() if isinstance(v, np.ndarray) else v for key, v in node.given.items()}
    given[name] = probe
    target: Any = node.node.target
    schema = target._schema.arguments
    positional = [given[argument.name] for argument in schema if not argument.kwarg_only]
    found: Tensor = target(*positional, **{a.name: given[a.name] for a in schema if a.kwarg_only})
    return found.double()
