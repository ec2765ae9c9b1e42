"""Choice: the nodes that a user means by a name, a number, a module path, a pattern, or a line of the source."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath

from torch import fx

from ..errors import UserError
from ..graph import Graph, layer, origin

_LINE = re.compile(r"(.+\.py):(\d+)")
_NUMBER = re.compile(r"%(\d+)")
NEAR = 6
"""Names that an error suggests at most."""


@dataclass(frozen=True)
class Chosen:
    """Nodes of one graph.   begin: the place of that graph among those asked.   what: how the user named them."""

    nodes: tuple[fx.Node, ...]
    begin: int
    what: str


def choose(graphs: Sequence[Graph], wanted: str, numbered: int = 0) -> Chosen:
    """The nodes that `wanted` means in the first of the graphs that has any.

    wanted: `conv2d_1`, `%12`, a tensor such as `stem.0.weight`, a module path with all below it, a pattern of paths
    such as `layer1.*`, or `net.py:12`.   numbered: the place of the graph that numbers are of.
    Raises UserError, with what is spelled nearly so.
    """
    number = _NUMBER.fullmatch(wanted)
    if number:
        return _numbered(graphs[numbered], int(number[1]), numbered)
    for begin, graph in enumerate(graphs):
        nodes = tuple(node for node in graph.nodes if node.op != "output" and _means(wanted, node))
        if nodes:
            return Chosen(nodes, begin, wanted)
    raise _unknown(graphs, wanted)


def _numbered(graph: Graph, number: int, begin: int) -> Chosen:
    nodes = graph.nodes[:-1]
    if number >= len(nodes):
        raise UserError(f"there is no node %{number}", fix=f"the nodes of that graph are %0 to %{len(nodes) - 1}")
    return Chosen((nodes[number],), begin, f"%{number}")


def _means(wanted: str, node: fx.Node) -> bool:
    line = _LINE.fullmatch(wanted)
    if line:
        return _same_line(line[1], line[2], origin(node).source)
    path = layer(node)
    names = {node.name, str(node.target)} if node.op == "get_attr" else {node.name}
    return (
        wanted in names or path == wanted or path.startswith(f"{wanted}.") or bool(path and fnmatchcase(path, wanted))
    )


def _same_line(file: str, number: str, source: str) -> bool:
    """Whether a node's source is that line; a file may be named by more or fewer of its folders."""
    here = _LINE.match(source)
    if here is None or here[2] != number:
        return False
    given, own = PurePath(file).parts, PurePath(here[1]).parts
    common = min(len(given), len(own))
    return given[-common:] == own[-common:]


def _unknown(graphs: Sequence[Graph], wanted: str) -> UserError:
    names = list(dict.fromkeys(name for graph in graphs for node in graph.nodes for name in _spelled(node, wanted)))
    near = difflib.get_close_matches(wanted, names, NEAR, 0.5)
    fix = f"did you mean {', '.join(near)}?" if near else "`lowbit show --nodes` lists them"
    return UserError(f"no node, module or line is called '{wanted}'", fix=fix)


def _spelled(node: fx.Node, wanted: str) -> Iterator[str]:
    """What a node may be called; lines are offered only to who asks for one."""
    line = _LINE.match(origin(node).source)
    if node.op == "output":
        return
    if _LINE.fullmatch(wanted):
        yield from (line[0],) if line else ()
        return
    yield node.name
    yield from (str(node.target),) if node.op == "get_attr" else ()
    yield from (layer(node),) if layer(node) else ()
