"""The one loop that rewrites graphs: match, guard, build, splice. The only file that splices and erases fx nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx

from .autocast import Autocast
from .edit import Edit
from .errors import Broken
from .graph import Graph, is_effect, layer, origin
from .meter import counted
from .pattern import Bindings, Miss
from .rule import Match, Rule
from .termination import Termination


@dataclass(frozen=True)
class Event:
    """What a rule did at a node: fired (no reason), or refused with its reason."""

    rule: str
    node: str
    origin: str
    reason: str = ""

    @property
    def fired(self) -> bool:
        return not self.reason


@dataclass(frozen=True)
class Context:
    """What the rules of one pass may read beside the match.   shared: see `Edit`."""

    label: str
    options: Callable[[str], Any]
    plan: Any = None
    steps: int | None = None
    shared: set[str] = field(default_factory=set)


def rewrite(graph: Graph, rules: Sequence[Rule], context: Context) -> tuple[Graph, list[Event]]:
    """Apply rules until none fires; the given graph is not touched.

    Raises Broken, naming the rules, when that would never end (see `termination`).
    """
    working, _ = graph.copy()
    state: dict[str, torch.Tensor] = dict(working.state)
    working = replace(working, state=state)
    by_target = _index(rules)
    events: list[Event] = []
    termination = Termination(frozenset(state), len(graph.fx.nodes))
    while True:
        swept = _sweep(working, state, by_target, context)
        events = [*_lasting(events, working), *swept]
        fired = {event.rule for event in swept if event.fired}
        if not fired:
            return replace(working, state=_useful(graph, working, state)), events
        if endless := termination.endless(working, fired):
            why, names = endless
            what = f"rules keep firing after {len(termination.fired)} sweeps: {', '.join(names)}"
            raise Broken(what, where=context.label, why=why)


def _lasting(events: list[Event], graph: Graph) -> list[Event]:
    """What fired, and why rules did not at a node that is gone: that no later sweep tells."""
    there = {node.name for node in graph.fx.nodes}
    return [event for event in events if event.fired or event.node not in there]


def _index(rules: Sequence[Rule]) -> Mapping[Any, list[Rule]]:
    table: dict[Any, list[Rule]] = {}
    for rule in rules:
        for root in rule.pattern.roots() or {"any"}:
            table.setdefault(root, []).append(rule)
    return table


def _sweep(
    graph: Graph, state: dict[str, torch.Tensor], rules: Mapping[Any, list[Rule]], context: Context
) -> list[Event]:
    events: list[Event] = []
    for node in counted(context.label, list(graph.fx.nodes)):
        key = node.target if node.op == "call_function" else node.op
        for rule in (*rules.get(key, ()), *rules.get("any", ())):
            if node._erased:
                break
            event = _try(graph, state, node, rule, context)
            if event is not None:
                events.append(event)
    return events


def _try(graph: Graph, state: dict[str, torch.Tensor], node: fx.Node, rule: Rule, context: Context) -> Event | None:
    name, label = node.name, f"{context.label}/{rule.name}"
    found = rule.pattern.match(node, Bindings(plan=context.plan))
    if isinstance(found, Miss):
        return None if found.shape else Event(label, name, str(origin(node)), found.reason)
    match = Match(graph, node, found, context.options(layer(node)), context.plan, context.steps)
    for guard in rule.guards:
        reason = guard(match)
        if reason:
            return Event(label, name, str(origin(node)), reason)
    event = Event(label, name, str(origin(node)))
    replacement = rule.build(match, edit := Edit(graph, state, node, label, context.shared, autocasts=_blocks(match)))
    for reader, value in edit.diverted.items():
        reader.replace_input_with(node, value)
    _splice(node, replacement, edit.made)
    return event


def _blocks(match: Match) -> tuple[Autocast, ...]:
    """The blocks of autocast that all calls of a match stand in.

    None where they differ: a new call may read what one of them read, in a type that only an autocast makes fit.
    """
    bound = [node for node in match.bindings.by_pattern.values() if isinstance(node, fx.Node)]
    found = {origin(node).autocasts for node in (match.root, *bound) if node.op == "call_function"}
    return found.pop() if len(found) == 1 else ()


def _splice(root: fx.Node, replacement: fx.Node, made: Sequence[fx.Node]) -> None:
    new = set(made)
    if replacement is not root:
        root.replace_all_uses_with(replacement, delete_user_cb=lambda user: user not in new)
    _erase_unread([root, *reversed(made)])


def _erase_unread(nodes: Sequence[fx.Node]) -> None:
    """Erase nodes that nobody reads, and what only they read; ports and in-place calls stay."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node._erased or node.users or is_effect(node):
            continue
        stack.extend(node.all_input_nodes)
        node.graph.erase_node(node)


def _useful(before: Graph, after: Graph, state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The tensors in their old order, but for those that the rewrite made useless.

    What nobody read before stays, such as the batch counter of a frozen norm: checkpoints of the model hold it.
    """
    useful = after.read() | (before.state.keys() - before.read())
    return {name: tensor for name, tensor in state.items() if name in useful}
