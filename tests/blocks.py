"""Programs of calls in nested blocks of no_grad and autocast: how they are drawn, and a module that runs one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

BLOCKS: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "full": lambda: torch.autocast("cpu", enabled=False),
    "half": lambda: torch.autocast("cpu", torch.float16),
    "elsewhere": lambda: torch.autocast("cuda", enabled=False),
}


def statements(calls: Iterable[str], blocks: Iterable[str], most: int) -> st.SearchStrategy[Any]:
    """(call, first, second), whose numbers choose values, or (block, statements), with up to so many calls."""
    number = st.integers(0, 20)
    call = st.tuples(st.sampled_from(sorted(calls)), number, number)
    names = sorted(blocks)
    return st.recursive(
        call,
        lambda inner: st.tuples(st.sampled_from(names), st.lists(inner, min_size=1, max_size=4)),
        max_leaves=most,
    )


class Program(nn.Module):
    """Runs statements; each appends to a list of values that later ones read, all of them returned."""

    def __init__(self, statements: Any) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.statements = statements

    def called(self, name: str, first: Tensor, second: Tensor, count: int) -> Tensor:
        """The value of a call.   count: of the values before it."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> list[Tensor]:
        values = [x]
        self.run(self.statements, values)
        return values

    def run(self, statements: Any, values: list[Tensor]) -> None:
        for name, *rest in statements:
            if name in BLOCKS:
                with BLOCKS[name]():
                    self.run(rest[0], values)
            else:
                first, second = (values[i % len(values)] for i in rest)
                values.append(self.called(name, first, second, len(values)))
