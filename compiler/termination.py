"""Whether rewriting comes to an end: a graph that was there before, or that only grows, tells of rules that do not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import fx

from .graph import Graph, layer
from .text import digest

FREE = 20
"""Sweeps that are looked at by nobody; few passes take more than three."""
GROWING = 100
"""Sweeps in a row of which each leaves the graph larger than it ever was."""


@dataclass
class Termination:
    """The sweeps so far.   given: names of the tensors that the graph came with, which keep what they hold.

    fired: the rules that fired in each sweep.   seen: a graph -> after how many sweeps it was there.
    largest: the most nodes it ever had.   growing: how many of the last sweeps in a row made it larger than that.
    """

    given: Collection[str]
    largest: int
    fired: list[set[str]] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)
    growing: int = 0

    def endless(self, graph: Graph, fired: set[str]) -> tuple[str, list[str]] | None:
        """(why these sweeps never end, the rules that see to it) as soon as that shows; to be told of every sweep.

        A rule may move a node by one place a sweep, so there may be as many sweeps as nodes, and the free ones.
        """
        self.fired.append(fired)
        count, size = len(self.fired), len(graph.fx.nodes)
        self.growing = self.growing + 1 if size > self.largest else 0
        self.largest = max(self.largest, size)
        if count < FREE:
            return None
        before = self.seen.setdefault(fingerprint(graph, self.given), count)
        if before < count:
            return "the graph is again what it was", self._since(before)
        if self.growing >= GROWING:
            return "the graph grows with every sweep", self._since(count - GROWING)
        if count > self.largest + FREE:
            return "there were more sweeps than the graph has nodes", self._since(count // 2)
        return None

    def _since(self, count: int) -> list[str]:
        return sorted(set().union(*self.fired[count:]))


def fingerprint(graph: Graph, given: Collection[str]) -> int:
    """A number that is the same for equal graphs: names of nodes and trails apart, new tensors by what they hold."""
    numbers: dict[fx.Node, str] = {}
    lines = []
    for node in graph.fx.nodes:
        new = node.op == "get_attr" and node.target not in given
        what = digest(graph.tensor(node)) if new else node.target
        told = fx.map_arg((node.args, node.kwargs), numbers.__getitem__) if node.op != "placeholder" else ()
        lines.append(f"{node.op} {what} {told} {layer(node)}")
        numbers[node] = f"%{len(numbers)}"
    return hash("\n".join(lines))
