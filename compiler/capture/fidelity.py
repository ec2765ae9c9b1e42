"""The check at capture: does the graph compute what the module computes, forward, backward, in train and in eval?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import UserError
from ..graph import Graph
from ..modes import evaluated

TOLERANCE = 1e-4
"""Largest relative difference accepted; both sides run the same kernels in the same order, so 0 is usual."""

_Call = Callable[[bool], tuple[nn.Module, list[Tensor]]]
"""A run in train or in eval mode: the module that ran, and the tensors among its outputs."""


def check_fidelity(graph: Graph, model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Compare graph and module on the example inputs. Raises UserError naming what differs. Neither is changed."""
    flat = pytree.tree_leaves((tuple(args), dict(kwargs)))
    _refuse_unreal(model, flat)
    theirs, ours = _observe(_module_call(model, args, kwargs)), _observe(_graph_call(graph, flat))
    for name, expected in theirs.items():
        if name in ours and _far(ours[name], expected):
            raise UserError(
                f"the captured graph differs from the model in {name}",
                why="the model does what torch.export cannot record: a custom autograd.Function, Python randomness, "
                "or state that is not a buffer",
                fix="rewrite that part with torch operators, or torch.library.custom_op with register_autograd",
            )


def _refuse_unreal(model: nn.Module, flat: Sequence[Any]) -> None:
    """Refuse NaN anywhere, and infinity but in buffers, where an attention mask has it."""
    inputs = {f"example input {i}": x for i, x in enumerate(flat) if isinstance(x, Tensor)}
    parameters = {f"parameter '{name}'": x for name, x in model.named_parameters()}
    buffers = {f"buffer '{name}'": x for name, x in model.named_buffers()}
    for name, tensor in {**inputs, **parameters, **buffers}.items():
        infinite = name not in buffers and bool(tensor.isinf().any())
        if infinite or tensor.isnan().any():
            what = f"{name} holds {'infinity' if infinite else 'NaN'}"
            raise UserError(what, why="nothing that it reaches can be compared or rounded", fix="give it real numbers")


def _module_call(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
    twin = copy.deepcopy(model)

    def call(train: bool) -> tuple[nn.Module, list[Tensor]]:
        twin.train(train)
        leaves = pytree.tree_leaves(twin(*copy.deepcopy(args), **copy.deepcopy(kwargs)))
        return twin, [leaf for leaf in leaves if isinstance(leaf, Tensor)]

    return call


def _graph_call(graph: Graph, flat: Sequence[Any]) -> _Call:
    train = copy.deepcopy(graph.module())
    state = {**dict(train.named_parameters()), **dict(train.named_buffers())}

    def call(training: bool) -> tuple[nn.Module, list[Tensor]]:
        if training:
            return train, _tensors(train(*copy.deepcopy(flat)))
        module = copy.deepcopy(evaluated(graph).module())  # else the next lines would change the model's own buffers
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            tensor.data = state[name].data
        return module, _tensors(module(*copy.deepcopy(flat)))

    return call


def _tensors(sections: Any) -> list[Tensor]:
    """The outputs among what a graph's module returns, without sizes."""
    return [out for out in sections[0] if isinstance(out, Tensor)]


def _observe(call: _Call) -> dict[str, Tensor]:
    """Everything compared, by name: training outputs, gradients, buffers after the step, then eval outputs."""
    seen: dict[str, Tensor] = {}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        module, outputs = call(True)
        real = [out for out in outputs if out.is_floating_point()]
        seen |= {f"training output {i}": out.detach() for i, out in enumerate(real)}
        if any(out.requires_grad for out in real):
            sum((out * torch.rand_like(out)).sum() for out in real if out.requires_grad).backward()  # type: ignore[union-attr]
        grads = [(name, p.grad) for name, p in module.named_parameters() if p.grad is not None]
        seen |= {f"the gradient of {name}": grad.clone() for name, grad in grads}
        seen |= {f"buffer {name}": buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        torch.manual_seed(0)
        _, outputs = call(False)
    return seen | {f"eval output {i}": out for i, out in enumerate(outputs)}


def _far(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return True
    if not theirs.is_floating_point():
        return not torch.equal(ours, theirs)
    finite = theirs[theirs.isfinite()].abs()
    scale = max(float(finite.max()) if finite.numel() else 0.0, 1e-6)
    return not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE * scale, equal_nan=True)
