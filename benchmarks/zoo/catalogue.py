"""The whole zoo: every family of rows whose packages are installed."""

from __future__ import annotations

import importlib
from functools import cache

from .row import Row, installed

FAMILIES = {
    "small": "",
    "timm": "timm",
    "transformers": "transformers",
    "torchvision": "torchvision",
    "smp": "segmentation_models_pytorch",
}
"""Family -> the optional package that its models come from."""
_FILES = {family: f".{family}" + ("" if family == "small" else "_models") for family in FAMILIES}


@cache
def rows(family: str) -> tuple[Row, ...]:
    """The rows of a family; none where its package is not installed. Builds nothing yet."""
    package = FAMILIES[family]
    if package and not installed(package):
        return ()
    found: list[Row] = importlib.import_module(_FILES[family], __package__).ROWS
    return tuple(found)


def row(name: str) -> Row:
    return next(row for row in rows(name.split("/")[0]) if row.name == name)
