"""Edit: everything that a rule's builder may do to a graph."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import fx
from torch._dispatch.python import enable_python_dispatcher
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from .autocast import Autocast
from .graph import Graph, Origin, arguments, call, origin, stamp
from .penalty import Penalty, plain


@dataclass
class Edit:
    """The verbs of a builder. Nodes appear right behind the root (before it, if it is the graph's output), so that
    they may read the root itself or all that it reads; values and provenance are filled in by the verbs.

    graph: the engine's working copy.   root: the matched node.   label: "pass/rule", for the trail.
    shared: names of tensors that the same pass made for the training graph, when it rewrites the graph of eval mode:
        what goes by the same name is the same tensor.
    made: the nodes made by this builder (and those kept): readers of the root that the engine leaves alone.
    diverted: readers of the root -> what they read from now on.
    autocasts: the blocks that new calls run in.
    """

    graph: Graph
    state: dict[str, torch.Tensor]
    root: fx.Node
    label: str
    shared: set[str] = field(default_factory=set)
    made: list[fx.Node] = field(default_factory=list)
    diverted: dict[fx.Node, fx.Node] = field(default_factory=dict)
    autocasts: tuple[Autocast, ...] = ()

    def __post_init__(self) -> None:
        self._next = self.root if self.root.op == "output" else self.root.next

    def call(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> fx.Node:
        """A new call of an ATen or lowbit operator; names its arguments as the operator's schema does."""
        with self.graph.fx.inserting_before(self._next):
            node = self.graph.fx.call_function(target, args, kwargs)
        return self._stamp(node, fake_call(node))

    def item(self, node: fx.Node, index: int) -> fx.Node:
        """One of the tensors of a call that returns several."""
        with self.graph.fx.inserting_before(self._next):
            picked = self.graph.fx.call_function(operator.getitem, (node, index))
        return self._stamp(picked, node.meta["val"][index])

    def like(self, node: fx.Node, /, **changed: Any) -> fx.Node:
        """The same call with some arguments, named by schema, replaced."""
        return self.call(node.target, **{**arguments(node), **changed})  # type: ignore[arg-type]

    def parameter(self, name: str, value: torch.Tensor) -> fx.Node:
        """A new trainable parameter of that dotted name, made unique by a number if it is taken."""
        return self._tensor(name, torch.nn.Parameter(value.detach().clone()))

    def buffer(self, name: str, value: torch.Tensor) -> fx.Node:
        """A new buffer of that dotted name, made unique by a number if it is taken."""
        return self._tensor(name, value.detach().clone())

    def common(self, name: str, value: torch.Tensor) -> fx.Node:
        """The tensor of that dotted name, one for all places that ask for it; a new parameter for the first."""
        if name not in self.state:
            self.state[name] = torch.nn.Parameter(value.detach().clone())
        return self._read(name)

    def keep(self, reader: fx.Node) -> None:
        """Let a reader of the root go on reading the root, whatever takes its place."""
        self.made.append(reader)

    def divert(self, reader: fx.Node, value: fx.Node) -> None:
        """Let a reader of the root read this value instead of what takes the root's place."""
        self.diverted[reader] = value

    def penalty(self, name: str, term: fx.Node, measure: fx.Node | None = None, coefficient: Any = 1.0) -> None:
        """Add a scalar to the losses that `regularization()` sums, under a name, made unique by a number if need be.

        measure, coefficient: what `penalties()` and `coefficients()` tell, see `Penalty`; without, the term itself.
        """
        graph = self.graph
        made = Penalty(term, term if measure is None else measure, coefficient)
        penalties = {**graph.penalties, _free(name, graph.penalties.__contains__): made}
        graph.output.args = ((graph.outputs, plain(penalties), graph.updates),)

    def update(self, tensor: fx.Node, value: fx.Node) -> None:
        """Let `step()` set a parameter or buffer to the value of a node."""
        graph = self.graph
        updates = {**graph.updates, str(tensor.target): value}
        graph.output.args = ((graph.outputs, plain(graph.penalties), updates),)

    def _tensor(self, name: str, value: torch.Tensor) -> fx.Node:
        unique = _free(name, lambda taken: taken in self.state and not self._is_shared(taken, value))
        self.state.setdefault(unique, value)
        return self._read(unique)

    def _read(self, name: str) -> fx.Node:
        self.shared.discard(name)
        with self.graph.fx.inserting_before(self._next):
            node = self.graph.fx.create_node("get_attr", name)
        return self._stamp(node, fake_tensor(self.graph, self.state[name]))

    def _is_shared(self, name: str, value: torch.Tensor) -> bool:
        return name in self.shared and self.state[name].shape == value.shape

    def _stamp(self, node: fx.Node, value: Any) -> fx.Node:
        source = origin(self.root)
        layer = source.layer or (str(self.root.target).rpartition(".")[0] if self.root.op == "get_attr" else "")
        stamp(node, Origin(layer, source.source, (*source.trail, self.label), self.autocasts), value)
        self.made.append(node)
        return node


def _free(name: str, taken: Callable[[str], bool]) -> str:
    """The name, or else the name with the first number behind it that is not taken."""
    return next(free for i in count(1) if not taken(free := f"{name}_{i}" if i > 1 else name))


def fake_call(node: fx.Node) -> Any:
    """The fake value of a call, from the fake values of its arguments; nothing is computed.

    Under torch's Python dispatcher, as in torch.export: some kernels in C++ would fix the symbolic batch for good.
    """
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
    tensors = [n.meta["val"] for n in node.all_input_nodes if isinstance(n.meta["val"], torch.Tensor)]
    with enable_python_dispatcher(), fake_mode(tensors), torch.no_grad():
        return call(node, args, kwargs)


def fake_mode(values: Iterable[Any]) -> FakeTensorMode:
    """The mode that these fake values belong to."""
    return next(value.fake_mode for value in values if isinstance(value, FakeTensor))


def fake_tensor(graph: Graph, value: torch.Tensor) -> torch.Tensor:
    """A fake value for a real tensor, in the mode of the graph's other values."""
    mode = fake_mode(node.meta.get("val") for node in graph.fx.nodes)  # as a rule the first one tells
    return mode.from_tensor(value.detach(), static_shapes=True)
