"""Graph: the value that every stage reads and returns, an ATen fx graph with its tensors and its signature."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import TreeSpec

from .errors import Broken

_ORIGIN = "lowbit.origin"


@dataclass(frozen=True)
class Origin:
    """Where a node comes from: the user's module path, the user's source line, and the rules that made it since."""

    layer: str = ""
    source: str = ""
    trail: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", ".join(part for part in (self.layer, self.source) if part) or "the model"


@dataclass(frozen=True)
class Signature:
    """How the caller's arguments flatten into the graph's inputs, and its outputs back into the caller's result."""

    inputs: TreeSpec
    outputs: TreeSpec


@dataclass(frozen=True, eq=False)
class Graph:
    """An fx graph of ATen calls. Passes return a new Graph; they share the tensors that they do not change.

    fx: placeholder, get_attr, call_function and one output node, whose argument is
        (outputs, penalties, updates): the model's flat outputs, scalar losses to add to the task loss, and
        a dict from buffer name to the node that computes its value after the next step.
    state: dotted name -> parameter or buffer.   transient: names of buffers that stay out of `state_dict`.
    """

    fx: fx.Graph
    state: Mapping[str, torch.Tensor]
    signature: Signature
    transient: frozenset[str] = field(default_factory=frozenset)

    def copy(self) -> tuple[Graph, dict[fx.Node, fx.Node]]:
        """A graph with nodes of its own over the same tensors, and the map from old nodes to new."""
        nodes: dict[fx.Node, fx.Node] = {}
        graph = fx.Graph()
        graph.output(graph.graph_copy(self.fx, nodes))
        return replace(self, fx=graph, state=dict(self.state)), nodes

    @property
    def nodes(self) -> list[fx.Node]:
        return list(self.fx.nodes)

    @property
    def inputs(self) -> list[fx.Node]:
        return [node for node in self.fx.nodes if node.op == "placeholder"]

    @property
    def output(self) -> fx.Node:
        return self.fx.output_node()

    @property
    def outputs(self) -> tuple[fx.Node, ...]:
        return tuple(self.output.args[0][0])  # type: ignore[index, arg-type, union-attr]

    @property
    def penalties(self) -> tuple[fx.Node, ...]:
        return tuple(self.output.args[0][1])  # type: ignore[index, arg-type, union-attr]

    @property
    def updates(self) -> Mapping[str, fx.Node]:
        return dict(self.output.args[0][2])  # type: ignore[index, arg-type, union-attr, call-overload]

    def tensor(self, node: fx.Node) -> torch.Tensor:
        """The parameter or buffer behind a get_attr node."""
        if node.op != "get_attr":
            raise Broken(f"{node.name} is a {node.op}, not a parameter or buffer")
        return self.state[str(node.target)]

    def select(
        self,
        outputs: tuple[fx.Node, ...] = (),
        penalties: tuple[fx.Node, ...] = (),
        updates: Mapping[str, fx.Node] | None = None,
    ) -> Graph:
        """The part of the graph that computes these nodes; inputs and in-place calls stay only with `outputs`."""
        kept, nodes = self.copy()
        kept.output.args = (
            (
                tuple(nodes[n] for n in outputs),
                tuple(nodes[n] for n in penalties),
                {name: nodes[n] for name, n in (updates or {}).items()},
            ),
        )
        kept.fx.eliminate_dead_code(lambda node: node.op == "output" or (bool(outputs) and is_effect(node)))
        return kept

    def evaluate(self, node: fx.Node) -> torch.Tensor:
        """The value of a node that no input reaches, computed from the present state without gradient."""
        with torch.no_grad():
            value = self._evaluate(node)
        if not isinstance(value, torch.Tensor):
            raise Broken(f"{node.name} is not a tensor")
        return value

    def _evaluate(self, node: fx.Node) -> Any:
        if node.op == "get_attr":
            return self.tensor(node)
        if node.op != "call_function":
            raise Broken(f"{node.name} depends on an input", where=str(origin(node)))
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._evaluate)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    def constants(self) -> set[fx.Node]:
        """The nodes that no input reaches and that change nothing."""
        found: set[fx.Node] = set()
        for node in self.fx.nodes:
            pure = node.op == "call_function" and not is_effect(node)
            if node.op == "get_attr" or (pure and all(n in found for n in node.all_input_nodes)):
                found.add(node)
        return found

    def module(self) -> fx.GraphModule:
        """The graph as a module that takes flat inputs and returns (outputs, penalties, updates)."""
        root = torch.nn.Module()
        install(root, self.state, self.transient)
        return fx.GraphModule(root, self.fx)


def install(root: torch.nn.Module, state: Mapping[str, torch.Tensor], transient: frozenset[str]) -> None:
    """Hang tensors under their dotted names in a tree of plain modules below `root`."""
    for name, tensor in state.items():
        *path, leaf = name.split(".")
        owner = root
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, torch.nn.Module())
            owner = owner._modules[part]  # type: ignore[assignment]
        if isinstance(tensor, torch.nn.Parameter):
            owner.register_parameter(leaf, tensor)
        else:
            owner.register_buffer(leaf, tensor, persistent=name not in transient)


def is_effect(node: fx.Node) -> bool:
    """Whether a node must stay although nobody reads it: ports, and calls that mutate an argument."""
    if node.op in ("placeholder", "output"):
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def origin(node: fx.Node) -> Origin:
    """Where the node comes from."""
    found: Origin = node.meta.get(_ORIGIN, Origin())
    return found


def stamp(node: fx.Node, origin: Origin, value: Any) -> None:
    """Record where a node comes from and the (fake) value it has; only capture, sketch and engine call this."""
    node.meta = {_ORIGIN: origin, "val": value}


def shape(node: fx.Node) -> torch.Size:
    """The shape of a node's tensor; a symbolic batch stays symbolic."""
    size: torch.Size = node.meta["val"].shape
    return size


def layer(node: fx.Node) -> str:
    """The path of the module that owns a node: of the weight for a get_attr, of the call otherwise."""
    if node.op == "get_attr":
        return str(node.target).rpartition(".")[0]
    return origin(node).layer


def schema_arguments(target: Any) -> Iterator[tuple[str, Any]]:
    """(name, default) of each argument of an ATen or lowbit operator, in order."""
    for item in target._schema.arguments:
        yield item.name, (item.default_value if item.has_default_value() else None)


def arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call by schema name, defaults filled in, whichever way the call spelt them."""
    given = dict(node.kwargs)
    names = list(schema_arguments(node.target))
    given.update(zip((name for name, _ in names), node.args, strict=False))
    return {name: given.get(name, copy.copy(default)) for name, default in names}
