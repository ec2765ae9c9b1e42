"""What a row was expected to do, against what it did."""

from __future__ import annotations

import re
from typing import Any

from . import oracle
from .row import Row


def shortfall(row: Row, result: dict[str, Any]) -> str:
    """Why the result is less than was expected of the row; empty if it is not."""
    outcome = result["outcome"]
    if outcome not in ("whole", "islands", "refused"):
        return f"{outcome}: {_line(result['what'])}"
    if row.refused:
        return _wrong_refusal(row, result)
    refusal = result.get("refusal", {})
    told = "; ".join(_line(text) for text in (refusal.get("what"), refusal.get("where"), refusal.get("why")) if text)
    if outcome == "refused":
        return f"refused: {told}"
    if unequal := _unequal(result):
        return f"{outcome}, {unequal}"
    if outcome == "islands" and not row.pieces:
        return f"in {len(result['islands'])} islands: {told}"
    return ""


def _wrong_refusal(row: Row, result: dict[str, Any]) -> str:
    """Islands beside a part that is refused are fine, as long as they are right."""
    if result["outcome"] == "whole":
        return "captured, though no graph can hold it"
    refusal = result["refusal"]
    text = " ".join(refusal[part] for part in ("what", "why", "fix"))
    if not re.search(row.refused, text, re.DOTALL):
        return f"refused for another cause: {_line(refusal['what'])}; {_line(refusal['why'])}"
    if row.line not in refusal["where"]:
        return f"refused at another line: {refusal['where'] or 'none'}"
    return _unequal(result) if result["outcome"] == "islands" else ""


def _unequal(result: dict[str, Any]) -> str:
    """What differs from the plain module, in a few words."""
    found = []
    for part, batch in (("equal", ""), ("other batch", " at another batch")):
        differences = result.get(part, {})
        found += [
            f"{name}{batch} {value:.0e}" for name, value in differences.items() if not oracle.equal({name: value})
        ]
    if found and "control" in result and not oracle.equal(result["control"]):
        found.append("(the plain module differs from itself)")
    if result.get("renamed"):
        found.append(f"names not kept: {_line(result['renamed'])}")
    if "static" in result:
        found.append(f"not with another batch: {_line(result['static'])}")
    return ", ".join(found)


def _line(text: str) -> str:
    return text.strip().split("\n")[0][:200]
