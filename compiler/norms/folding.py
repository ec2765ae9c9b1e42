"""What becomes of each inference batch norm: part of the layers behind or before it, or a multiply-add of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from torch import Tensor, fx

from ..errors import Unsupported
from ..graph import Graph, arguments, origin, shape
from ..layers import channel_axis, output_axis
from ..operators import TRANSPOSED, aten, own
from .movement import NOBODY, behind, feeds, reach
from .norm import factor
from .takers import LAYERS, Edge, Found, Search, Taker, first, norms


@dataclass(frozen=True)
class Affine:
    """y = k (x - mean) + shift, each (channels,): the form in which small variances lose no digits."""

    k: Tensor
    mean: Tensor
    shift: Tensor

    def after(self, other: Affine) -> Affine:
        """This, of what another one gives."""
        return Affine(self.k * other.k, other.mean, self.k * (other.shift - self.mean) + self.shift)

    def at(self, index: Tensor) -> Affine:
        """That of each channel of an index, in its shape; what nobody reads stays what it is."""
        read, safe = index != NOBODY, index.clamp_min(0)
        k, mean, shift = self.k[safe], self.mean[safe], self.shift[safe]
        return Affine(torch.where(read, k, 1), torch.where(read, mean, 0), torch.where(read, shift, 0))

    @property
    def offset(self) -> Tensor:
        """y - k x."""
        return self.shift - self.k * self.mean


@dataclass(frozen=True)
class Change:
    """What a layer takes in.   after: of its output, behind the division by `divisor` and the sum with `offset`.
    before: of its input, one number each of its input channels.
    """

    after: Affine | None = None
    before: Affine | None = None
    divisor: Tensor | None = None
    offset: Tensor | None = None

    @property
    def factor(self) -> Tensor | None:
        """By what the weight is multiplied for each output channel."""
        if self.after is None:
            return None if self.divisor is None else 1 / self.divisor
        return self.after.k if self.divisor is None else self.after.k / self.divisor


@dataclass
class Plan:
    """By name of a node: what layers take in, the nodes that are then their input's value, the norms that become a
    multiply-add, the operands of joins that get one, and for each norm why it did not go into the layers behind it.
    """

    layers: dict[str, Change] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    adds: dict[str, Affine] = field(default_factory=dict)
    joins: dict[str, dict[int, Affine]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        """Whether a node goes, its input in its place."""
        return name in self.gone


def planned(graph: Graph) -> Plan:
    """The plan for all norms of a graph in eval mode. Raises Unsupported for one with parameters that are computed."""
    plan = Plan()
    search = Search(graph.constants(), gone := set(), adds := set())
    for norm in norms(graph):
        if arguments(norm)["training"]:
            continue
        own_affine = _affine(graph, norm, search)
        found = search.takers(norm)
        if stuck := next((why for t in found.takers if (why := _unscaled(graph, t, own_affine, plan))), ""):
            found = Found(reason=stuck)
        if found.takers:
            for taker in found.takers:
                _take(graph, plan, taker, own_affine.at(taker.channels))
                gone |= _passed(taker, found)
            for edge in found.edges:
                _join(plan, edge, own_affine)
            gone.add(norm)
        else:
            adds.add(norm)
            plan.adds[norm.name], plan.reasons[norm.name] = own_affine, found.reason
    _divisions(graph, plan, search, gone)
    _forwards(graph, plan, search)
    plan.gone |= {node.name for node in gone}
    return plan


def _divisions(graph: Graph, plan: Plan, search: Search, gone: set[fx.Node]) -> None:
    """Let layers take in the division by k, and the sum behind it, of a simulated fold that does not take place."""
    for node in reversed(graph.nodes):
        if node.target in (aten.add.Tensor, aten.div.Tensor) and node not in gone:
            taker = search.simulated(node)
            if taker is not None and taker.node.name not in plan.layers:
                plan.layers[taker.node.name] = _scaled(graph, taker)
                gone |= _until(node, taker.node)


def _until(node: fx.Node, layer: fx.Node) -> set[fx.Node]:
    """The node and what stands between it and the layer."""
    return set() if node is layer else {node, *_until(first(node), layer)}


def _affine(graph: Graph, norm: fx.Node, search: Search) -> Affine:
    given = arguments(norm)
    operands = [given[name] for name in ("weight", "bias", "running_mean", "running_var")]
    if any(operand is not None and operand not in search.fixed for operand in operands):
        raise Unsupported(
            "a batch norm cannot be folded",
            where=str(origin(norm)),
            why="its parameters are computed from an input",
            fix="give it parameters of its own",
        )
    g, beta, mean, var = (None if operand is None else graph.evaluate(operand) for operand in operands)
    k = factor(g, var, given["eps"])  # type: ignore[arg-type]
    return Affine(k, mean, torch.zeros_like(k) if beta is None else beta)  # type: ignore[arg-type]


def _passed(taker: Taker, found: Found) -> set[fx.Node]:
    """The division and the sum between a layer and its norm."""
    constants = [constant for constant in (taker.divisor, taker.offset) if constant is not None]
    return {node for node in found.between if any(_second(node) is constant for constant in constants)}


def _second(node: fx.Node) -> object:
    return arguments(node).get("other") if hasattr(node.target, "_schema") else None


def _take(graph: Graph, plan: Plan, taker: Taker, affine: Affine) -> None:
    name = taker.node.name
    if name in plan.adds:
        plan.adds[name] = affine.after(plan.adds[name])
        return
    change = plan.layers.get(name) or _scaled(graph, taker)
    plan.layers[name] = replace(change, after=affine if change.after is None else affine.after(change.after))


def _scaled(graph: Graph, taker: Taker) -> Change:
    count = len(taker.channels)
    constants = [None if node is None else graph.evaluate(node) for node in (taker.divisor, taker.offset)]
    divisor, offset = (None if c is None else c.reshape(-1).expand(count) for c in constants)
    return Change(divisor=divisor, offset=offset)


def _unscaled(graph: Graph, taker: Taker, affine: Affine, plan: Plan) -> str:
    """Why integer codes cannot take a factor in: they have no scale for each output channel."""
    if taker.node.name in plan.adds:
        return ""
    weight = arguments(taker.node)["weight"]
    if weight.target is not own.dequantize.default:
        return ""
    change = replace(plan.layers.get(taker.node.name) or _scaled(graph, taker), after=affine.at(taker.channels))
    axis, given = output_axis(taker.node), arguments(weight)
    along = axis is not None and (int(shape(given["scale"])[0]) == 1 or given["axis"] == axis)
    unchanged = change.factor is not None and bool((change.factor == 1).all())
    return "" if along or unchanged else "the grid of its weight has no scale for each output channel"


def _join(plan: Plan, edge: Edge, affine: Affine) -> None:
    operands = plan.joins.setdefault(edge.join.name, {})
    here = affine.at(edge.index[0])
    operands[edge.position] = here.after(operands[edge.position]) if edge.position in operands else here


def _forwards(graph: Graph, plan: Plan, search: Search) -> None:
    """Let the layers that read a multiply-add take it in, where all of its readers can: a norm before a layer."""
    found = []
    for layer in graph.fx.nodes:
        if layer.op == "call_function" and layer.target in LAYERS:
            found += [read] if (read := _read(layer, plan, search)) else []
    for norm, some in groupby(sorted(found, key=lambda read: read[0]), key=lambda read: read[0]):
        reads = list(some)
        if {last for _, last, _, _ in reads} != set(norm.users):
            continue
        affine = plan.adds.pop(norm.name)
        for _, _, layer, channels in reads:
            plan.layers[layer.name] = replace(plan.layers.get(layer.name, Change()), before=affine.at(channels))
        plan.gone.add(norm.name)


def _read(layer: fx.Node, plan: Plan, search: Search) -> tuple[fx.Node, fx.Node, fx.Node, Tensor] | None:
    """(the norm that a layer reads, the reader of it on the way, the layer, the norm's channel for each of its input's)
    if the layer can take it in.
    """
    weight, x = arguments(layer)["weight"], arguments(layer)["input"]
    if weight not in search.fixed or weight.target in (own.dequantize.default, own.fake_quantize.default):
        return None
    count = int(shape(x)[channel_axis(layer)])
    index = torch.arange(count).reshape([-1 if i == channel_axis(layer) else 1 for i in range(len(shape(x)))])
    reader, node = layer, x
    while node.name not in plan.adds:
        parts = behind(node, index)
        if len(parts) != 1 or not feeds(node):
            return None
        reader, (node, index) = node, parts[0]
    channels = reach(index, 1, int(shape(node)[1]), count)
    exact = channels is not None and (_borderless(layer) or not plan.adds[node.name].offset.any())
    return (node, reader, layer, channels) if exact else None  # type: ignore[return-value]


def _borderless(layer: fx.Node) -> bool:
    """Whether every output of a layer sees all taps of its kernel: then a shift of the input is one of the output."""
    if layer.target in TRANSPOSED:
        return False
    padding = arguments(layer).get("padding", 0)
    if isinstance(padding, str):
        return padding == "valid"
    return not any([padding] if isinstance(padding, int) else padding)
