"""The check at capture: does the graph compute what the module computes, forward, backward, in train and in eval?"""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import UserError
from ..graph import Graph
from ..modes import evaluated
from .example import Example

TRAINING, EVAL = 1e-4, 1e-5
"""Largest relative differences accepted; both sides run the same kernels in the same order, so 0 is usual."""
NOISE = 1e-5
"""A gradient is compared relative to itself, but to no less than this share of the largest one: a bias before a batch
norm has none but rounding errors."""
SEEDS = (0, 1)
"""A second seed tells what the model draws anew from what the export froze."""


class Fidelity:
    """Module and graph side by side on the example inputs. They run as copies: neither is changed."""

    def __init__(self, graph: Graph, model: nn.Module, example: Example) -> None:
        """Raises UserError for NaN anywhere, and for infinity; attention masks may have the negative one."""
        _refuse_unreal(model, example)
        self._example = example
        self._theirs, self._ours = copy.deepcopy(model), copy.deepcopy(graph.module())
        self._names = _first_names(model)
        self._untouched = {f"buffer {name}": buffer.clone() for name, buffer in _named_buffers(model).items()}

    def in_training(self) -> str:
        """What differs in train mode: an output, a gradient or a buffer after the step; empty if nothing does."""
        for seed in SEEDS:
            backward = seed == SEEDS[0]
            with _seeded(seed), torch.set_grad_enabled(backward):
                theirs = self._observed(self._theirs, self._example.run(self._theirs), backward)
            with _seeded(seed), torch.set_grad_enabled(backward):
                ours = self._observed(self._ours, self._ours(*copy.deepcopy(self._example.flat))[0], backward)
            ours = {**self._untouched, **ours}  # a graph has no use for every buffer
            if name := _difference(ours, theirs, TRAINING):
                return name
        return ""

    def in_eval(self, graph: Graph) -> str:
        """What differs in eval mode, after the training steps before; empty if nothing does."""
        trained = {**_named_parameters(self._ours), **_named_buffers(self._ours)}
        module = copy.deepcopy(evaluated(graph).module()).eval()  # else the model's own buffers would change below
        for name, tensor in {**_named_parameters(module), **_named_buffers(module)}.items():
            tensor.data = trained.get(name, tensor).data.clone()
        with _seeded(SEEDS[0]), torch.no_grad():
            theirs = _outputs(self._example.run(self._theirs.eval()), "eval")
        with _seeded(SEEDS[0]), torch.no_grad():
            ours = _outputs(module(*copy.deepcopy(self._example.flat))[0], "eval")
        return _difference(ours, theirs, EVAL)

    def _observed(self, module: nn.Module, result: Any, backward: bool) -> dict[str, Tensor]:
        """Everything compared in train mode, by name; tied tensors go by their first one."""
        seen = _outputs(result, "training")
        differentiable = [out for out in seen.values() if out.requires_grad and out.is_floating_point()]
        if backward and differentiable:
            module.zero_grad()
            sum((out * torch.rand_like(out)).sum() for out in differentiable).backward()  # type: ignore[union-attr]
            grads = {self._names[name]: parameter.grad for name, parameter in _named_parameters(module).items()}
            seen |= {f"the gradient of {name}": grad.clone() for name, grad in grads.items() if grad is not None}
        buffers = {f"buffer {name}": buffer.clone() for name, buffer in _named_buffers(module).items()}
        return {**{name: tensor.detach() for name, tensor in seen.items()}, **buffers}


def _refuse_unreal(model: nn.Module, example: Example) -> None:
    inputs = {f"example input {i}": x for i, x in enumerate(example.flat) if isinstance(x, Tensor)}
    parameters = {f"parameter '{name}'": x for name, x in model.named_parameters()}
    buffers = {f"buffer '{name}'": x for name, x in model.named_buffers()}
    for name, tensor in {**inputs, **parameters, **buffers}.items():
        seen = tensor.isinf() if name in parameters else tensor.isposinf()
        infinite = name not in buffers and bool(seen.any())
        if infinite or tensor.isnan().any():
            what = f"{name} holds {'NaN' if tensor.isnan().any() else 'infinity'}"
            raise UserError(what, why="nothing that it reaches can be compared or rounded", fix="give it real numbers")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """All random numbers from this seed, the caller's generators as they were afterwards."""
    python, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def _outputs(result: Any, mode: str) -> dict[str, Tensor]:
    tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    return {f"{mode} output {i}": tensor for i, tensor in enumerate(tensors)}


def _first_names(model: nn.Module) -> dict[str, str]:
    """Name of a parameter -> the first name of the same parameter."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in _named_parameters(model).items()}


def _named_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters(remove_duplicate=False))


def _named_buffers(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_buffers(remove_duplicate=False))


def _difference(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float) -> str:
    """The first thing that differs, or that one side has alone."""
    grads = [_magnitude(x) for name, x in theirs.items() if name.startswith("the gradient")]
    floor = NOISE * max(grads, default=0.0)
    for name, expected in theirs.items():
        least = floor if name.startswith("the gradient") else 0.0
        if name not in ours or _far(ours[name], expected, tolerance, least):
            return name
    return next((name for name in ours if name not in theirs and not name.startswith("buffer")), "")


def _far(ours: Tensor, theirs: Tensor, tolerance: float, least: float) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return True
    if not theirs.is_floating_point():
        return not torch.equal(ours, theirs)
    bound = tolerance * max(_magnitude(theirs), least, 1e-6)
    return not torch.allclose(ours, theirs, rtol=0, atol=bound, equal_nan=True)


def _magnitude(tensor: Tensor) -> float:
    """The largest finite absolute value."""
    finite = tensor[tensor.isfinite()].abs() if tensor.is_floating_point() else tensor.new_zeros(0)
    return float(finite.max()) if finite.numel() else 0.0
