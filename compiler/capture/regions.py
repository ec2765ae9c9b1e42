"""Blocks of no_grad and autocast, which torch.export records as calls of subgraphs, inlined as plain calls."""

from __future__ import annotations

import contextlib
import importlib
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import torch
from torch import fx
from torch.fx import Node, map_arg
from torch.utils import _pytree as pytree

from ..autocast import Autocast, innermost
from ..graph import is_arithmetic
from .autocast import Casts, active, casts_of, returned, unfolded
from .cond import COND, Inline, chosen
from .refusal import recorded_line, refusal_of_call

_aten = torch.ops.aten
_NO_GRAD = torch.ops.higher_order.wrap_with_set_grad_enabled
_AUTOCAST = torch.ops.higher_order.wrap_with_autocast

_ENTER, _EXIT = torch.amp.autocast_mode._enter_autocast, torch.amp.autocast_mode._exit_autocast
BLOCKS = "lowbit.autocasts"
"""Where in the meta of a call the blocks of autocast stand that it ran in."""
_PASSES = ("replace_set_grad_with_hop_pass", "replace_autocast_with_hop_pass")


@contextlib.contextmanager
def unsplit() -> Iterator[None]:
    """Let torch.export leave the marks at both ends of a block in the graph, which `inlined` reads.

    The passes of torch that make calls of subgraphs of them lose a no_grad within an autocast.
    """
    with contextlib.ExitStack() as stack:
        for name in _PASSES:
            module = importlib.import_module(f"torch._export.passes.{name}")
            stack.enter_context(mock.patch.object(module, name, lambda exported, signature: (exported, signature)))
        yield


def inlined(exported: fx.GraphModule) -> fx.Graph:
    """The graph of an exported module without regions; the module is left as it is, and nodes keep their meta.

    Gradients: a call that ran without them reads what may carry some through `aten.detach`, one for each value; a value
    that a region returns unchanged stays itself.   Autocast: its casts become `aten.to.dtype` before the calls that
    they were made for. Both give the very gradients of the module.   Raises UserError, naming the line, for a call
    that runs functions of the user's, such as torch.vmap.   Of torch.cond both sides are inlined, see `chosen`.
    """
    paths = {part: path for path, part in exported.named_modules() if isinstance(part, fx.GraphModule)}
    flat = _Flat({name for name, _ in exported.named_parameters(remove_duplicate=False)}, paths)
    flat.graph.output(flat.block(exported, None, _Region()))
    return flat.graph


@dataclass(frozen=True)
class _Region:
    """What held where a call ran.

    grad: whether gradients were recorded.   autocasts: the blocks around it, outermost first.
    chosen: the outermost torch.cond around it, whose line stands for all that it runs.
    weights: (parameter, type) -> its cast, made once within the outermost block as torch does, which adds up the
        gradients of all its readers in the lower type.
    """

    grad: bool = True
    autocasts: tuple[Autocast, ...] = ()
    chosen: Node | None = None
    weights: dict[tuple[Node, torch.dtype], Node] = field(default_factory=dict)

    def within(self, block: Autocast) -> _Region:
        return replace(self, autocasts=(*self.autocasts, block), weights=self.weights if self.autocasts else {})


