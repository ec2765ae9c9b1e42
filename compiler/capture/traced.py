"""A module's graph, stage by stage: exported, made plain, made pure, folded, freed of its device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from torch import nn

from ..graph import Graph
from ..verify import verify
from .example import Example
from .export import export
from .leaves import opaque
from .plain import plain


def traced(model: nn.Module, example: Example, patterns: Sequence[str]) -> Graph:
    """The graph of the model in the mode that it is in, over its own parameters and buffers. Raises UserError.

    patterns: of the modules that stay opaque.
    """
    leaves = opaque(model, patterns, example)
    with leaves.standing_in():
        program = export(model, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = program.module(check_guards=False)
    graph = plain(exported, model, leaves)
    verify(graph, "capture")
    return graph
