"""What the normal form of a graph rests on: who shares memory, whose gradients are summed where, sizes as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from .aliases import Aliases, aliases
from .contract import OptionsFor
from .graph import Graph, arguments, fixed
from .operators import RESHAPES, aten

SHAPED = RESHAPES | {
    aten._unsafe_view.default,
    aten.reshape_as.default,
    aten.squeeze.default,
    aten.unflatten.int,
    aten.view_as.default,
}
"""Calls that only give the same values another shape, in all their spellings."""
COPIES = frozenset({aten.add.Tensor, aten.clone.default, aten.div.Tensor, aten.mul.Tensor, aten.sub.Tensor})
"""Calls that may return a copy of their first argument: times or divided by 1, plus or minus 0."""


@dataclass(frozen=True)
class Memory:
    """written: names of the nodes whose memory some call changes.   devices: whether inputs may lie on several.
    copies: name of each call that returns a copy of its first argument -> why the copy has to be, or nothing.
    """

    written: frozenset[str]
    devices: bool
    copies: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        """Whether a node of that name returns a copy: what the plan asks rules to look at."""
        return name in self.copies


def memory(graph: Graph, options: OptionsFor) -> Memory:
    """Read all that a rule must know of the whole graph, in time linear in it; rules make no new copies or writers."""
    known = aliases(graph)
    returned = {known.groups[node] for node in graph.output.all_input_nodes}
    copying = [node for node in graph.fx.nodes if _copies(node)]
    return Memory(
        frozenset(node.name for node, group in known.groups.items() if group in known.written),
        sum(isinstance(node.meta.get("val"), Tensor) for node in graph.inputs) > 1,
        {node.name: _needed(node, known, returned) for node in copying},
    )


def _copies(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target not in COPIES:
        return False
    given = arguments(node)
    other = given.get("other")
    if node.target is aten.clone.default:
        return True
    neutral = 0 if node.target in (aten.add.Tensor, aten.sub.Tensor) else 1
    return isinstance(other, (int, float)) and other == neutral


def _needed(node: fx.Node, known: Aliases, returned: set[fx.Node]) -> str:
    """Why the copy has to be made, or nothing."""
    source: fx.Node = arguments(node)["self"]
    if not alike(source.meta["val"], node.meta["val"]):
        return "its result has another type or lies otherwise in memory"
    if node.target is aten.add.Tensor and source.meta["val"].is_floating_point():
        return "adding 0 makes 0.0 of -0.0"
    if known.groups[source] in known.written or known.groups[node] in known.written:
        return "the copy or what it is of is changed in place"
    return "the copy is an output, which the caller may change" if known.groups[node] in returned else ""


def alike(one: Tensor, other: Tensor) -> bool:
    """Whether two (fake) tensors have the same type, shape and strides, on the same device."""
    return (one.dtype, one.device, *_layout(one)) == (other.dtype, other.device, *_layout(other))


def _layout(value: Tensor) -> tuple[list[str], list[str]]:
    return same_sizes(value), [str(step) for step in value.stride()]


def same_sizes(value: Tensor) -> list[str]:
    """The sizes in a form that can be compared without a guard on a symbol."""
    return [str(size) for size in value.shape]


def sizes(value: Tensor) -> list[int] | None:
    """The sizes as a reshape takes them, -1 for the one that depends on the input; None if several do."""
    found = [-1 if (size := fixed(given)) is None else size for given in value.shape]
    return None if found.count(-1) > 1 or (-1 in found and 0 in found) else found


def summands(node: fx.Node, most: int) -> int:
    """How often readers read a value, that is how many gradients are summed to its own; counted up to most + 1."""
    count = 0
    for reader in node.users:
        found: list[fx.Node] = []
        fx.map_arg((reader.args, reader.kwargs), found.append)
        count += found.count(node)
        if count > most:
            break
    return count


def sums_alike(kept: fx.Node, gone: fx.Node) -> bool:
    """Whether gradients are summed to the same, bit for bit, if readers of `gone` read `kept`, which it reads, instead.

    Two may be added in either order, and so may all where `gone` was the only reader.
    """
    if not kept.meta["val"].is_floating_point() or summands(kept, 1) == 1:
        return True
    return summands(kept, 2) - 1 + summands(gone, 2) <= 2


def drops_batch(node: fx.Node) -> bool:
    """Whether a squeeze would take an axis away from some inputs and not from others."""
    given: dict[str, Any] = arguments(node)
    value: Tensor = given["self"].meta["val"]
    match node.target:
        case aten.squeeze.default:
            axes: Sequence[int] = range(value.dim())
        case aten.squeeze.dim | aten.squeeze.dims:
            axes = given["dim"] if isinstance(given["dim"], (list, tuple)) else [given["dim"]]
        case _:
            return False
    return any(fixed(value.shape[axis]) is None for axis in axes)


def same_padding(call: fx.Node) -> tuple[list[int], list[int]]:
    """(zeros to put behind each spatial axis first, the padding of both ends) of a convolution padded in words."""
    given = arguments(call)
    kernel = given["weight"].meta["val"].shape[2:]
    if given["padding"] == "valid":
        return [0] * len(kernel), [0] * len(kernel)
    dilation = list(given["dilation"])
    dilation *= len(kernel) if len(dilation) == 1 else 1
    totals = [step * (int(size) - 1) for step, size in zip(dilation, kernel, strict=True)]
    return [total % 2 for total in totals], [total // 2 for total in totals]


def contiguous(value: Tensor, form: torch.memory_format | None = None) -> bool:
    """Whether a tensor lies in memory as `contiguous` would put it."""
    return bool(value.is_contiguous(memory_format=form or torch.contiguous_format))
