"""The context mixer in plain Python: what a stripe's bytes are, by definition. The form in C agrees byte for byte."""

from __future__ import annotations

from ..codec import Words
from .arithmetic import Coder, Decoder, Encoder
from .model import Model
from .older import Older
from .settings import LITE, MAX, Grid, Settings


def encode(values: Words, level: int, settings: Settings, grid: Grid) -> bytes:
    """See `form.encode`."""
    coder = Encoder()
    model, up, up2 = _model(level, settings, grid, coder), [0] * grid.columns, [0] * grid.columns
    for row in values.reshape(grid.rows, grid.columns).tolist():
        model.row(row, up, up2)
        up, up2 = row, up
    return coder.finish()


def decode(data: bytes | memoryview, level: int, settings: Settings, grid: Grid, out: Words) -> bool:
    """See `form.decode`."""
    coder = Decoder(data)
    model, up, up2 = _model(level, settings, grid, coder), [0] * grid.columns, [0] * grid.columns
    for start in range(0, out.size, grid.columns):
        row = [0] * grid.columns
        model.row(row, up, up2)
        out[start : start + grid.columns] = row
        up, up2 = row, up
    return coder.finished()


def _model(level: int, settings: Settings, grid: Grid, coder: Coder) -> Model | Older:
    return (Model if level in (LITE, MAX) else Older)(level, settings, grid, coder)
