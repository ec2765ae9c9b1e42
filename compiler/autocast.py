"""Blocks of torch.autocast: a call that stood in one runs as it did there, whatever autocast is around the graph."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Autocast:
    """One block, as the arguments of torch.autocast.   device: its type; '' is that of the model, wherever it is."""

    device: str
    dtype: torch.dtype | None
    enabled: bool


@contextlib.contextmanager
def without_autocast() -> Iterator[None]:
    """Within it no autocast of the caller's acts; a block does, and forgets its casts of weights when it ends."""
    depth = torch.autocast_increment_nesting()
    torch.clear_autocast_cache()
    for _ in range(depth):
        torch.autocast_decrement_nesting()
    try:
        with torch._C._DisableAutocast():
            yield
    finally:
        for _ in range(depth - 1):
            torch.autocast_increment_nesting()


def warn_of_autocast(line: str, device: torch.device) -> None:
    """Warn within an autocast, once a line: the model asks there for one, and the graph is the one without."""
    if device.type != "meta" and torch.is_autocast_enabled(device.type):
        warnings.warn(
            f"an autocast is on around a captured model that asks for one, at {line}: it was captured without, and "
            "computes what it does without. Put the block of autocast into the model, where capture sees it",
            stacklevel=3,
        )


def innermost(blocks: Sequence[Autocast]) -> tuple[Autocast, ...]:
    """Of nested blocks those that count: for each device the innermost one."""
    return tuple({block.device: block for block in blocks}.values())


def operator_within(blocks: Sequence[Autocast], function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (device of the model, *args, **kwargs) that calls an operator as it ran within the blocks.

    They are entered where there is an autocast to keep away: the casts of a block stand in the graph as calls.
    """

    def run(device: torch.device, /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    for block in blocks:
        run = _entered(block, run, always=False)
    return run


def module_within(blocks: Sequence[Autocast]) -> Callable[..., Any]:
    """A function of (device of the model, module, *args, **kwargs) that calls the module within the blocks.

    The casts inside of it stand in no graph.
    """

    def run(device: torch.device, module: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    for block in blocks:
        run = _entered(block, run, always=block.enabled)
    return run


def _entered(block: Autocast, function: Callable[..., Any], always: bool) -> Callable[..., Any]:
    """Plain Python, for torch.compile to see through."""
    dtype = block.dtype if block.enabled else None

    def run(device: torch.device, /, *args: Any, **kwargs: Any) -> Any:
        kind = block.device or device.type
        if kind == "meta" or not (always or torch.is_autocast_enabled(kind)):  # none acts there, and asking fails
            return function(device, *args, **kwargs)
        with torch.autocast(kind, dtype, block.enabled):
            return function(device, *args, **kwargs)

    return run
