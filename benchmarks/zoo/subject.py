"""What is measured: the one call of lowbit, and the bare torch.export that it is timed against."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import lowbit
import torch
from lowbit.compiler.capture import capture
from torch import nn
from torch.utils import _pytree as pytree

from .row import Given


def captured(model: nn.Module, given: Given) -> nn.Module:
    """The model as a user gets it, whole and verified. Raises UserError where it is refused."""
    return lowbit.capture(model, given[0], kwargs=given[1])


def in_islands(model: nn.Module, given: Given) -> nn.Module:
    """The model with its largest submodules that can be captured. Raises UserError where there are none."""
    return lowbit.capture_islands(model, given[0], kwargs=given[1])


def islands(module: nn.Module) -> list[str]:
    """The paths of the captured parts of a module that was not captured whole."""
    return sorted(getattr(module, "islands", {}))


def bare_export(model: nn.Module, given: Given) -> int:
    """torch.export as capture must call it, in train mode with a dynamic batch; the number of nodes."""
    args, kwargs = given
    bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    batch = {0: torch.export.Dim.DYNAMIC}
    shapes = pytree.tree_map(lambda x: batch if isinstance(x, torch.Tensor) and x.dim() else None, dict(bound))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.export.export(model, args, kwargs, dynamic_shapes=shapes, strict=False)
    return len(program.graph.nodes)


def capture_only(model: nn.Module, given: Given) -> None:
    capture(model, *given, verify=False)


def capture_verified(model: nn.Module, given: Given) -> None:
    capture(model, *given, verify=True)


def nodes(module: nn.Module) -> int:
    """The size of the captured graph, or of all its islands together."""
    graphs = [part.graph for part in getattr(module, "islands", {}).values()] or [module.graph]
    return sum(len(graph.nodes) for graph in graphs)
