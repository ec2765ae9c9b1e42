"""The report: a table by family, and every row that fell short with its cause, as Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from typing import Any

from . import oracle
from .catalogue import FAMILIES, row
from .expected import shortfall
from .row import installed

Result = dict[str, Any]
_HEAD = (
    "family", "models", "whole", "any batch", "eval equal", "train equal", "gradients equal", "eval after equal",
    "names kept", "with islands", "capture / export", "verified / export",
)  # fmt: skip
_PACKAGES = ("torch", "timm", "transformers", "torchvision", "segmentation_models_pytorch")


def report(results: Sequence[Result], command: str) -> str:
    """The tables, the failures, and what they were measured with."""
    found = [result for result in results if result["outcome"] != "absent"]
    families = [name for name in FAMILIES if any(result["name"].startswith(f"{name}/") for result in found)]
    real = [result for result in found if not result["name"].startswith("small/")]
    lines = [_table_line(name, [r for r in found if r["name"].startswith(f"{name}/")]) for name in families]
    if len(families) > 2:
        lines.append(_table_line("all real", real))
    parts = [
        _versions(command),
        "\n".join(["| " + " | ".join(_HEAD) + " |", "| --- " * len(_HEAD) + "|", *lines]),
        _traps([r for r in found if row(r["name"]).refused]),
        _listed("Not captured whole, or not equal", _short(found)),
        _listed("Not measured", [f"`{r['name']}`: {r['what']}" for r in results if r["outcome"] == "absent"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _versions(command: str) -> str:
    versions = [f"{name} {metadata.version(name)}" for name in _PACKAGES if installed(name)]
    return f"`{command}`, {date.today()}, {', '.join(versions)}, Python {platform.python_version()}, one thread."


def _table_line(name: str, results: Sequence[Result]) -> str:
    captured = [r for r in results if not row(r["name"]).refused]
    whole = [r for r in captured if r["outcome"] == "whole"]
    cells = [
        name,
        str(len(captured)),
        _share(whole, captured),
        _share([r for r in whole if oracle.equal(r.get("other batch", {"eval": 1.0}))], captured),
        *(_share([r for r in whole if _is(r, *names)], captured) for names in (("eval",), ("train", "buffers"))),
        *(_share([r for r in whole if _is(r, name)], captured) for name in ("gradients", "eval after")),
        _share([r for r in whole if not r.get("renamed")], captured),
        _share([r for r in captured if oracle.equal(r.get("equal", {"eval": 1.0}))], captured),
        *(_ratio(whole, way) for way in ("capture", "verified")),
    ]
    return "| " + " | ".join(cells) + " |"


def _is(result: Result, *names: str) -> bool:
    return oracle.equal({name: result["equal"][name] for name in names})


def _share(part: Sequence[Result], of: Sequence[Result]) -> str:
    return f"{len(part)} ({100 * len(part) / len(of):.1f} %)" if of else ""


def _ratio(results: Iterable[Result], way: str) -> str:
    """The median of the ratios to a bare export, and what nine of ten models stay under."""
    ratios = sorted(r["seconds"][way] / r["seconds"]["export"] for r in results if r.get("seconds"))
    if not ratios:
        return ""
    return f"{statistics.median(ratios):.2f}x, 90 % under {ratios[int(0.9 * (len(ratios) - 1))]:.2f}x"


def _traps(results: Sequence[Result]) -> str:
    right = [r for r in results if not shortfall(row(r["name"]), r)]
    return (
        f"Programs that must be refused: {len(right)} of {len(results)} with the right cause and line."
        if results
        else ""
    )


def _short(results: Sequence[Result]) -> list[str]:
    return [f"`{r['name']}`: {reason}" for r in results if (reason := shortfall(row(r["name"]), r))]


def _listed(title: str, items: Sequence[str]) -> str:
    return "\n".join([f"{title}:", "", *(f"* {item}" for item in items)]) if items else ""
