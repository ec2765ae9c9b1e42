"""The oracle: a captured module against the plain one. It shares nothing with the check that capture makes itself."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .row import Given, Row, seed

EVAL, TRAIN = 1e-5, 1e-4
"""Largest relative difference that counts as equal: of eval outputs; of training outputs, buffers and gradients."""
Differences = dict[str, float]
"""What was compared -> its largest difference relative to the largest value of the plain module."""


def compare(row: Row, ours: nn.Module, batch: int) -> Differences:
    """Eval outputs, then a seeded training step, then eval outputs again; both start from the row's fresh state."""
    plain, given = row.fresh(), row.inputs(batch)
    ours.load_state_dict(plain.state_dict())
    found = {"eval": _outputs(*(_run(module.eval(), given) for module in (ours, plain)))}
    mine, theirs = (_step(module.train(), given) for module in (ours, plain))
    found["train"] = _outputs(mine[0], theirs[0])
    found["gradients"] = _named(mine[1], theirs[1])
    buffers, mine_too = dict(plain.named_buffers()), dict(ours.named_buffers())
    common = buffers.keys() & (mine_too.keys() | plain.state_dict().keys())
    found["buffers"] = _named({k: v for k, v in mine_too.items() if k in common}, {k: buffers[k] for k in common})
    found["eval after"] = _outputs(*(_run(module.eval(), given) for module in (ours, plain)))
    return found


def renamed(row: Row, ours: nn.Module) -> str:
    """Why names are not kept: other keys of `state_dict`, other parameters, or no strict loading either way."""
    plain = row.fresh()
    mine, theirs = ours.state_dict(), plain.state_dict()
    if list(mine) != list(theirs):
        return f"keys differ: {sorted(mine.keys() ^ theirs.keys())[:3] or 'their order'}"
    if [name for name, _ in ours.named_parameters()] != [name for name, _ in plain.named_parameters()]:
        return "parameters differ"
    try:
        copy.deepcopy(ours).load_state_dict(theirs, strict=True)
        plain.load_state_dict(copy.deepcopy(mine), strict=True)
    except RuntimeError as error:
        return str(error)[:300]
    return ""


def equal(found: Differences) -> bool:
    return all(value <= (EVAL if name.startswith("eval") else TRAIN) for name, value in found.items())


def _run(module: nn.Module, given: Given) -> Any:
    seed(3)
    args, kwargs = copy.deepcopy(given)
    with torch.no_grad():
        return module(*args, **kwargs)


def _step(module: nn.Module, given: Given) -> tuple[Any, dict[str, Tensor]]:
    """Training outputs and gradients of one seeded step of plain gradient descent."""
    seed(3)
    args, kwargs = copy.deepcopy(given)
    result = module(*args, **kwargs)
    outputs = [x for x in pytree.tree_leaves(result) if isinstance(x, Tensor) and x.requires_grad]
    if outputs:
        generator = torch.Generator().manual_seed(5)
        weights = [torch.randn(x.shape, generator=generator).to(x.dtype) for x in outputs]
        torch.autograd.backward(outputs, weights)
    gradients = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None and bool(parameter.grad.isfinite().all()):
                parameter.sub_(parameter.grad, alpha=1e-3 / max(1.0, float(parameter.grad.abs().max())))
    return pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), result), gradients


def _outputs(ours: Any, theirs: Any) -> float:
    mine, my_form = pytree.tree_flatten(ours)
    others, form = pytree.tree_flatten(theirs)
    if my_form != form:
        return float("inf")
    return max((_difference(a, b) for a, b in zip(mine, others, strict=True)), default=0.0)


def _named(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """A tensor that only one side has counts as zeros; one far smaller than the largest is measured against that."""
    largest = max((float(x.abs().max()) for x in theirs.values() if x.is_floating_point() and x.numel()), default=0.0)
    worst = 0.0
    for name in ours.keys() | theirs.keys():
        a, b = ours.get(name), theirs.get(name)
        a, b = torch.zeros_like(b) if a is None and b is not None else a, torch.zeros_like(a) if b is None else b
        worst = max(worst, _difference(a, b, 1e-3 * largest))
    return worst


def _difference(ours: Any, theirs: Any, floor: float = 0.0) -> float:
    """The largest difference relative to the largest finite value; infinite where type, shape or an integer differs."""
    if not isinstance(theirs, Tensor) or not isinstance(ours, Tensor):
        return 0.0 if type(ours) is type(theirs) and ours == theirs else float("inf")
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return float("inf")
    if torch.equal(ours, theirs) or not theirs.numel():
        return 0.0
    if not (theirs.is_floating_point() or theirs.is_complex()):
        return float("inf")
    if not torch.equal(ours.isfinite(), theirs.isfinite()) or not torch.equal(ours.isnan(), theirs.isnan()):
        return float("inf")
    finite = theirs.isfinite()
    a, b = (x[finite].to(torch.complex128 if x.is_complex() else torch.float64) for x in (ours, theirs))
    return float((a - b).abs().max()) / max(float(b.abs().max()), floor, 1e-30) if b.numel() else 0.0
