"""What `explain` draws: a row for each answer of a rule, equal ones of many nodes together, and the same as data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..backends.lowering.coverage import PICKS, coverage
from ..backends.lowering.heirs import marked
from ..backends.lowering.lower import Lowering
from ..compiler.graph import Graph, origin
from ..compiler.inspection.choice import Chosen
from ..compiler.inspection.explain import Chapter, Record, Verdict, explain
from ..compiler.registry import members
from ..compiler.text import target_name, type_name
from .views import View

NAMED = 3
"""Nodes that a row names at most."""


@dataclass(frozen=True)
class Told:
    """The whole answer.   chapters: the passes.   ends: what the nodes become when the last graph is lowered."""

    record: Record
    chosen: Chosen
    chapters: tuple[Chapter, ...]
    ends: tuple[Verdict, ...]


def tell(record: Record, chosen: Chosen) -> Told:
    """What the passes and the lowering made of the chosen nodes."""
    chapters = tuple(explain(record, (node.name for node in chosen.nodes), chosen.begin))
    left = chapters[-1].after if chapters else frozenset(node.name for node in chosen.nodes)
    ends = () if record.deployed is None else tuple(_lowered(record.deployed, left))
    return Told(record, chosen, chapters, ends)


def _lowered(deployed: Graph, names: Iterable[str]) -> Iterator[Verdict]:
    """Each node that is left, the lowering rule that takes it, and what comes of it."""
    graph, left = marked(deployed), set(names)
    fates = {covered.node: covered for covered in coverage(graph, graph)}
    rules = {target: name for name, found in _rules().items() for target in found.targets}
    for node in graph.nodes:
        rule, fate = rules.get(node.target, ""), fates.get(node)
        if node.name not in left:
            continue
        if fate is not None:
            yield Verdict(rule, node.name, node.name, fate.status, fate.why, fate.fix)
        elif node.op == "placeholder":
            yield Verdict(rule, node.name, node.name, "integer", "an input of the program")
        elif node.target in PICKS:
            yield Verdict(rule, node.name, node.name, "folded", "it only picks one of several results")
        else:
            yield Verdict(rule, node.name, node.name, "folded", "a constant")


def _rules() -> Mapping[str, Lowering]:
    root = __name__.partition(".")[0]
    return members(f"{root}.backends.lowering.rules", Lowering)


def title(told: Told) -> str:
    """What is explained: one node with its place, or how many there are."""
    nodes = told.chosen.nodes
    if len(nodes) > 1:
        return f"{told.chosen.what}: {len(nodes)} nodes"
    (node,) = nodes
    op = "input" if node.op == "placeholder" else "tensor" if node.op == "get_attr" else target_name(node.target)
    made = f", made by {origin(node).trail[-1]}" if origin(node).trail else ""
    return f"{node.name}: {op} {type_name(node.meta.get('val'))} of {origin(node)}{made}"


def table(told: Told) -> View:
    """One row for each answer of each rule; the rules of a pass that never looked share one."""
    rows: list[tuple[object, ...]] = []
    for chapter in told.chapters:
        if chapter.verdicts or chapter.unseen:
            rows += _rows(f"{chapter.name}", chapter.verdicts)
            rows += [(chapter.name, *_unseen(chapter))] if chapter.unseen else []
    if told.record.stopped is not None:
        error = told.record.stopped
        rows.append(("", "", "", "stopped", ": ".join(part for part in (error.what, error.why) if part)))
    elif not told.ends:
        rows.append(("lowering", "", "", "", "nothing of it is left"))
    rows += _rows("lowering", told.ends)
    return ("pass", "rule", "node", "outcome", "why"), rows


def _unseen(chapter: Chapter) -> tuple[str, str, str, str]:
    sights = " or ".join(dict.fromkeys(sight for _, sight in chapter.unseen if sight))
    why = f"looks at {sights}" if len(chapter.unseen) == 1 else f"they look at {sights}"
    return ", ".join(rule for rule, _ in chapter.unseen), "", "never looked", why if sights else ""


def _rows(name: str, verdicts: Iterable[Verdict]) -> list[tuple[object, ...]]:
    """Rows in the order of the rules; what many nodes were told for one reason is one row."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        why = verdict.why.replace(verdict.at, "it") if verdict.outcome == "fired" else verdict.why
        groups.setdefault((verdict.rule, verdict.outcome, why), []).append(verdict)
    return [(name, rule, _named(group), outcome, _why(group, why)) for (rule, outcome, why), group in groups.items()]


def _named(group: list[Verdict]) -> str:
    names = list(dict.fromkeys(verdict.at for verdict in group))
    more = len(names) - NAMED
    return ", ".join(names) if more < 1 else f"{', '.join(names[:NAMED])} and {more} more"


def _why(group: list[Verdict], why: str) -> str:
    first, *rest = group
    if rest and any(verdict.what != first.what for verdict in rest):
        return f"{why} {first.what}, ..." if first.outcome == "fired" else why
    if not first.what or first.outcome == "fired":
        return f"{why} {first.what}".rstrip()
    return f"{first.what}, {why}" if first.outcome == "did not fit" else f"{why} ({first.what})"


def described(told: Told) -> dict[str, Any]:
    """The same as plain data, of every node."""
    numbers = {node.name: f"%{i}" for i, node in enumerate(told.record.graphs[told.chosen.begin].nodes)}
    stopped = told.record.stopped
    return {
        "nodes": [
            {
                "name": node.name,
                "node": numbers[node.name],
                "op": target_name(node.target) if node.op.startswith("call") else node.op,
                "type": type_name(node.meta.get("val")),
                "layer": origin(node).layer,
                "source": origin(node).source,
                "trail": list(origin(node).trail),
            }
            for node in told.chosen.nodes
        ],
        "passes": [
            {
                "stage": chapter.stage,
                "pass": chapter.name,
                "verdicts": [vars(verdict) for verdict in chapter.verdicts],
                "unseen": [{"rule": rule, "looks_at": sight} for rule, sight in chapter.unseen],
                "became": sorted(chapter.after),
            }
            for chapter in told.chapters
        ],
        "stopped": stopped and {"what": stopped.what, "where": stopped.where, "why": stopped.why, "fix": stopped.fix},
        "lowering": [vars(verdict) for verdict in told.ends],
    }
