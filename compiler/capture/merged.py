"""Traces that differ in one decision each, as one graph: both sides computed, and `aten.where` between them.

The ordinary trace is the spine. What another trace has of its own from its decision on, up to where both go on alike,
is the other side; where what follows reads other values, it reads a choice of both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

from ..edit import fake_mode
from ..graph import Graph, Origin, call, origin, stamp
from .alike import Unlike, resembles, same_kind
from .branches import is_decision, number_of
from .sides import Side, side

_BRANCH = "both sides of a branch"
"""The trail of a choice between them."""
_WHERE = torch.ops.aten.where.self


def is_choice(node: fx.Node) -> bool:
    """Whether a node chooses between both sides of a branch of the user's."""
    return node.target is _WHERE and _BRANCH in origin(node).trail


@dataclass(frozen=True)
class Merged:
    """The graph of both sides of every decision.

    decided: what each decision goes by, in order.   choices: `where` -> number of the decision, the operand on the
    ordinary side and that on the other.   doubts: pairs of decisions of which the other side of the second reads what
    the first chose: no trace of one decision alone tells what it reads where both go the other way.   entangled: those
    among them that chose the same value as another decision did.
    """

    graph: Graph
    sides: Sequence[Side]
    decided: Sequence[fx.Node]
    choices: Mapping[fx.Node, tuple[int, fx.Node, fx.Node]]
    doubts: frozenset[tuple[int, int]]
    entangled: frozenset[tuple[int, int]]

    def check(self, trace: Graph, others: Container[int], marks: Mapping[fx.Node, int]) -> None:
        """Raise Unlike unless the graph computes what a trace does.

        others: the decisions that go the other way in it.   marks: mark of a decision in the trace -> its number here.
        """
        taken = {node: sides[number in others] for node, (number, *sides) in self.choices.items()}
        decided = [(self.decided[number], mark.all_input_nodes[0]) for mark, number in marks.items()]
        resembles(self.graph, trace, taken, decided)

    def number_within(self, number: int, other: int) -> int | None:
        """What number a decision has where another one goes the other way; None if it is not met there."""
        one = self.sides[other]
        return next((number_of(mark) for mark, mine in one.marks.items() if mine == number), None)


def merged(ordinary: Graph, others: Sequence[Graph]) -> Merged:
    """One graph of the ordinary trace and, for each of its decisions, the trace in which that one goes the other way.

    Raises Unlike where no graph of pure calls does what they do.
    """
    if any(_returned(one) != _returned(ordinary) for one in others):
        raise Unlike("the sides return different things")
    sides = [side(ordinary, other, number) for number, other in enumerate(others)]
    if any(a.mark < b.mark < a.end < b.end for a in sides for b in sides):
        raise Unlike("what is decided on one side of a branch matters after it")
    made = _Merging(ordinary, sides).run()
    made.check(ordinary, (), {mark: number_of(mark) for mark in ordinary.fx.nodes if is_decision(mark)})
    for number, one in enumerate(made.sides):
        made.check(one.trace, {number}, one.marks)
    return made


def _returned(graph: Graph) -> Any:
    """The structure of the result, and what in it is no tensor."""
    return graph.signature.outputs, dict(graph.signature.constants)


