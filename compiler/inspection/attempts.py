"""Attempts: every rule that a pass tried at a node and what came of it, told by rules that are watched.

The engine knows nothing of this: a watched rule is a rule whose pattern, guards and builder also report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from torch import fx

from ..edit import Edit
from ..graph import Graph, arguments, is_effect
from ..pattern import Bindings, Miss, Pattern
from ..pipeline import Result, Use, run
from ..rule import Build, Guard, Match, Rule
from ..stage import Stage
from ..text import target_name

Outcome: TypeAlias = Literal["fired", "refused", "did not fit"]


@dataclass(frozen=True)
class Attempt:
    """A rule tried at a node of the graph as it stood.

    node: the node where the match began.   reason: why it did not fire.   there: the part of the pattern that did
    not fit, and what is there instead.   parts: the nodes that the pattern bound, or stumbled over.
    became: what the readers of the node read since.   made, gone: nodes added and erased.
    """

    rule: str
    node: str
    outcome: Outcome
    reason: str = ""
    there: str = ""
    parts: frozenset[str] = frozenset()
    became: str = ""
    made: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()


Tell: TypeAlias = Callable[[Attempt], None]


@dataclass(frozen=True)
class Ran:
    """A pass between two graphs: its rules and what each of them tried, in order.

    stage: `prepare` and `lower` passes of a recipe; `eval` is the derivation of the eval graph, which has no rules.
    """

    stage: Literal["prepare", "eval", "lower"]
    name: str
    before: Graph
    after: Graph
    rules: tuple[Rule, ...] = ()
    attempts: tuple[Attempt, ...] = ()


def watched_run(
    stage: Literal["prepare", "lower"],
    graph: Graph,
    uses: Sequence[Use],
    steps: int | None,
    ran: list[Ran],
    place: Stage | None = None,
) -> Result:
    """What `pipeline.run` makes of a graph; `ran` takes each pass as it ends, so that it is told where one raises."""
    told: list[Attempt] = []
    before = graph

    def end(use: Use, after: Graph) -> None:
        nonlocal before
        ran.append(Ran(stage, use.name, before, after, use.pass_.rules, tuple(told)))
        told.clear()
        before = after

    return run(graph, [_watched_use(use, told.append) for use in uses], steps, end, place)


def _watched_use(use: Use, tell: Tell) -> Use:
    return replace(use, pass_=replace(use.pass_, rules=tuple(_watched(rule, tell) for rule in use.pass_.rules)))


def _watched(rule: Rule, tell: Tell) -> Rule:
    pattern = _Watched(pattern=rule.pattern, rule=rule.name, tell=tell)
    guards = tuple(_watched_guard(guard, rule.name, tell) for guard in rule.guards)
    return Rule(rule.name, pattern, guards, _watched_build(rule, tell))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Watched(Pattern):
    """The pattern of a rule; its misses are told."""

    pattern: Pattern
    rule: str
    tell: Tell

    def match(self, node: Any, found: Bindings) -> Bindings | Miss:
        way = self.pattern.match(node, found)
        if isinstance(way, Miss):
            parts = _bound(way.bound) | _stumbled(node, way)
            outcome: Outcome = "did not fit" if way.shape else "refused"
            self.tell(Attempt(self.rule, node.name, outcome, way.reason, _there(way), parts))
        return way

    def roots(self) -> frozenset[Any]:
        return self.pattern.roots()


def _stumbled(root: fx.Node, miss: Miss) -> frozenset[str]:
    """The nodes on the way from the root to the part that differs, both included."""
    return frozenset(node.name for node in (root, *miss.way, miss.node) if node is not None)


def _there(miss: Miss) -> str:
    if not miss.path:
        return ""
    place = "".join(f"the {name} of " for name in reversed(miss.path[1:])) + f"its {miss.path[0]}"
    return f"{place} is {_plain(miss) if miss.node is None else _kind(miss.node)}"


def _plain(miss: Miss) -> str:
    """What stands where a part was looked for, and is no node."""
    argument, element, index = miss.path[-1].partition("[")
    given = arguments(miss.way[-1])[argument]
    given = given[int(index.rstrip("]"))] if element else given
    if isinstance(given, (list, tuple)):
        return f"a list of {len(given)}"
    return "absent" if given is None else str(given)


def _kind(node: fx.Node) -> str:
    kind = {"placeholder": "the input", "get_attr": "the tensor"}.get(node.op) or target_name(node.target)
    return f"{kind} '{node.target if node.op == 'get_attr' else node.name}'"


def _bound(found: Bindings) -> frozenset[str]:
    own = {node.name for node in found.by_pattern.values() if isinstance(node, fx.Node)}
    return frozenset(own).union(*(_bound(element) for ways in found.each.values() for element in ways))


def _watched_guard(guard: Guard, rule: str, tell: Tell) -> Guard:
    def watched(match: Match) -> str:
        reason = guard(match)
        if reason:
            tell(Attempt(rule, match.root.name, "refused", reason, "", _bound(match.bindings)))
        return reason

    return watched


def _watched_build(rule: Rule, tell: Tell) -> Build:
    def watched(match: Match, edit: Edit) -> fx.Node:
        readers = set(match.root.users)
        became = rule.build(match, edit)
        made = tuple(node.name for node in edit.made if node not in readers)
        gone = tuple(node.name for node in _unread(match.root, became, set(edit.made)))
        bound = _bound(match.bindings)
        tell(Attempt(rule.name, match.root.name, "fired", "", "", bound, became.name, made, gone))
        return became

    return watched


def _unread(root: fx.Node, became: fx.Node, made: set[fx.Node]) -> list[fx.Node]:
    """The nodes that nobody reads once `became` has taken the place of the root: those that the engine erases."""
    gone: dict[fx.Node, None] = {}
    stack = [root] if became is not root else []
    while stack:
        node = stack.pop()
        readers = made if node is root else node.users.keys() - gone.keys()
        if node in gone or node is became or is_effect(node) or not readers.isdisjoint(node.users):
            continue
        gone[node] = None
        stack.extend(node.all_input_nodes)
    return list(gone)
