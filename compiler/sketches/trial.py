"""Trials: a sketch through passes in one line, the notation of evidence, laws and bug reports.

    conv(3) bn | insert_fake_quant(weight_bits=4) | eval | freeze | fold_batch_norm

The first part is a sketch (see `sketch`). Each other part is a pass, with options as in TOML if not the defaults, or
`eval`, which derives the eval graph.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from ..contract import Pass
from ..errors import UserError
from ..graph import Graph
from ..modes import evaluated
from ..pipeline import Result, run
from ..recipe import use
from .sketch import build

STEPS = 20
"""Length of the training that schedules are told of."""

_STAGE = re.compile(r"([\w.:]+)\s*(?:\((.*)\))?")


def trial(line: str, passes: Mapping[str, Pass]) -> Result:
    """The graph at the end of the line, and the ledger of its last part. Raises what sketch and passes raise."""
    sketch, *stages = line.split("|")
    result = Result(build(sketch), ())
    for stage in stages:
        result = advance(result.graph, stage, passes)
    return result


def advance(graph: Graph, stage: str, passes: Mapping[str, Pass]) -> Result:
    """What one part of a line makes of a graph."""
    match = _STAGE.fullmatch(stage.strip())
    if match is None:
        raise UserError(
            f"'{stage.strip()}' is not a pass with options", fix='write name or name(key=value, key="text")'
        )
    if match[1] == "eval":
        return Result(evaluated(graph), ())
    return run(graph, [use({"use": match[1], **_options(match[2] or "")}, stage.strip(), passes)], STEPS)


def _options(text: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(f"options = {{{text}}}")["options"]
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the options '{text}' are not valid TOML", why=str(error)) from None
    return table