@dataclass
class _Merging:
    """The graph under construction.

    values: value of the ordinary trace -> the node that it is from here on.   chosen: those that became a choice -> the
    decisions.   replaced: the same in order, with the node that each was before.   other: of each decision met, how
    long that list was, and what its other side has in place of a value of the ordinary one.
    """

    ordinary: Graph
    sides: Sequence[Side]
    made: fx.Graph = field(default_factory=fx.Graph)
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    values: dict[fx.Node, fx.Node] = field(default_factory=dict)
    decided: list[fx.Node] = field(default_factory=list)
    replaced: list[tuple[fx.Node, fx.Node]] = field(default_factory=list)
    other: list[tuple[int, dict[fx.Node, fx.Node]]] = field(default_factory=list)
    choices: dict[fx.Node, tuple[int, fx.Node, fx.Node]] = field(default_factory=dict)
    chosen: dict[fx.Node, list[int]] = field(default_factory=lambda: defaultdict(list))
    doubts: set[tuple[int, int]] = field(default_factory=set)
    entangled: set[tuple[int, int]] = field(default_factory=set)

    def run(self) -> Merged:
        ends = defaultdict[fx.Node, list[int]](list)
        for number, one in enumerate(self.sides):
            ends[one.end].append(number)
        self.state = dict(self.ordinary.state)
        for node in self.ordinary.fx.nodes:
            for number in reversed(ends[node]):  # the innermost first
                self._choose(number)
            if is_decision(node):
                self._decide(node)
            else:
                self.values[node] = self.made.node_copy(node, self.values.__getitem__)
        constants = self.state.keys() - self.ordinary.state.keys()
        transient = self.ordinary.transient | {name for one in self.sides for name in one.trace.transient & constants}
        graph = replace(self.ordinary, fx=self.made, state=self.state, transient=transient)
        return Merged(graph, self.sides, self.decided, self.choices, *map(frozenset, (self.doubts, self.entangled)))

    def _decide(self, mark: fx.Node) -> None:
        """Append what the other side of a decision computes; both sides start from the present values."""
        number = len(self.decided)
        one = self.sides[number]
        self.decided.append(self.values[mark.all_input_nodes[0]])
        made: dict[fx.Node, fx.Node] = {}

        def present(node: fx.Node) -> fx.Node:
            if node in made:
                return made[node]
            doubts = {(first, number) for first in self.chosen.get(one.same[node], ())}
            self.doubts |= doubts
            self.entangled |= doubts if len(doubts) > 1 else set()
            return self.values[one.same[node]]

        for node in one.own:
            made[node] = self._own(node, one.trace, present)
        self.other.append((len(self.replaced), {value: present(other) for value, other in one.chosen.items()}))

    def _own(self, node: fx.Node, trace: Graph, present: Callable[[fx.Node], fx.Node]) -> fx.Node:
        """Append a node of another trace, with a fake value in the symbols of this one."""
        if node.op == "get_attr":
            name = str(node.target)
            while self.state.setdefault(name, trace.tensor(node)) is not trace.tensor(node):
                name += "_other"
            made, value = self.made.get_attr(name), self._mode().from_tensor(trace.tensor(node), static_shapes=True)
        else:
            args, kwargs = fx.map_arg((node.args, node.kwargs), present)
            made = self.made.create_node(node.op, node.target, args, kwargs, name=node.name)
            value = self._fake(made)
        stamp(made, origin(node), value)
        return made

    def _choose(self, number: int) -> None:
        """Append the choices between both sides of a decision; from here on they are the values."""
        mark = self.sides[number].mark
        place = origin(mark)
        since, others = self.other[number]
        # What a branch within this side chose is, on the other side, as it was.
        untouched = {value: before for value, before in reversed(self.replaced[since:]) if value < mark}
        for value, other in {**untouched, **others}.items():
            sides = (self.values[value], other)
            # What decides says yes on the ordinary side of some decisions, and no on that of others.
            pair = sides if mark.args[2] else sides[::-1]
            made = self.made.call_function(_WHERE, (self.decided[number], *pair))
            stamp(made, Origin(place.layer, place.source, (_BRANCH,)), self._fake(made))
            if not same_kind(made, value):
                raise Unlike("the sides return values of different shapes")
            self.choices[made] = (number, *sides)
            self.replaced.append((value, self.values[value]))
            self.values[value] = made
            self.chosen[value].append(number)

    def _fake(self, node: fx.Node) -> Any:
        args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
        with self._mode(), torch.no_grad():
            return call(node, args, kwargs)

    def _mode(self) -> FakeTensorMode:
        return fake_mode(node.meta.get("val") for node in self.ordinary.fx.nodes)
