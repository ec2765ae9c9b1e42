"""Graph: the value that every stage reads and returns, an ATen fx graph with its tensors and its signature."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.fx import Graph as FxGraph
from torch.fx import GraphModule, Node, map_arg
from torch.utils._pytree import TreeSpec, tree_leaves, tree_unflatten

from .assumptions import Assumptions
from .autocast import Autocast, without_autocast
from .errors import Broken
from .penalty import Penalty, named, plain

_ORIGIN = "lowbit.origin"
OWN = "lowbit"
"""Top-level name of what lowbit adds to the model's own parameters and buffers."""


@dataclass(frozen=True)
class Origin:
    """Where a node comes from: the user's module path and line, the rules that made it, the autocasts around it."""

    layer: str = ""
    source: str = ""
    trail: tuple[str, ...] = ()
    autocasts: tuple[Autocast, ...] = ()

    def __str__(self) -> str:
        return ", ".join(part for part in (self.layer, self.source) if part) or "the model"


@dataclass(frozen=True)
class Signature:
    """How the caller's arguments flatten into the graph's inputs, and its outputs back into the caller's result.

    forward: the model's own signature, by which arguments are put in order.
    constants: flat position in the result -> what stands there and is no node, such as None; capture fixed it.
    """

    inputs: TreeSpec
    outputs: TreeSpec
    forward: inspect.Signature
    constants: Mapping[int, Any] = field(default_factory=dict)

    def result(self, outputs: Sequence[Any]) -> Any:
        """The caller's result from the values of the graph's outputs."""
        values = iter(outputs)
        count = len(outputs) + len(self.constants)
        flat = [self.constants[i] if i in self.constants else next(values) for i in range(count)]
        return tree_unflatten(flat, self.outputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Signature:
        """Itself: it never changes, and torch warns when the parts of a TreeSpec are made anew."""
        return self


@dataclass(frozen=True, eq=False)
class Graph:
    """An fx graph of ATen calls. Passes return a new Graph; they share the tensors that they do not change.

    fx: placeholder, get_attr, call_function, call_module and one output node, whose argument is
        (outputs, penalties, updates): the model's flat outputs that are nodes, by name what is added to the task
        loss, and a dict from buffer name to the node that computes its value after the next step.
    state: dotted name -> parameter or buffer.   transient: names of buffers that stay out of `state_dict`.
    leaves: path -> module that capture kept opaque; a call_module node calls it.
    evaluation: the graph of eval mode, where that is more than flags on this one; it has no tensors, see `twin`.
    assumptions: what capture assumed of the sizes of the inputs, beside what their shapes say.
    classes: path of each module of the user's -> name of its class, parents before their parts; '' is the model.
    versions: path of each of them -> version of what it holds, as `state_dict` tells it.
    """

    fx: FxGraph
    state: Mapping[str, torch.Tensor]
    signature: Signature
    transient: frozenset[str] = field(default_factory=frozenset)
    classes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    leaves: Mapping[str, torch.nn.Module] = field(default_factory=dict)
    evaluation: Graph | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)

    def copy(self) -> tuple[Graph, dict[Node, Node]]:
        """A graph with nodes of its own over the same tensors, and the map from old nodes to new."""
        nodes: dict[Node, Node] = {}
        graph = FxGraph()
        graph.output(graph.graph_copy(self.fx, nodes))
        return replace(self, fx=graph, state=dict(self.state)), nodes

    @property
    def twin(self) -> Graph | None:
        """The graph of eval mode over the tensors of this one, where capture had to make one."""
        if self.evaluation is None:
            return None
        return replace(self.evaluation, state=self.state, transient=self.transient, leaves=self.leaves)

    @property
    def nodes(self) -> list[Node]:
        return list(self.fx.nodes)

    @property
    def inputs(self) -> list[Node]:
        return [node for node in self.fx.nodes if node.op == "placeholder"]

    @property
    def output(self) -> Node:
        return self.fx.output_node()

    @property
    def outputs(self) -> tuple[Node, ...]:
        return tuple(self._sections()[0])

    @property
    def penalties(self) -> Mapping[str, Penalty]:
        return named(self._sections()[1])

    @property
    def updates(self) -> Mapping[str, Node]:
        return dict(self._sections()[2])

    def _sections(self) -> Any:
        return self.output.args[0]

    def read(self) -> set[str]:
        """Names of the tensors that nodes read or updates write."""
        return {str(node.target) for node in self.fx.nodes if node.op == "get_attr"} | self.updates.keys()

    def tensor(self, node: Node) -> torch.Tensor:
        """The parameter or buffer behind a get_attr node."""
        if node.op != "get_attr":
            raise Broken(f"{node.name} is a {node.op}, not a parameter or buffer")
        return self.state[str(node.target)]

    def select(
        self,
        outputs: tuple[Node, ...] = (),
        penalties: Mapping[str, Penalty] | None = None,
        updates: Mapping[str, Node] | None = None,
    ) -> Graph:
        """The part of the graph that computes these nodes; inputs and in-place calls stay only with `outputs`."""
        kept, nodes = self.copy()
        kept.output.args = (
            (
                tuple(nodes[n] for n in outputs),
                map_arg(plain(penalties or {}), nodes.__getitem__),
                {name: nodes[n] for name, n in (updates or {}).items()},
            ),
        )
        kept.fx.eliminate_dead_code(lambda node: node.op == "output" or (bool(outputs) and is_effect(node)))
        return kept

    def evaluate(self, node: Node) -> torch.Tensor:
        """The value of a node that no input reaches, computed from the present state without gradient."""
        values: dict[Node, Any] = {}
        with torch.no_grad(), without_autocast():
            for needed in _before(node):
                values[needed] = self._value(needed, values)
        if not isinstance(values[node], torch.Tensor):
            raise Broken(f"{node.name} is not a tensor")
        return values[node]  # type: ignore[no-any-return]

    def _value(self, node: Node, values: Mapping[Node, Any]) -> Any:
        if node.op == "get_attr":
            return self.tensor(node)
        if node.op != "call_function":
            raise Broken(f"{node.name} depends on an input", where=str(origin(node)))
        return call(node, *map_arg((node.args, node.kwargs), values.__getitem__))

    def constants(self) -> set[Node]:
        """The nodes that no input reaches, that change nothing and always come out alike."""
        found: set[Node] = set()
        for node in self.fx.nodes:
            pure = node.op == "call_function" and not must_stay(node)
            if node.op == "get_attr" or (pure and all(n in found for n in node.all_input_nodes)):
                found.add(node)
        return found

    def module(self) -> GraphModule:
        """The graph as a module that takes flat inputs and returns (outputs, penalties, updates)."""
        root = torch.nn.Module()
        self.install(root)
        return GraphModule(root, self.fx)

    def install(self, root: torch.nn.Module) -> None:
        """Hang tensors and leaves under their dotted names in a tree of plain modules below `root`."""
        for path, module in self.leaves.items():
            owner, name = _owner(root, path)
            owner.add_module(name, module)
        for path, tensor in self.state.items():
            owner, name = _owner(root, path)
            if isinstance(tensor, torch.nn.Parameter):
                owner.register_parameter(name, tensor)
            else:
                owner.register_buffer(name, tensor, persistent=path not in self.transient)