@dataclass(frozen=True)
class _Flat:
    """The graph under construction.

    paths: where each subgraph lies in the whole.
    tracked: the tensors that may carry gradients, each under the node that owns its memory.
    owners: a view -> the node that owns its memory.   detached: value -> the same without gradients.
    """

    parameters: set[str]
    paths: dict[fx.GraphModule, str]
    graph: fx.Graph = field(default_factory=fx.Graph)
    tracked: set[Node] = field(default_factory=set)
    owners: dict[Node, Node] = field(default_factory=dict)
    detached: dict[Node, Node] = field(default_factory=dict)

    def block(self, body: fx.GraphModule, given: Sequence[Any] | None, region: _Region) -> Any:
        """Append the calls of a graph; what it returns, as new nodes. No `given`: the inputs are those of the model."""
        known: dict[Node, Any] = {}
        before: dict[Node, _Region] = {}
        values = None if given is None else iter(given)
        for node in body.graph.nodes:
            if node.op == "output":
                break
            if node.target is torch._C._set_grad_enabled:
                region = replace(region, grad=node.args[0])
            elif node.target is _ENTER:
                before[node], region = region, region.within(Autocast(*node.args[:3]))
            elif node.target is _EXIT:
                outer = before[node.args[0]]
                region = replace(region, autocasts=outer.autocasts, weights=outer.weights)
            elif node.op == "call_function":
                args, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
                known[node] = self.call(node, args, kwargs, region)
            elif node.op == "placeholder" and values is not None:
                known[node] = next(values)
            else:
                part = _graph_of(body, node)
                known[node] = part if part is not None else self.port(node, known, body)
        return map_arg(node.args[0], known.__getitem__)

    def port(self, node: Node, known: dict[Node, Any], body: fx.GraphModule) -> Node:
        """An input, a parameter or a buffer, or the call of the guards; buffers carry no gradients."""
        new = self.graph.node_copy(node, known.__getitem__)
        if node.op == "get_attr" and self.paths[body]:  # a literal of that subgraph
            new.target = f"{self.paths[body]}.{node.target}"
        if node.op == "placeholder" or (node.op == "get_attr" and node.target in self.parameters):
            self.tracked.add(new)
        return new

    def call(self, node: Node, args: Any, kwargs: Any, region: _Region) -> Any:
        if node.target is operator.getitem and not isinstance(args[0], Node):
            return args[0][args[1]]
        if node.target is _NO_GRAD:
            enabled, body, *operands = args
            return self.block(body, operands, replace(region, grad=enabled))
        if node.target is _AUTOCAST:
            device, dtype, enabled, _, body, *operands = args
            return self.block(body, operands, region.within(Autocast(device, dtype, enabled)))
        if node.target is COND:
            return chosen(node, args, self.choosing(node, region))
        if _runs_functions(node, (args, kwargs)):
            raise refusal_of_call(node)
        return self.operator(node, args, kwargs, region)

    def choosing(self, node: Node, region: _Region) -> Inline:
        """How a torch.cond is written here."""
        here = region if region.chosen else replace(region, chosen=node)
        with_grad, without = replace(here, grad=True), replace(here, grad=False)

        def emitter(region: _Region) -> Callable[..., Node]:
            def emit(target: Any, args: Any, kwargs: Any, name: str, value: Any) -> Node:
                read = tuple(self.cast(x, None, node, region) for x in args)
                return self.emit(target, read, kwargs, node, region, name, value)

            return emit

        return Inline(
            block=lambda body, operands: self.block(body, operands, here),
            emit=emitter(here),
            shield=emitter(with_grad),
            carries=self.carries,
            still=lambda value: self.quiet(value, node, without),
        )

    def operator(self, node: Node, args: Any, kwargs: Any, region: _Region) -> Any:
        flat, spec = pytree.tree_flatten((args, kwargs))
        casts: Casts | None = Casts()
        if active(region.autocasts) and any(isinstance(x, Node) and _is_real(x) for x in flat):
            casts = casts_of(node.target, _values(flat), spec, region.autocasts)
        same = () if region.grad else returned(node.target, _values(flat), spec)
        if same and None not in same:
            given = tuple(flat[position] for position in same if position is not None)
            if (
                getattr(node.target, "overloadpacket", None) is _aten.to
            ):  # under an autocast around the graph it may have to convert
                return self.emit(node.target, args, kwargs, node, replace(region, grad=True), node.name)
            return given if isinstance(node.meta["val"], list | tuple) else given[0]
        if casts is None:
            return self.unfold(node, flat, spec, region)
        read = [self.cast(x, casts.inputs.get(i), node, region) for i, x in enumerate(flat)]
        args_read, kwargs_read = pytree.tree_unflatten(read, spec)
        new = self.emit(node.target, args_read, {**kwargs_read, **casts.arguments}, node, region, node.name)
        written, viewed = _aliases(node.target, args, kwargs)
        # The caller gets the tensor that it gave, gradients and all, and not what stood in for it.
        return viewed if viewed in written and viewed not in read else new

    def unfold(self, node: Node, flat: Sequence[Any], spec: pytree.TreeSpec, region: _Region) -> Any:
        """The calls that an operator is made of, for autocast casts between them."""
        tracked = [region.grad and isinstance(x, Node) and self.carries(x) for x in flat]
        inner = unfolded(node.target, _values(flat), spec, region.autocasts, tracked)
        inputs = [self.cast(x, None, node, region) for x in flat if isinstance(x, Node)]
        known: dict[Node, Any] = dict(zip(inner.find_nodes(op="placeholder"), inputs, strict=True))
        for part in [part for part in inner.nodes if part.op == "call_function"]:
            args, kwargs = map_arg((part.args, part.kwargs), known.__getitem__)
            known[part] = self.emit(part.target, args, kwargs, node, region, part.name, part.meta["val"])
        return map_arg(inner.output_node().args[0], known.__getitem__)

    def cast(self, value: Any, dtype: torch.dtype | None, like: Node, region: _Region) -> Any:
        """The value as a call reads it: in the type that autocast gives it, without gradients where there are none."""
        if not isinstance(value, Node):
            return value
        if dtype is None:
            return self.quiet(value, like, region)
        if value.target in self.parameters and value.meta["val"].dtype == torch.float32:
            key = (value, dtype)
            if key not in region.weights:  # torch records the gradients of this cast even under no_grad
                region.weights[key] = self.convert(value, dtype, like, replace(region, grad=True))
            return self.quiet(region.weights[key], like, region)
        return self.convert(self.quiet(value, like, region), dtype, like, region)

    def convert(self, value: Node, dtype: torch.dtype, like: Node, region: _Region) -> Node:
        fake = value.meta["val"].detach().to(dtype)
        return self.emit(_aten.to.dtype, (value, dtype), {}, like, region, "autocast", fake)

    def quiet(self, value: Node, like: Node, region: _Region) -> Node:
        """The value, detached where no gradients are recorded but it may carry some."""
        if region.grad or not self.carries(value):
            return value
        if value not in self.detached:
            fake = value.meta["val"].detach()
            self.detached[value] = self.emit(_aten.detach.default, (value,), {}, like, region, "no_grad", fake)
        return self.detached[value]

    def carries(self, value: Node) -> bool:
        """Whether the value may carry gradients; whole numbers and lists do not."""
        return _is_real(value) and self.owner(value) in self.tracked

    def owner(self, value: Node) -> Node:
        return self.owners.get(value, value)

    def emit(
        self, target: Any, args: Any, kwargs: Any, like: Node, region: _Region, name: str, value: Any = None
    ) -> Node:
        """Append a call with the meta of another, and follow where gradients go: to results, and to what it writes."""
        new = self.graph.create_node("call_function", target, args, kwargs, name=name)
        new.meta = {**like.meta, **_place(like, region.chosen), "val": like.meta.get("val") if value is None else value}
        new.meta[BLOCKS] = innermost(region.autocasts)
        written, viewed = _aliases(target, args, kwargs)
        if target is _aten.detach.default:
            return new
        if viewed is not None:
            self.owners[new] = self.owner(viewed)
        if region.grad and any(self.owner(x) in self.tracked for x in new.all_input_nodes):
            self.tracked.update(self.owner(x) for x in (new, *written))
        return new


