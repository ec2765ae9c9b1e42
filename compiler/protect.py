"""A graph to run: what stood in blocks of autocast is called through functions that keep to those blocks."""

from __future__ import annotations

from typing import Any

from torch import fx

from .autocast import Autocast, module_within, operator_within
from .devices import home
from .graph import Graph, origin


def protected(graph: Graph, device: fx.Node | None = None) -> Graph:
    """The graph to run under any autocast.   device: where the model is; without, where it was captured."""
    run = leaves_within(graph, device)
    made: dict[Any, Any] = {}
    for node in run.nodes:
        target: Any = node.target
        if node.op == "call_function" and (blocks := origin(node).autocasts):
            if (target, blocks) not in made:
                made[target, blocks] = operator_within(blocks, target)
            node.target, node.args = made[target, blocks], (device or home(run.fx), *node.args)
    return run


def leaves_within(graph: Graph, device: fx.Node | None = None) -> Graph:
    """The graph with every leaf called within its blocks; what they cast is nowhere else."""
    run, _ = graph.copy()
    for node in run.fx.find_nodes(op="call_module"):
        if blocks := origin(node).autocasts:
            _call_within(run, node, blocks, device or home(run.fx))
    return run


def _call_within(graph: Graph, leaf: fx.Node, blocks: tuple[Autocast, ...], device: Any) -> None:
    with graph.fx.inserting_before(leaf):
        module = graph.fx.create_node("get_attr", str(leaf.target))
        made = graph.fx.create_node("call_function", module_within(blocks), (device, module, *leaf.args), leaf.kwargs)
    leaf.replace_all_uses_with(made)
    graph.fx.erase_node(leaf)
