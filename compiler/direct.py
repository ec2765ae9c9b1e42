"""Operators of lowbit with a gradient, and how a graph calls them when it runs: directly, not through the dispatcher.

A custom operator stands in graphs under its name, opaque to torch.compile and torch.export. Each eager call of one
takes a quarter of a millisecond of Python, and as much again for its gradient: in a network of small tensors that is a
fifth of a training step. An autograd.Function of the same kernel and gradient takes a quarter of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._library.custom_ops import CustomOpDef

from .graph import Graph, arguments, origin, stamp

_DIRECT: dict[Any, Callable[..., Any]] = {}


def gradient(op: CustomOpDef, backward: Callable[..., Any], setup: Callable[..., Any] | None = None) -> None:
    """Give an operator its gradient, as `register_autograd` does.

    One on lists of tensors is called through the dispatcher for ever: a Function sees no gradient in a list.
    """
    op.register_autograd(backward, setup_context=setup)
    if any(str(item.type) == "List[Tensor]" for item in op._opoverload._schema.arguments):
        return
    function: Any = type(op._name, (torch.autograd.Function,), {"forward": staticmethod(_forward(op, setup))})
    function.backward = staticmethod(backward)
    _DIRECT[op._opoverload] = _eager(op._opoverload, function.apply)


def _forward(op: CustomOpDef, setup: Callable[..., Any] | None) -> Callable[..., Any]:
    """Kernel and setup in one: apart from each other, every call would have its arguments bound by `inspect`."""

    def forward(ctx: Any, *args: Any) -> Any:
        output = op._init_fn(*args)
        if setup is not None:
            setup(ctx, args, output)
        return output

    return forward


def constant(op: CustomOpDef) -> None:
    """Let no gradient pass an operator with one result."""
    count = len(op._opoverload._schema.arguments)
    op.register_autograd(lambda ctx, grad: (None,) * count, setup_context=_mark)
    _DIRECT[op._opoverload] = _eager(op._opoverload, torch.no_grad()(op._init_fn))


def undifferentiated(op: CustomOpDef, run: Callable[..., Any]) -> None:
    """Call this function in the place of an operator that has no gradient."""
    _DIRECT[op._opoverload] = _eager(op._opoverload, torch.no_grad()(run))


def directly(operator: Any) -> Callable[..., Any]:
    """The call of an operator of lowbit that does without the dispatcher."""
    return _DIRECT[operator]


def differentiable(run: Callable[..., Tensor], inputs: Sequence[Tensor], grad: Tensor) -> list[Tensor | None]:
    """The gradients of `run(*inputs)` by its own operators, for who differentiates them in turn; None for constants."""
    with torch.enable_grad():
        asked = [tensor for tensor in inputs if tensor.requires_grad]
        found = iter(torch.autograd.grad(run(*inputs), asked, grad, create_graph=True))
    return [next(found) if tensor.requires_grad else None for tensor in inputs]


def instead(graph: Graph, node: fx.Node, run: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Put a call of a function where a node stands, whose value it gives, in a graph that is to run."""
    with graph.fx.inserting_before(node):
        made = graph.fx.call_function(run, args)
    stamp(made, origin(node), node.meta["val"])
    node.replace_all_uses_with(made)
    graph.fx.erase_node(node)


def _mark(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.mark_non_differentiable(output)  # else who multiplies by it computes a gradient that nobody reads


def _eager(operator: Any, run: Callable[..., Any]) -> Callable[..., Any]:
    """A call that torch.compile still sees as the operator."""
    return lambda *args: operator(*args) if torch.compiler.is_compiling() else run(*args)


def called_directly(graph: Graph) -> Graph:
    """The graph to run. What stood in a block of autocast keeps to the dispatcher, which knows of it.

    What the graph returns may be changed in place by who gets it, and an operator's gradient may need what it gave.
    """
    run, _ = graph.copy()
    _give_copies(run)
    for node in run.nodes:
        if node.target in _DIRECT and not origin(node).autocasts:
            node.args, node.kwargs = tuple(arguments(node).values()), {}
            node.target = _DIRECT[node.target]
    return run


def _give_copies(graph: Graph) -> None:
    for value in dict.fromkeys(graph.outputs):
        if value.target in _DIRECT:
            with graph.fx.inserting_before(graph.output):
                copy = graph.fx.call_function(torch.ops.aten.clone.default, (value,))
            stamp(copy, origin(value), value.meta["val"])
            graph.output.replace_input_with(value, copy)
