"""Outline: a graph or a program as the tree of the user's modules, with what each of them holds and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import fx
from torch.utils import _pytree as pytree

from ..graph import OWN, Graph, origin
from ..text import target_name, type_name
from .macs import macs


@dataclass(frozen=True)
class Item:
    """One call or input of a graph, or one step of a program.

    index: as the canonical text numbers it.   layer: path of its module.   reads: other items and tensors, by name.
    exits: how many parts of its path it leaves on the way to its furthest reader, those of the loss aside; 0: none,
    it is read in its own module or by nothing that the outputs need.   macs: for one sample.
    """

    index: int
    op: str
    layer: str
    type: str = ""
    source: str = ""
    reads: tuple[str, ...] = ()
    exits: int = 0
    macs: int = 0
    is_input: bool = False

    @property
    def name(self) -> str:
        return f"%{self.index}"


class Held(NamedTuple):
    """A parameter, or in a program a constant: the module path that it stands in, its identity and its elements."""

    layer: str
    name: str
    identity: int
    elements: int


@dataclass(eq=False)
class Part:
    """A module: its own items and parameters, the modules in it, and the sums of it all.

    type: of the last value that something outside reads.   parameters, own: elements, with those below and without;
    a tied parameter counts where it stands first.   tied: its own parameters that stand elsewhere -> that name.
    """

    path: str
    kind: str = ""
    items: list[Item] = field(default_factory=list)
    parts: dict[str, Part] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    own: int = 0
    calls: int = 0
    macs: int = 0
    parameters: int = 0
    type: str = ""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def walk(self) -> Iterator[Part]:
        """Itself and all parts below, parents first."""
        stack = [self]
        while stack:
            part = stack.pop()
            yield part
            stack.extend(reversed(part.parts.values()))


def outline(items: Iterable[Item], held: Iterable[Held], classes: Mapping[str, str]) -> Part:
    """The tree of modules over these items and parameters.   classes: module path -> name of its class."""
    root = Part("")
    for path, kind in classes.items():
        _owners(root, path)[-1].kind = kind
    for item in items:
        _place(root, item)
    names: dict[int, str] = {}
    for tensor in held:
        _hold(_owners(root, tensor.layer), tensor, names)
    return root


def outlined(graph: Graph) -> Part:
    """The tree of modules of a graph."""
    return outline(graph_items(graph), _parameters(graph), graph.classes)


def graph_items(graph: Graph) -> list[Item]:
    """The calls and inputs of a graph, in order, numbered as its text numbers them."""
    costs, exits = macs(graph), _exits(graph)
    names: dict[fx.Node, str] = {}
    items = []
    for count, node in enumerate(graph.fx.nodes):
        names[node] = str(node.target) if node.op == "get_attr" else f"%{count}"
        if node.op in ("get_attr", "output"):
            continue
        items.append(
            Item(
                count,
                _op(graph, node),
                origin(node).layer,
                _type(node),
                origin(node).source,
                tuple(names[operand] for operand in node.all_input_nodes),
                exits.get(node, 0),
                costs.get(node, 0),
                node.op == "placeholder",
            )
        )
    return items


def _op(graph: Graph, node: fx.Node) -> str:
    if node.op == "placeholder":
        return f"input {node.target}"
    if node.op == "call_module":
        return f"leaf {graph.classes.get(str(node.target), node.target)}"
    return target_name(node.target)


def _type(node: fx.Node) -> str:
    """The type of what a node gives, or of the first tensor in it."""
    value = node.meta.get("val")
    tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
    return type_name(tensors[0] if tensors else value)


def _exits(graph: Graph) -> dict[fx.Node, int]:
    """`Item.exits` of the nodes that an input reaches and that the outputs need."""
    fixed, returned = graph.constants(), set(graph.outputs)
    needed, exits = set(returned), {}
    for node in reversed(graph.nodes):
        if node not in needed or node in fixed:
            continue
        needed.update(node.all_input_nodes)
        own = steps(origin(node).layer)
        readers = [common(own, origin(user).layer) for user in node.users if user in needed and user.op != "output"]
        exits[node] = len(own) + 1 if node in returned else len(own) - min(readers, default=len(own))
    return exits


def steps(path: str) -> list[str]:
    """The parts of a module path; that of the whole model has none."""
    return path.split(".") if path else []


def common(own: Sequence[str], path: str) -> int:
    """How many steps two paths begin with alike, the one already taken apart."""
    other = steps(path)
    pairs = enumerate(zip(own, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(own), len(other)))


def _parameters(graph: Graph) -> Iterator[Held]:
    """The parameters of the graph and of its leaves; one of lowbit's own stands with the call that reads it."""
    homes: dict[str, str] = {}
    for node in graph.fx.nodes:
        if node.op == "get_attr" and str(node.target).startswith(f"{OWN}."):
            homes[str(node.target)] = next((origin(user).layer for user in node.users), "")
    inside = {f"{path}.{name}": p for path, leaf in graph.leaves.items() for name, p in leaf.named_parameters()}
    for name, tensor in {**inside, **graph.state}.items():
        if isinstance(tensor, torch.nn.Parameter):
            yield Held(homes.get(name, name.rpartition(".")[0]), name, id(tensor), tensor.numel())


def _owners(root: Part, path: str) -> list[Part]:
    """The parts from the whole down to that path, made where they are missing."""
    owners = [root]
    for step in steps(path):
        above = owners[-1]
        if step not in above.parts:
            above.parts[step] = Part(f"{above.path}.{step}" if above.path else step)
        owners.append(above.parts[step])
    return owners


def _place(root: Part, item: Item) -> None:
    owners = _owners(root, item.layer)
    owners[-1].items.append(item)
    for part in owners:
        part.calls += not item.is_input
        part.macs += item.macs
    for part in owners[::-1][: item.exits]:
        part.type = item.type


def _hold(owners: list[Part], tensor: Held, names: dict[int, str]) -> None:
    if tensor.identity in names:
        owners[-1].tied[tensor.name] = names[tensor.identity]
        return
    names[tensor.identity] = tensor.name
    owners[-1].own += tensor.elements
    for part in owners:
        part.parameters += tensor.elements
