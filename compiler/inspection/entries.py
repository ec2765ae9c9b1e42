"""Entries: a graph, or anything like it, as a list in which each element knows what it reads, to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx
from torch.nn import Parameter

from ..graph import OWN, Graph, arguments, layer, origin
from ..text import target_name, type_name


@dataclass(frozen=True)
class Ref:
    """An operand: the place of another entry."""

    place: int


@dataclass(frozen=True, eq=False)
class Entry:
    """A node, step, constant or end of a program, in the form in which two are compared.

    name: as it is shown.   stable: whether the name means the same in another graph.   type: of its value.
    layer: path of the user's module.   arguments: name -> plain values, in which a `Ref` stands for another entry.
    data: of a parameter, buffer or constant.
    """

    name: str
    op: str
    type: str = ""
    layer: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    data: Tensor | None = None
    stable: bool = True

    @property
    def is_tensor(self) -> bool:
        return self.data is not None


def entries(graph: Graph) -> list[Entry]:
    """The nodes of a graph in order; the last is its output, with the updates by the names of their buffers."""
    places = {node: place for place, node in enumerate(graph.fx.nodes)}
    return [_entry(graph, node, places) for node in places]


def _entry(graph: Graph, node: fx.Node, places: Mapping[fx.Node, int]) -> Entry:
    if node.op == "output":
        ends = {"outputs": graph.outputs, "penalties": graph.penalties, **graph.updates}
        return Entry("return", "return", "", "", {name: _plain(value, places) for name, value in ends.items()})
    kind = type_name(node.meta.get("val"))
    if node.op == "get_attr":
        tensor = graph.tensor(node)
        name = str(node.target)
        home = origin(node).layer if name.startswith(f"{OWN}.") else layer(node)
        return Entry(name, _role(tensor), kind, home, {}, tensor)
    if node.op == "placeholder":
        return Entry(node.name, "input", kind)
    has_schema = hasattr(node.target, "_schema")
    given = arguments(node) if has_schema else {str(i): value for i, value in enumerate(node.args)} | node.kwargs
    read = {name: _plain(value, places) for name, value in given.items()}
    return Entry(node.name, target_name(node.target), kind, layer(node), read)


def _role(tensor: Tensor) -> str:
    return "parameter" if isinstance(tensor, Parameter) else "buffer"


def _plain(value: Any, places: Mapping[fx.Node, int]) -> Any:
    if isinstance(value, fx.Node):
        return Ref(places[value])
    if isinstance(value, Mapping):
        return [[key, _plain(item, places)] for key, item in value.items()]
    return [_plain(item, places) for item in value] if isinstance(value, (list, tuple)) else value
