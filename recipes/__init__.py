"""The shipped recipes: one TOML file each, found because it lies here; the file's name is the recipe's name."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_SUMMARY = re.compile(r"(?P<summary>.*) \((?P<paper>[^()]*)\)")


@dataclass(frozen=True)
class Described:
    """What a recipe's file says of itself.   paper: what stands in the brackets at the end of its summary, such as
    "arXiv 1809.00095".   notes: the comments at its top.   text: all of it."""

    summary: str
    paper: str
    notes: str
    text: str


def shipped() -> dict[str, Path]:
    """Recipe name -> its file."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def described(name: str) -> Described:
    """What the file of a shipped recipe says of itself; it is not checked, and no pass is imported."""
    text = shipped()[name].read_text(encoding="utf-8")
    summary = tomllib.loads(text)["summary"]
    match = _SUMMARY.fullmatch(summary)
    notes = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        notes.append(line[1:].strip())
    return Described(match["summary"] if match else summary, match["paper"] if match else "", " ".join(notes), text)
