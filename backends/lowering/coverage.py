"""Coverage: what would become of each call of a captured graph, integers, nothing, or a refusal with its reason."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import fx
from torch.utils import _pytree as pytree

from ...compiler.errors import Unsupported
from ...compiler.graph import Graph, tensor_of
from ...compiler.text import target_name
from ..fixed.program import Builder
from .heirs import heirs as heirs_of
from .heirs import mark
from .in_place import refused_in_place
from .lower import NO_GRID, input_port, lacking, output_port, table, walk
from .real import Input, Lowered

Status: TypeAlias = Literal["integer", "folded", "unsupported"]
PICKS = (operator.getitem, tensor_of)
"""Calls that take one of several results: no calculation of their own."""


@dataclass(frozen=True)
class Covered:
    """A call or an input of a captured graph, and what becomes of it.   why: the reason.   fix: the way out.

    node: it, whose origin names the module and the line of the user.
    """

    node: fx.Node
    status: Status
    why: str = ""
    fix: str = ""


def coverage(captured: Graph, deployed: Graph, on_grids: bool = True) -> list[Covered]:
    """The fate of each call, in order, and of an input that is refused. Nothing is raised for what is not covered.

    captured: marked, in eval mode.   deployed: what the passes made of it.   on_grids: it is ready to be lowered;
    otherwise calls are judged by their kind alone.   A call that is refused counts as a new input to those behind it.
    """
    heirs = heirs_of(captured, deployed)
    fates = _built(deployed) if on_grids else {node: _by_kind(node) for node in deployed.nodes}
    blamed = _blamed(captured, heirs, fates)
    fixed = captured.constants()
    found = []
    for node in captured.nodes:
        is_call = node.op in ("call_function", "call_module") and node.target not in PICKS
        if node in blamed:
            found.append(replace(blamed[node], node=node))
        elif is_call and node in fixed:
            found.append(Covered(node, "folded", "no input reaches it: a constant"))
        elif is_call:
            gone = Covered(node, "folded", "a pass made it part of its neighbour")
            found.append(replace(fates[heirs[node]] if node in heirs else gone, node=node))
    return found


def _built(deployed: Graph) -> dict[fx.Node, Covered]:
    """What becomes of each node of the deployed graph when it is lowered."""
    refusals: dict[fx.Node, Unsupported] = {}
    fresh: dict[int, fx.Node] = {}

    def refused(node: fx.Node, error: Unsupported) -> Lowered:
        value = _input_like(node)
        refusals[node], fresh[id(value)] = error, node
        return value

    became = walk(deployed, Builder(), refused)
    returned = set(deployed.outputs)
    for node in deployed.nodes:
        error = refusals.get(node) or refused_in_place(node) or _refused_port(node, became, node in returned)
        if error is not None:
            refusals[node] = _traced(node, error, became, fresh)
    fixed = deployed.constants()
    return {node: _fate(node, refusals.get(node), became, fixed) for node in deployed.nodes}


def _input_like(node: fx.Node) -> Input:
    """An input of the shape of a refused call; a batch that stands elsewhere than first is counted as one sample."""
    tensors = [leaf for leaf in pytree.tree_leaves(node.meta["val"]) if isinstance(leaf, torch.Tensor)]
    sizes = tensors[0].shape[1:] if tensors else ()
    return Input(tuple(size if isinstance(size, int) else 1 for size in sizes))


def _refused_port(node: fx.Node, became: Mapping[fx.Node, Lowered], is_output: bool) -> Unsupported | None:
    """The refusal of an input whose readers could take it, or of an output that is otherwise covered."""
    try:
        if node.op == "placeholder" and node in became and all(reader.target in table() for reader in node.users):
            input_port(node, became)
        if is_output and not isinstance(became[node], Input):
            output_port(node, became[node])
    except Unsupported as error:
        return error
    return None


def _traced(
    node: fx.Node, error: Unsupported, became: Mapping[fx.Node, Lowered], fresh: Mapping[int, fx.Node]
) -> Unsupported:
    """The refusal, or where the call only lacks the integers of one that is refused, that."""
    sources = [fresh[id(became[operand])] for operand in node.all_input_nodes if id(became.get(operand)) in fresh]
    if not sources or not (error.why == NO_GRID or node.target in PICKS):
        return error
    return Unsupported(
        error.what, where=error.where, why=f"it reads {target_name(sources[0].target)}, which has no integer form"
    )


def _fate(node: fx.Node, error: Unsupported | None, became: Mapping[fx.Node, Lowered], fixed: set[fx.Node]) -> Covered:
    if error is not None:
        return Covered(node, "unsupported", error.why or error.what, error.fix)
    if node in fixed or isinstance(became.get(node), np.ndarray):
        return Covered(node, "folded", "no input reaches it: a constant")
    if any(became.get(operand) is became.get(node) for operand in node.all_input_nodes):
        return Covered(node, "folded", "it changes no integer")
    return Covered(node, "integer", _noted(node, became))


def _noted(node: fx.Node, became: Mapping[fx.Node, Lowered]) -> str:
    """What lowering had to do, told at the call that it did it for."""
    note: str = getattr(became.get(node), "note", "")
    return "" if any(getattr(became.get(operand), "note", "") == note for operand in node.all_input_nodes) else note


def _by_kind(node: fx.Node) -> Covered:
    if node.target in table():
        return Covered(node, "integer", "by its kind alone")
    error = lacking(node)
    return Covered(node, "unsupported", error.why, error.fix)


def _blamed(
    captured: Graph, heirs: Mapping[fx.Node, fx.Node], fates: Mapping[fx.Node, Covered]
) -> Mapping[fx.Node, Covered]:
    """Captured nodes whose own call would be covered, but not what a pass put behind it, such as a grid."""
    origins, alive = {mark(node): node for node in captured.nodes}, set(heirs.values())
    blamed: dict[fx.Node, Covered] = {}
    for node, fate in fates.items():
        root = origins.get(mark(node)) if node.op != "output" else None
        if fate.status != "unsupported" or root is None or node in alive:
            continue
        call = next(iter(root.users), root) if root.op == "get_attr" else root
        blamed.setdefault(call, fate)
    return blamed
