"""One row measured: captured or refused, equal to the plain module on every count, and how long it took."""

from __future__ import annotations

import copy
import gc
import time
import traceback
from collections.abc import Callable
from typing import Any

from lowbit.compiler.errors import LowbitError
from torch import nn

from . import oracle, subject
from .row import Given, Row

CAPTURED, HELD = 2, 3
"""Batch sizes: of the example at capture, and the other at which a dynamic batch is tried."""
_WAYS = {"export": subject.bare_export, "capture": subject.capture_only, "verified": subject.capture_verified}


def measure(row: Row, timed: bool = True) -> dict[str, Any]:
    """What happened, ready for JSON.

    outcome: whole, islands, refused, crashed (capture raised what is no refusal), broken (the captured module raised),
    absent (the model itself does not run here).
    """
    began = time.monotonic()
    result: dict[str, Any] = {"name": row.name}
    try:
        args, kwargs = row.inputs(CAPTURED)
        row.fresh()(*args, **kwargs)
    except Exception as error:
        return result | {"outcome": "absent"} | _told(error)
    result |= {"outcome": "whole", "islands": []}
    try:
        ours = subject.captured(row.fresh(), row.inputs(CAPTURED))
    except LowbitError as error:
        result |= {"outcome": "refused", "refusal": _refusal(error)}
    except Exception as error:
        return result | {"outcome": "crashed"} | _told(error)
    try:
        if result["outcome"] == "refused":
            ours = subject.in_islands(row.fresh(), row.inputs(CAPTURED))
            result |= {"outcome": "islands", "islands": subject.islands(ours)}
    except LowbitError:
        return result | {"wall": time.monotonic() - began}
    except Exception as error:
        return result | {"outcome": "crashed"} | _told(error)
    try:
        result |= _examined(row, ours)
    except Exception as error:
        return result | {"outcome": "broken"} | _told(error)
    if timed and result["outcome"] == "whole":
        result["seconds"] = _seconds(row, time.monotonic() - began)
    return result | {"wall": time.monotonic() - began}


def _refusal(error: LowbitError) -> dict[str, str]:
    return {"what": error.what, "where": error.where, "why": error.why, "fix": error.fix}


def _examined(row: Row, ours: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {"nodes": subject.nodes(ours), "renamed": oracle.renamed(row, ours)}
    found["equal"] = oracle.compare(row, copy.deepcopy(ours), CAPTURED)
    if not oracle.equal(found["equal"]):
        found["control"] = oracle.compare(row, row.fresh(), CAPTURED)
    try:
        found["other batch"] = oracle.compare(row, copy.deepcopy(ours), HELD)
    except Exception as error:
        found["static"] = f"{type(error).__name__}: {error}"[:600]
    return found


def _seconds(row: Row, spent: float) -> dict[str, float]:
    """The least CPU time of each way, on fresh models, each round in another order; what came before warmed all."""
    rounds = 3 if spent < 4 else 1
    least = dict.fromkeys(_WAYS, float("inf"))
    ways = list(_WAYS)
    for _ in range(rounds):
        for way in ways:
            least[way] = min(least[way], _timed(_WAYS[way], row.fresh(), row.inputs(CAPTURED)))
        ways = ways[1:] + ways[:1]
    return least


def _timed(run: Callable[[nn.Module, Given], Any], model: nn.Module, given: Given) -> float:
    gc.collect()
    began = time.process_time()
    run(model, given)
    return time.process_time() - began


def _told(error: Exception) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    where = " < ".join(f"{frame.filename}:{frame.lineno}  {frame.line}" for frame in reversed(frames))
    return {"what": f"{type(error).__name__}: {error}"[:800], "where": where}
