"""Passes in an order that their facts allow, the graph verified around each, and a ledger of what happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import networkx as nx
import torch

from .contract import Options, Pass
from .engine import Context, Event, rewrite
from .errors import Broken, UserError
from .graph import Graph, layer
from .meter import tell
from .stage import Stage
from .verify import verify

REASONS = 3
"""Reasons that are told of a pass that changed nothing."""


@dataclass(frozen=True)
class Use:
    """A pass as a recipe asks for it: its options, and other options for layers whose path fits a pattern."""

    name: str
    pass_: Pass
    options: Options
    layers: tuple[tuple[str, Options], ...] = ()

    def options_for(self, path: str) -> Options:
        """The options for a layer; the last pattern that fits its module path wins."""
        return next((own for pattern, own in reversed(self.layers) if fnmatchcase(path, pattern)), self.options)


@dataclass(frozen=True)
class Entry:
    """What one pass did: its events, and how many layers each of its patterns matched."""

    use: Use
    events: tuple[Event, ...]
    matched: Mapping[str, int]

    @property
    def fired(self) -> int:
        return sum(event.fired for event in self.events)

    @property
    def idle(self) -> str:
        """Why the pass changed nothing, the most frequent reasons first; empty where it changed something."""
        if self.fired:
            return ""
        told = Counter(event.reason for event in self.events).most_common(REASONS)
        return "; ".join(reason for reason, _ in told) or "the graph holds nothing that it looks at"


@dataclass(frozen=True)
class Result:
    """The graph after all passes, and the ledger, one entry a pass in the order they ran."""

    graph: Graph
    ledger: tuple[Entry, ...]


def run(
    graph: Graph,
    uses: Sequence[Use],
    steps: int | None = None,
    between: Callable[[Use, Graph], None] = lambda use, graph: None,
    stage: Stage | None = None,
) -> Result:
    """Run passes in the order their facts ask for; `between` is called after each with the verified graph.

    stage: where in a recipe they stand, if they do.
    Raises UserError for an order that cannot be, a pass in a stage where its work would be in vain or a layer pattern
    that matches nothing, Broken for a pass that leaves an illegal graph or not the facts that it promised.
    """
    verify(graph, "the input of the pipeline")
    if stage is not None and stage.untrained:
        steps = steps or 1  # a schedule is refused for its place; to ask for the length of a training would mislead
    ledger, before = [], list[tuple[Use, Graph]]()
    for use in ordered(uses):
        _require(graph, use, before)
        before.append((use, graph))
        graph, entry = _apply(graph, use, steps)
        verify(graph, use.name)
        if stage is not None:
            stage.check(use.name, use.pass_, before[-1][1], graph)
        _promised(graph, use)
        ledger.append(entry)
        between(use, graph)
    return Result(graph, tuple(ledger))


def ordered(uses: Sequence[Use]) -> list[Use]:
    """The passes so that whoever leaves a fact runs before whoever needs it, else in the order given."""
    order = nx.DiGraph()
    order.add_nodes_from(range(len(uses)))
    for i, user in enumerate(uses):
        for j, maker in enumerate(uses):
            shared = {fact.name for fact in user.pass_.needs} & {fact.name for fact in maker.pass_.leaves}
            if i != j and shared:
                order.add_edge(j, i, fact=min(shared))
    try:
        return [uses[i] for i in nx.lexicographical_topological_sort(order)]
    except nx.NetworkXUnfeasible:
        (j, i, fact), *_ = ((j, i, order.edges[j, i]["fact"]) for j, i in nx.find_cycle(order))
        raise UserError(
            f"'{uses[i].name}' and '{uses[j].name}' cannot be ordered",
            why=f"each needs what the other leaves, '{fact}' among it",
            fix="leave one of them out of the recipe",
        ) from None


def _require(graph: Graph, use: Use, before: Sequence[tuple[Use, Graph]]) -> None:
    """before: the passes that ran, each with the graph that it met."""
    for fact in use.pass_.needs:
        place = fact.exception(graph)
        if place:
            ender = next((earlier.name for earlier, met in reversed(before) if fact.holds(met)), "")
            why = f"'{ender}', which ran before it, ended that" if ender else "no pass before it left that so"
            fix = f"put '{use.name}' before '{ender}' in the recipe" if ender else fact.fix
            raise UserError(f"'{use.name}' needs '{fact.name}'", where=place, why=why, fix=fix)


def _promised(graph: Graph, use: Use) -> None:
    for fact in use.pass_.leaves:
        place = fact.exception(graph)
        if place:
            raise Broken(f"'{use.name}' did not leave '{fact.name}'", where=place)


def _apply(graph: Graph, use: Use, steps: int | None) -> tuple[Graph, Entry]:
    matched = _count_layers(graph, use)
    rewritten, events = _rewritten(graph, use, steps, set())
    if (twin := graph.twin) is not None:
        rewritten = _with_twin(rewritten, twin, use, steps)
    return rewritten, Entry(use, tuple(events), matched)


@torch.no_grad()
def _rewritten(graph: Graph, use: Use, steps: int | None, shared: set[str]) -> tuple[Graph, list[Event]]:
    tell(f"{use.name}, planning")
    plan = use.pass_.plan(graph, use.options_for)
    return rewrite(graph, use.pass_.rules, Context(use.name, use.options_for, plan, steps, shared))


def _with_twin(rewritten: Graph, twin: Graph, use: Use, steps: int | None) -> Graph:
    """The rewritten training graph with its graph of eval mode after the same pass, a tensor of both made once."""
    made = rewritten.state.keys() - twin.state.keys()
    both = replace(twin, state={**twin.state, **rewritten.state}, transient=rewritten.transient)
    twin, _ = _rewritten(both, use, steps, set(made))
    verify(twin, use.name)
    state = {**rewritten.state, **twin.state}
    return replace(rewritten, state=state, evaluation=replace(twin, state={}))


def _count_layers(graph: Graph, use: Use) -> Mapping[str, int]:
    paths = {layer(node) for node in graph.fx.nodes if node.op != "output"}
    matched = {pattern: sum(fnmatchcase(path, pattern) for path in paths) for pattern, _ in use.layers}
    for pattern, count in matched.items():
        if not count:
            raise UserError(
                f"the layer pattern '{pattern}' of '{use.name}' matches nothing",
                why="no module of the model has such a path",
                fix=f"use one of: {', '.join(sorted(path for path in paths if path))}",
            )
    return matched
