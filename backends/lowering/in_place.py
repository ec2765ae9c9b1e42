"""In-place calls that capture kept: the steps of a program are pure, so what is changed may have no other reader."""

from __future__ import annotations

import torch
from torch import fx

from ...compiler.errors import Unsupported
from ...compiler.graph import Graph, is_effect, origin
from ...compiler.operators import CLAMPS, CONVERSIONS, POINTWISE, RESHAPES, SCALINGS, SHIFTS
from ...compiler.text import target_name

_aten = torch.ops.aten
ALIASES = (
    RESHAPES
    | CONVERSIONS
    | frozenset(
        {
            _aten.contiguous.default,
            _aten.dropout.default,
            _aten.dropout_.default,
        }
    )
    | frozenset(target for target in POINTWISE | SHIFTS | SCALINGS | CLAMPS if target._schema.is_mutable)
)
"""Calls whose result may be the very memory of their first argument."""


def check_in_place(graph: Graph) -> None:
    """Raise Unsupported, naming the call, where a tensor is changed in place and read again under another name.

    The plain case, `relu_(y)` and then y, is none of these: the capture reads the result of the call.
    """
    for node in graph.nodes:
        refusal = refused_in_place(node)
        if refusal is not None:
            raise refusal


def refused_in_place(node: fx.Node) -> Unsupported | None:
    """The refusal of a call that changes what is read elsewhere, or nothing."""
    if node.op != "call_function" or not is_effect(node) or not _seen_elsewhere(node):
        return None
    return Unsupported(
        f"{target_name(node.target)} cannot become integers",
        where=str(origin(node)),
        why="it changes a tensor in place that is read elsewhere too",
        fix="use the call that returns a new tensor",
    )


def _seen_elsewhere(node: fx.Node) -> bool:
    """Whether what the call changes, or what that is an alias of, has a later reader or another alias."""
    reader, tensor = node, node.all_input_nodes[0]
    while not any(other is not reader and (other > reader or other.target in ALIASES) for other in tensor.users):
        if tensor.target not in ALIASES:
            return False
        reader, tensor = tensor, tensor.all_input_nodes[0]
    return True
