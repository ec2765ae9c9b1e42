"""How a small row is written: the forward of a module, decorated with the parts that it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..row import Given, Row, images, noise, tokens

ROWS: list[Row] = []
Forward = Callable[..., Any]


def vectors(batch: int) -> Given:
    return (noise(batch, 8),), {}


def sequences(batch: int) -> Given:
    return (noise(batch, 5, 8),), {}


def pictures(batch: int) -> Given:
    return images(batch, 8)


def words(batch: int) -> Given:
    return (tokens(batch, 6),), {}


def two(batch: int) -> Given:
    return (noise(batch, 8), noise(batch, 8, key=1)), {}


def made(
    inputs: Callable[[int], Given] = vectors,
    parts: Callable[[], dict[str, Any]] = dict,
    *,
    refused: str = "",
    line: str = "",
    pieces: bool = False,
) -> Callable[[Forward], Forward]:
    """Add the module with this forward to the zoo. parts: its modules, parameters and plain attributes.

    A key that begins with "buffer:" is registered as a buffer, with "transient:" as one that is not saved.
    """

    def add(forward: Forward) -> Forward:
        def build() -> nn.Module:
            module: nn.Module = type(forward.__name__, (nn.Module,), {"forward": forward})()
            for name, part in parts().items():
                kind, _, bare = name.rpartition(":")
                if kind:
                    module.register_buffer(bare, part, persistent=kind == "buffer")
                else:
                    setattr(module, name, part)
            return module

        ROWS.append(Row(f"small/{forward.__name__}", build, inputs, refused, line, pieces))
        return forward

    return add


def whole(build: Callable[[], nn.Module], inputs: Callable[[int], Given] = vectors, **expected: Any) -> None:
    """Add a module that is built by a function of its own.   expected: further fields of the row."""
    ROWS.append(Row(f"small/{build.__name__}", build, inputs, **expected))