def _before(node: Node) -> list[Node]:
    """The node behind all that it is computed from, each once, in an order in which they can be computed."""
    found: dict[Node, None] = {}
    stack = [node]
    while stack:
        if waiting := [operand for operand in stack[-1].all_input_nodes if operand not in found]:
            stack.extend(waiting)
        else:
            found.setdefault(stack.pop())
    return list(found)


def _owner(root: torch.nn.Module, path: str) -> tuple[torch.nn.Module, str]:
    """The module that holds what has this dotted name, made where it is missing, and the last part of the name."""
    *parts, name = path.split(".")
    for part in parts:
        if part not in root._modules:
            root.add_module(part, torch.nn.Module())
        root = root._modules[part]  # type: ignore[assignment]
    return root, name


def tensor_of(result: Any, index: int) -> Any:
    """One of the tensors in what a leaf returned, whatever its structure."""
    return tree_leaves(result)[index]


def call(node: Node, args: Any, kwargs: Any) -> Any:
    """What the node's operator returns for these arguments."""
    target: Any = node.target
    return target(*args, **kwargs)


def is_effect(node: Node) -> bool:
    """Whether a node must stay although nobody reads it: ports, leaves, and calls that mutate an argument."""
    if node.op in ("placeholder", "output", "call_module"):
        return True
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def is_random(node: Node) -> bool:
    """Whether a call draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def is_arithmetic(target: Any) -> bool:
    """Whether a call computes with sizes: by Python's operators on symbolic integers, or torch's names for them."""
    own = getattr(target, "__module__", "") == "torch" and getattr(target, "__name__", "").startswith("sym_")
    return own or getattr(target, "__module__", "") in ("_operator", "math")


def must_stay(node: Node) -> bool:
    """Whether a node changes something; a draw that nobody reads moves the random numbers of the next one."""
    return is_effect(node) or is_random(node)


def origin(node: Node) -> Origin:
    """Where the node comes from."""
    found: Origin = node.meta.get(_ORIGIN, Origin())
    return found


def stamp(node: Node, origin: Origin, value: Any) -> None:
    """Record where a node comes from and the (fake) value it has; only capture, sketch and engine call this."""
    node.meta = {_ORIGIN: origin, "val": value}


def shape(node: Node) -> torch.Size:
    """The shape of a node's tensor; a symbolic batch stays symbolic."""
    size: torch.Size = node.meta["val"].shape
    return size


def fixed(size: int | torch.SymInt) -> int | None:
    """A size as a number; None if it is symbolic. torch leaves symbols that it has found to have one value."""
    return size if isinstance(size, int) else size.node.maybe_as_int()


def layer(node: Node) -> str:
    """The path of the module that owns a node: of the weight for a get_attr, of the call otherwise."""
    if node.op == "get_attr":
        return str(node.target).rpartition(".")[0]
    return origin(node).layer


def schema_arguments(target: Any) -> Iterator[tuple[str, Any]]:
    """(name, default) of each argument of an ATen or lowbit operator, in order."""
    for item in target._schema.arguments:
        yield item.name, (item.default_value if item.has_default_value() else None)


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of a call by schema name, defaults filled in, whichever way the call spelt them."""
    given = dict(node.kwargs)
    names = list(schema_arguments(node.target))
    given.update(zip((name for name, _ in names), node.args, strict=False))
    return {name: given.get(name, copy.copy(default)) for name, default in names}
