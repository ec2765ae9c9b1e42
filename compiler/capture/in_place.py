"""In-place calls become pure ones where that changes neither a value nor a gradient.

Each tensor is followed under all its names. When a view is written, the whole is put together again from the new part,
and every name that is read afterwards is made anew. A tensor of which this cannot be told for certain keeps all its
in-place calls, as do parameters, buffers and inputs, which the caller sees changed.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import fx

from ..aliases import Aliases, aliases, written
from ..edit import fake_call
from ..graph import Graph, must_stay, origin, stamp
from .pure import is_elementwise, pure
from .unview import base, is_part, unview


def functional(graph: Graph) -> Graph:
    """The same graph without the in-place calls that need not be. The graph given is not changed."""
    known = aliases(graph)
    kept = {known.groups[node] for node in known.groups if node.op in ("placeholder", "get_attr")}
    while known.written - kept:
        attempt = _Pure(graph, known, frozenset(kept))
        made = attempt.run()
        if not attempt.failed:
            return made
        kept |= attempt.failed
    return graph.copy()[0]


@dataclass
class _Group:
    """What is known of one memory while the graph is followed.

    epoch: counts the changes that every name has seen.   ahead: a name that was written since, if any, and the names
    made from it: they alone know the present value.   sealed: nothing else may be read any more.
    """

    epoch: int = 0
    written: fx.Node | None = None
    ahead: set[fx.Node] = field(default_factory=set)
    sealed: bool = False


@dataclass
class _Pure:
    """One attempt.   values: tensor of the old graph -> its present value in the new.   seen: the epoch of that value.

    same: the result of an in-place call -> the tensor that it is.   carrying: the groups that may carry gradients.
    failed: the groups that have to be kept as they are.
    """

    old: Graph
    known: Aliases
    kept: frozenset[fx.Node]
    graph: fx.Graph = field(default_factory=fx.Graph)
    values: dict[fx.Node, fx.Node] = field(default_factory=dict)
    seen: dict[fx.Node, int] = field(default_factory=dict)
    same: dict[fx.Node, fx.Node] = field(default_factory=dict)
    groups: dict[fx.Node, _Group] = field(default_factory=dict)
    carrying: set[fx.Node] = field(default_factory=set)
    failed: set[fx.Node] = field(default_factory=set)

    def run(self) -> Graph:
        for node in self.old.fx.nodes:
            self._carry(node)
            if written(node) and self.known.groups[node] not in self.kept:
                self._write(node)
            else:
                self._copy(node)
        self.graph.eliminate_dead_code(must_stay)
        return replace(self.old, fx=self.graph)

    def _carry(self, node: fx.Node) -> None:
        value, group = node.meta.get("val"), self.known.groups[node]
        if isinstance(value, torch.Tensor) and not value.is_floating_point() and not value.is_complex():
            return
        trained = node.op == "get_attr" and isinstance(self.old.tensor(node), torch.nn.Parameter)
        if (
            trained
            or node.op == "placeholder"
            or any(self.known.groups[x] in self.carrying for x in node.all_input_nodes)
        ):
            self.carrying.add(group)

    def _copy(self, node: fx.Node) -> None:
        """Append the node as it is, over the present values of what it reads."""
        self.values[node] = self.graph.node_copy(node, self._current)
        group = self._group(node)
        self.seen[node] = group.epoch
        if any(self._named(source) in group.ahead for source in self.known.sources[node]):
            group.ahead.add(node)

    def _write(self, node: fx.Node) -> None:
        """Append the pure form of an in-place call, or the call itself if it has none."""
        targets = written(node)
        tensor = self.same[node] = self._named(targets[0])
        if len(targets) > 1 or node.args[:1] != (targets[0],):
            self._fail(node)
            return
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._current)
        before = self.values[tensor]
        try:
            new = pure(node, args, kwargs, self._loses_gradients(tensor), partial(self._emit, node))
        except RuntimeError:  # strides that do not allow a view
            new = None
        new = new or self.graph.node_copy(node, self._current)
        renamed = torch.Tag.inplace_view in getattr(node.target, "tags", ())
        if not renamed and _order(new) != _order(before):
            self._fail(node)
        self._mark(tensor, new, sealed=renamed or bool(written(new) and self.known.sources[tensor]))

    def _mark(self, tensor: fx.Node, new: fx.Node, sealed: bool) -> None:
        """Let the tensor be the only name that knows the present value; if it is the whole, others are made of it."""
        group = self._group(tensor)
        self.values[tensor] = new
        if self.known.sources[tensor] or sealed:
            group.written, group.ahead, group.sealed = tensor, {tensor}, group.sealed or sealed
            return
        group.epoch += 1
        self.seen[tensor] = group.epoch

    def _loses_gradients(self, tensor: fx.Node) -> bool:
        """Whether copying over the tensor leaves nothing of a value that may carry gradients, which become zeros."""
        if self.known.groups[tensor] not in self.carrying:
            return False
        while sources := self.known.sources[tensor]:
            if is_part(tensor):
                return False
            tensor = self._named(sources[0])
        return True

    def _current(self, node: fx.Node) -> fx.Node:
        """The present value of a tensor of the old graph."""
        tensor, group = self._named(node), self._group(node)
        if tensor in group.ahead:
            return self.values[tensor]
        if group.ahead:
            self._settle(group)
        if self.seen[tensor] != group.epoch:
            self._renew(tensor, group)
        return self.values[tensor]

    def _settle(self, group: _Group) -> None:
        """Put the wholes together again from the part that was written."""
        assert group.written is not None
        tensor, group.epoch = group.written, group.epoch + 1
        self.seen.update(dict.fromkeys(group.ahead, group.epoch))
        group.ahead = set()
        if group.sealed:
            self._fail(tensor)
        while self.known.sources[tensor] and self.known.groups[tensor] not in self.failed:
            tensor = self._whole(tensor)
            self.seen[tensor] = group.epoch

    def _whole(self, view: fx.Node) -> fx.Node:
        """Renew what the view is a view of."""
        source = self._named(self.known.sources[view][0])
        if view not in self.known.views:
            return self._fail(source)
        whole = self._named(base(view, source))
        before = self.values[whole]
        try:
            new = unview(view, source, before, self.values[view], partial(self._emit, view))
        except RuntimeError:
            new = None
        if new is None or _order(new) != _order(before):
            return self._fail(whole)
        self.values[whole] = new
        return whole

    def _renew(self, tensor: fx.Node, group: _Group) -> None:
        """Take the view again of the present value."""
        self.seen[tensor] = group.epoch
        if tensor not in self.known.views:
            self._fail(tensor)
            return
        args, kwargs = fx.map_arg((tensor.args, tensor.kwargs), self._current)
        before = self.values[tensor]
        try:
            new = self._emit(tensor, tensor.target, *args, **kwargs)
        except RuntimeError:
            self._fail(tensor)
            return
        if _order(new) != _order(before):
            self._fail(tensor)
        self.values[tensor] = new

    def _emit(self, like: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Append a call with the origin of another."""
        name = re.sub(r"_(?=_\d+$|$)", "", like.name) if target is not like.target else like.name
        new = self.graph.create_node("call_function", target, args, kwargs, name=name)
        if target is operator.getitem:
            value = args[0].meta["val"][args[1]]
        elif is_elementwise(like, new):
            value = like.meta["val"]
        else:
            value = fake_call(new)
        stamp(new, origin(like), value)
        return new

    def _named(self, node: fx.Node) -> fx.Node:
        return self.same.get(node, node)

    def _group(self, node: fx.Node) -> _Group:
        return self.groups.setdefault(self.known.groups[node], _Group())

    def _fail(self, node: fx.Node) -> fx.Node:
        self.failed.add(self.known.groups[node])
        return node


def _order(node: fx.Node) -> list[int]:
    """The axes of a tensor from the slowest to the fastest; other strides could forbid a view that follows."""
    value = node.meta["val"]
    if not isinstance(value, torch.Tensor):
        return []
    sizes, strides = map(_hints, (value.shape, value.stride()))
    return sorted((i for i, size in enumerate(sizes) if size != 1), key=lambda i: -strides[i])


def _hints(sizes: Any) -> list[int]:
    return [size if isinstance(size, int) else size.node.hint or 1 << 30 for size in sizes]
