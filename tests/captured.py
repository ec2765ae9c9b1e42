"""A model beside its captured twin, run alike: the oracle of the tests of capture."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from lowbit.api import FLOAT as PLAIN
from lowbit.compiler.capture import capture
from lowbit.compiler.prepared import Prepared
from torch import Tensor, nn
from torch.utils import _pytree as pytree


def twins(
    model: nn.Module, args: Sequence[Any], leaves: Sequence[str] = (), verify: bool = True
) -> tuple[nn.Module, Prepared]:
    """A copy of the model, and the captured module with no pass applied."""
    return copy.deepcopy(model), Prepared(capture(model, args, leaves=leaves, verify=verify), PLAIN)


def trained(module: nn.Module, *batches: Sequence[Any]) -> list[Any]:
    """Outputs, gradients and state of one step of plain gradient descent on each batch, then the outputs in eval."""
    seen: list[Any] = []
    for seed, args in enumerate(batches):
        torch.manual_seed(seed)
        module.train().zero_grad()
        out = module(*copy.deepcopy(args))
        sum((leaf * torch.randn_like(leaf)).sum() for leaf in tensors(out)).backward()  # type: ignore[union-attr]
        grads = {name: p.grad for name, p in module.named_parameters()}
        seen.append((out, copy.deepcopy(grads)))
        with torch.no_grad():
            for p in module.parameters():
                p -= 0.1 * p.grad if p.grad is not None else 0
    seen.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
    with torch.no_grad():
        torch.manual_seed(0)
        seen.append(module.eval()(*copy.deepcopy(batches[0])))
    return seen


def tensors(result: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]


def same(model: nn.Module, ours: nn.Module, *batches: Sequence[Any]) -> None:
    """Bit for bit, through as many steps of training as there are batches."""
    theirs, mine = trained(model, *batches), trained(ours, *batches)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
