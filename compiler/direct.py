"""Operators of lowbit with a gradient, and how a graph calls them when it runs: directly, not through the dispatcher.

A custom operator stands in graphs under its name, opaque to torch.compile and torch.export. Each eager call of one
takes a quarter of a millisecond of Python, and as much again for its gradient: in a network of small tensors that is a
fifth of a training step. An autograd.Function of the same kernel and gradient takes a quarter of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._library.custom_ops import CustomOpDef

from .graph import Graph, arguments, origin

_DIRECT: dict[Any, Callable[..., Any]] = {}


def gradient(op: CustomOpDef, backward: Callable[..., Any], setup: Callable[..., Any] | None = None) -> None:
    """Give an operator its gradient, as `register_autograd` does. No argument of it is a list of tensors."""
    op.register_autograd(backward, setup_context=setup)
    body = {"forward": op._init_fn, "setup_context": setup or _nothing, "backward": backward}
    parts = {name: staticmethod(part) for name, part in body.items()}
    function = type(op._name, (torch.autograd.Function,), parts)
    _DIRECT[op._opoverload] = _call(op._opoverload, function)


def _nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Its gradient needs nothing of the forward."""


def _call(operator: Any, function: Any) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return operator(*args) if torch.compiler.is_compiling() else function.apply(*args)

    return run


def called_directly(graph: Graph) -> Graph:
    """The graph to run in eager mode. What stood in a block of autocast keeps to the dispatcher, which knows of it."""
    run, _ = graph.copy()
    for node in run.nodes:
        if node.target in _DIRECT and not origin(node).autocasts:
            node.args, node.kwargs = tuple(arguments(node).values()), {}
            node.target = _DIRECT[node.target]
    return run
