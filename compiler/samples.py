"""Some of the values of a tensor, for what needs no more to learn from; and which calls look at no more."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from .graph import arguments

_RUN = 16  # float32s of a cache line
_NAMES: dict[Any, str] = {}


def some(x: Tensor, count: int) -> Tensor:
    """About `count` values of x, any shape, or all of x for 0: runs that fill a cache line, at a fixed stride.

    Of values that were chosen so all are chosen again.
    """
    if not count or x.numel() <= count:
        return x
    runs = x.reshape(-1)[: x.numel() // _RUN * _RUN].view(-1, _RUN)
    return runs[:: x.numel() // count].contiguous()


def looks_at_some(operator: Any, argument: str) -> None:
    """Say that an operator takes `some` of each of its tensors; the argument of that name tells how many, 0: all."""
    _NAMES[operator] = argument


def looked_at(node: fx.Node) -> int:
    """How many values a call looks at of each of its tensors; 0: all."""
    return int(arguments(node)[_NAMES[node.target]]) if node.target in _NAMES else 0
