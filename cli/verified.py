"""A verification as tables: a row a node, and what it comes to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..backends.verification.figures import Codes, Votes
    from ..backends.verification.report import Node, Verification


def columns() -> tuple[str, ...]:
    """The heads of the table of nodes."""
    return ("", "rounds", "module", "codes", "max error", "mean error", "SQNR dB", "fed alike", "end to end", "line")


def rows(found: Verification) -> list[tuple[object, ...]]:
    """A row for each node; what breaks the contract has a mark in front."""
    return [_row(node, "!" if not node.keeps(found.contract) else "") for node in found.nodes]


def _row(node: Node, mark: str) -> tuple[object, ...]:
    sqnr = f"{node.error.sqnr:.1f}" if math.isfinite(node.error.sqnr) else "no noise"
    error = (f"{node.error.largest:.3g}", f"{node.error.mean:.3g}", sqnr)
    return (mark, node.call, node.layer, node.fed.count, *error, told(node.fed), told(node.whole), node.source)


def told(codes: Codes) -> str:
    """How many codes differ, and by how much: `3 (0.0010 %) by 1`, or `0`."""
    if not codes.different:
        return "0"
    return f"{codes.different:,} ({100 * codes.share:.4f} %) by {codes.largest}"


def summary(found: Verification) -> list[tuple[str, str]]:
    """What all nodes come to, and whether the contract holds."""
    from ..backends.verification.report import place

    bad = found.first_bad
    lines = [
        ("samples", f"{found.samples:,}"),
        ("codes that differ, each node fed alike", f"{told(found.codes)} of {found.codes.count:,}"),
        ("highest score as of the prepared model", _share(found.prepared)),
        ("highest score as of the float model", _share(found.in_float)),
        ("first bad node", place(bad) if bad is not None else "none"),
    ]
    if found.alone:
        lines.append(("grids of the program without a node", f"{found.alone}, not compared"))
    return [*lines, ("contract", "; ".join(found.broken) or "kept")]


def _share(votes: Votes) -> str:
    return f"{100 * votes.share:.2f} % ({votes.same:,} of {votes.count:,})" if votes.count else "no scores"
