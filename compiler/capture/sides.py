"""What a trace in which one decision goes the other way has of its own, and where it goes on as the ordinary one."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from ..graph import Graph, arguments, is_effect, must_stay
from .alike import Pair, Unlike, operands, same_call, same_kind, same_size
from .branches import is_decision, number_of


@dataclass(frozen=True)
class Side:
    """The other side of one decision.

    trace: where it was taken.   mark: the decision, in the ordinary trace.   end: from there on both do the same.
    own: the nodes of the trace that the ordinary one does not have.   same: node of the trace -> that of the ordinary.
    chosen: value of the ordinary trace -> value of this one that is read in its place from `end` on.
    """

    trace: Graph
    mark: fx.Node
    end: fx.Node
    own: Sequence[fx.Node]
    same: Mapping[fx.Node, fx.Node]
    chosen: Mapping[fx.Node, fx.Node]

    @property
    def marks(self) -> dict[fx.Node, int]:
        """Mark of each decision met in the trace -> its number in the ordinary one."""
        marks = [node for node in self.trace.fx.nodes if is_decision(node)]
        return {mark: number_of(self.same[mark]) for mark in marks}


def side(ordinary: Graph, trace: Graph, number: int) -> Side:
    """Raises Unlike where the sides cannot be told apart, or do more than compute."""
    mark, other = _mark(ordinary, number), _mark(trace, number)
    before, after = _split(ordinary, mark)
    their_before, their_after = _split(trace, other)
    same = _paired(before, their_before, ordinary, trace)
    if same.get(other) is not mark:
        raise Unlike("what comes before the branch depends on it")
    common = _continued(after, their_after, same, ordinary, trace)
    same |= {b: a for a, b in common}
    end, their_end = common[0]
    region, own = after[: after.index(end)], their_after[: their_after.index(their_end)]
    _refuse_effects(region, own, set(before) - set(same.values()), set(their_before) - same.keys())
    own = [node for node in their_before if node not in same] + own
    return Side(trace, mark, end, own, same, _chosen(common, same))


def _mark(graph: Graph, number: int) -> fx.Node:
    marks: list[fx.Node] = [node for node in graph.fx.nodes if is_decision(node)]
    if len(marks) <= number:
        raise Unlike("the branches differ from one forward to the next")
    return marks[number]


def _split(graph: Graph, mark: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    nodes = graph.nodes
    position = nodes.index(mark) + 1
    return nodes[:position], nodes[position:]


def _paired(ours: Sequence[fx.Node], theirs: Sequence[fx.Node], a: Graph, b: Graph) -> dict[fx.Node, fx.Node]:
    """Node of theirs -> the first one of ours, not taken yet, that does the same with the same operands.

    What one trace computes before the branch and reads on one side alone is missing in the other.
    """
    waiting = defaultdict[Any, deque[fx.Node]](deque)
    for node in ours:
        waiting[_key(node, node.all_input_nodes)].append(node)
    same: dict[fx.Node, fx.Node] = {}
    for node in theirs:
        read = [same.get(x) for x in node.all_input_nodes]
        candidates = waiting[_key(node, read)]
        found = next((x for x in candidates if same_call(x, node, a, b)), None)
        if found is not None and _reads_alike(found, node, same):
            candidates.remove(found)
            same[node] = found
    return same


def _key(node: fx.Node, read: Sequence[fx.Node | None]) -> Any:
    named = node.target if node.op == "placeholder" else ""
    return node.op, named or (str(node.target) if node.op == "call_function" else ""), tuple(read)


def _reads_alike(a: fx.Node, b: fx.Node, same: Mapping[fx.Node, fx.Node]) -> bool:
    return all(same.get(y) is x for x, y in operands(a, b))


def _continued(
    ours: Sequence[fx.Node], theirs: Sequence[fx.Node], same: Mapping[fx.Node, fx.Node], a: Graph, b: Graph
) -> list[Pair]:
    """The longest end that both have in common, in order: the same calls, of operands alike or to be chosen from."""
    common: list[Pair] = []
    for pair in zip(reversed(ours), reversed(theirs), strict=False):
        if not same_call(*pair, a, b):
            break
        common.insert(0, pair)
    while common:
        known = {**same, **{y: x for x, y in common}}
        ends = {x for x, _ in common}
        unfit = [i for i, pair in enumerate(common) if not _fits(pair, known, ends)]
        if not unfit:
            return common
        common = common[unfit[-1] + 1 :]
    raise Unlike("the sides return different things")


def _fits(pair: Pair, known: Mapping[fx.Node, fx.Node], common: set[fx.Node]) -> bool:
    """Whether everything that two calls read is one value, or two that can be chosen from."""
    return all(
        known.get(y) is x or same_size(x, y) or (x not in common and known.get(y) not in common and _choosable(x, y))
        for x, y in operands(*pair)
    )


def _choosable(a: fx.Node, b: fx.Node) -> bool:
    """A weight is read where it is used: passes look for it there."""
    return "get_attr" not in (a.op, b.op) and isinstance(a.meta["val"], torch.Tensor) and same_kind(a, b)


def _chosen(common: Sequence[Pair], same: Mapping[fx.Node, fx.Node]) -> dict[fx.Node, fx.Node]:
    found: dict[fx.Node, fx.Node] = {}
    for x, y in (read for pair in common for read in operands(*pair)):
        if not same_size(x, y) and found.setdefault(x, y) is not y:
            raise Unlike("a value is read on, and what the branch makes of it too")
    return {x: y for x, y in found.items() if same.get(y) is not x}


def _refuse_effects(region: Sequence[fx.Node], own: Sequence[fx.Node], lost: set[fx.Node], added: set[fx.Node]) -> None:
    """Refuse sides that do more than compute: in the graph both are always computed."""
    if any(is_decision(node) for node in own):
        raise Unlike("a branch lies in another one")
    if any(must_stay(node) for node in lost | added):
        raise Unlike("what comes before the branch depends on it")
    for node in (*region, *own):
        if is_effect(node) or _keeps_statistics(node):
            raise Unlike("one side changes a buffer, an input or what a leaf keeps")


def _keeps_statistics(node: fx.Node) -> bool:
    """Whether a norm updates its running statistics, which its schema does not say."""
    given = arguments(node) if isinstance(node.target, torch._ops.OpOverload) else {}
    return given.get("running_mean") is not None and bool(given.get("training", given.get("use_input_stats")))