def _place(like: Node, chosen: Node | None) -> dict[str, Any]:
    """What a call in a side of a torch.cond does not know of its own module and line: those of the torch.cond."""
    if chosen is None:
        return {}
    own = {"nn_module_stack": like.meta.get("nn_module_stack"), "stack_trace": recorded_line(like)}
    return {key: chosen.meta.get(key) for key, known in own.items() if not known}


def _values(flat: Sequence[Any]) -> list[Any]:
    return [x.meta["val"] if isinstance(x, Node) else x for x in flat]


def _is_real(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and (value.is_floating_point() or value.is_complex())


def _graph_of(body: fx.GraphModule, node: Node) -> fx.GraphModule | None:
    """The subgraph that a get_attr node stands for, if it is one."""
    if node.op != "get_attr":
        return None
    owner, _, name = str(node.target).rpartition(".")
    part = getattr(body.get_submodule(owner), name)
    return part if isinstance(part, fx.GraphModule) else None


def _runs_functions(node: Node, given: Any) -> bool:
    """Whether a call takes subgraphs, as a while_loop does, or is one of Python's, as torch.vmap leaves behind."""
    if any(isinstance(x, fx.GraphModule) for x in pytree.tree_leaves(given)):
        return True
    known = isinstance(node.target, torch._ops.OpOverload | torch._ops.HigherOrderOperator)
    return not known and not is_arithmetic(node.target)


def _aliases(target: Any, args: Any, kwargs: Any) -> tuple[list[Node], Node | None]:
    """By the operator's schema: the tensors that a call writes, and the one that its result shares memory with."""
    if target is operator.getitem:
        return [], args[0]
    schema = getattr(target, "_schema", None)
    returned = {
        name for out in (schema.returns if schema else ()) if out.alias_info for name in out.alias_info.before_set
    }
    written, viewed = list[Node](), None
    for i, argument in enumerate(schema.arguments if schema else ()):
        given = args[i] if i < len(args) else kwargs.get(argument.name)
        nodes = [x for x in pytree.tree_leaves(given) if isinstance(x, Node)]
        if argument.alias_info and nodes:
            written += nodes if argument.alias_info.is_write else []
            viewed = nodes[0] if argument.alias_info.before_set & returned else viewed
    return written, viewed
