"""The walk over a frozen graph, in order, one lowering rule a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import getitem
from typing import Any

import numpy as np
import torch
from torch import fx

from ...compiler.arrays import Floats
from ...compiler.dataless import OfOneSample, dataless, draws
from ...compiler.errors import Broken, Unsupported
from ...compiler.facts import is_norm
from ...compiler.graph import Graph, arguments, origin, shape, tensor_of
from ...compiler.grids.sharing import readers
from ...compiler.operators import GRIDS
from ...compiler.registry import members
from ...compiler.text import target_name
from ..fixed.op import Attribute
from ..fixed.program import Builder, Port, Program
from ..fixed.verify import IllegalStep
from .batch import across
from .in_place import check_in_place
from .places import places
from .real import Input, Laid, Lowered, Moved, Real, port

NO_GRID = "an input has no grid"
RANDOM = "it draws random numbers in inference"
REPLACED = "replace {} in the model; `lowbit ops` lists what there is"
ALONE = "let each sample be computed alone, along the axes behind the first"
FOLDED = "add fold_batch_norm to the recipe, behind freeze, and simulate_fold to train the folded weights"


@dataclass(frozen=True, eq=False)
class Node:
    """A call of the graph as its lowering rule sees it.

    given: arguments by schema name; a node among them is replaced by what it became.
    node: the call itself, for shapes and readers.   builder: takes the steps.
    sizes: of the output of one sample, where that is not its shape without the first axis.
    """

    given: Mapping[str, Any]
    node: fx.Node
    builder: Builder
    sizes: tuple[int, ...] | None = None

    def step(self, op: str, *inputs: int, **attributes: Attribute) -> int:
        """Append a step that comes from this call."""
        return self.builder.step(op, *inputs, origin=str(origin(self.node)), **attributes)

    def real(self, name: str) -> Real:
        """An argument that must be integers on a grid, or an accumulator."""
        value = self.given[name]
        if isinstance(value, Moved):
            value = value.at_once()
        if isinstance(value, Real):
            return value
        if isinstance(value, Laid):
            raise self.unsupported("its input does not keep the batch as its first axis", ALONE)
        raise self.unsupported(NO_GRID if isinstance(value, Input) else f"its {name} is not an integer value")

    def on_grid(self, name: str) -> Real:
        """An argument that must be rounded to a grid with one scale, not an accumulator."""
        real = self.real(name)
        if real.wide or real.scale.size > 1:
            raise self.unsupported(f"its {name} is an accumulator that no grid has rounded")
        return real

    def floats(self, name: str) -> Floats | None:
        """An argument that must be a constant of real numbers, or absent."""
        value = self.given[name]
        if value is None or isinstance(value, np.ndarray):
            return value
        raise self.unsupported(f"its {name} is not a constant")

    def shaped(self, value: int, shape: tuple[int, ...]) -> int:
        """The same integers in a shape, by a step where it is another."""
        return value if self.builder[value].shape == shape else self.step("reshape", value, shape=shape)

    def numbers(self, name: str, count: int) -> tuple[int, ...]:
        """An argument of so many numbers, or of one for all; an empty one is that of the kernel."""
        value = self.given[name]
        sizes = [value] if isinstance(value, int) else list(value)
        if not sizes:
            return self.numbers("kernel_size", count)
        return tuple(map(int, sizes * count if len(sizes) == 1 else sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The output's shape without batch; refuses a call that moves or splits the batch axis."""
        if self.sizes is not None:
            return self.sizes
        sizes = shape(self.node)
        given = [n.meta["val"] for n in self.node.all_input_nodes if isinstance(n.meta["val"], torch.Tensor)]
        kept = bool(sizes) and any(str(sizes[0]) == str(value.shape[0]) for value in given if value.dim())
        if not kept or not all(isinstance(size, int) for size in sizes[1:]):
            raise self.unsupported("it does not keep the batch as its first axis", ALONE)
        return tuple(int(size) for size in sizes[1:])

    def unsupported(self, why: str, fix: str = "") -> Unsupported:
        """The refusal of this call, for that reason."""
        what = f"{target_name(self.node.target)} cannot become integers"
        return Unsupported(what, where=str(origin(self.node)), why=why, fix=fix)


@dataclass(frozen=True)
class Lowering:
    """How calls of `targets` become integer steps: `build` returns what the call became.

    along: it computes along so many of the last axes, so that it is the same wherever the batch stands before them;
    None where that must be first, or where the rule minds it.
    """

    targets: frozenset[Any]
    build: Callable[[Node], Lowered]
    along: int | None = None


@cache
def table() -> Mapping[Any, Lowering]:
    """Call target -> its lowering."""
    found: dict[Any, Lowering] = {}
    for name, lowering in members(f"{__package__}.rules", Lowering).items():
        for target in lowering.targets:
            if target in found:
                raise Broken(f"two lowering rules take {target}, one in '{name}'")
            found[target] = lowering
    return found


def missing(graph: Graph) -> list[fx.Node]:
    """The calls that have no lowering rule, in graph order."""
    fixed = graph.constants() | dataless(graph)
    calls = [node for node in graph.nodes if node.op in ("call_function", "call_module") and node not in fixed]
    return [node for node in calls if node.target not in table() and node.target is not tensor_of]


def lacking(node: fx.Node) -> Unsupported:
    """The refusal of a call that has no lowering rule."""
    why, fix = "no lowering rule takes it", REPLACED.format("it")
    if node.op == "call_module":
        why, fix = "kept opaque by the recipe", "take it out of the recipe's leaves"
    elif node.target is torch.ops.aten.scaled_dot_product_attention.default:
        why, fix = "no pass of the recipe took it apart", "add split_attention to the recipe, before insert_fake_quant"
    elif is_norm(node):
        why, fix = "no pass of the recipe folded it", FOLDED
    return Unsupported(f"{target_name(node.target)} cannot become integers", where=str(origin(node)), why=why, fix=fix)


def lower(graph: Graph) -> Program:
    """The integer program of a frozen graph. Raises Unsupported with every call that has no integer form, and why."""
    return linked(graph)[0]


def linked(graph: Graph) -> tuple[Program, Mapping[fx.Node, Lowered]]:
    """The same, with what each node became."""
    without = missing(graph)
    if without:
        leaf = {True: " (kept opaque by the recipe)", False: ""}
        places = "\n".join(f"{target_name(n.target)}{leaf[n.op == 'call_module']}: {origin(n)}" for n in without)
        raise Unsupported(
            f"{len(without)} calls of the model have no integer form",
            where=places,
            fix="; ".join(_ways(without)),
        )
    check_in_place(graph)
    builder = Builder()
    became = walk(graph, builder)
    inputs = [input_port(node, became) for node in graph.inputs if node in became]
    return builder.build(inputs, [output_port(node, became[node]) for node in graph.outputs]), became


def _ways(without: list[fx.Node]) -> list[str]:
    """What to do about calls that have no lowering rule."""
    norms = sum(map(is_norm, without))
    folded = FOLDED if norms == len(without) else f"for the batch norms {FOLDED}"
    return [folded] * bool(norms) + [REPLACED.format("the others" if norms else "them")] * (len(without) > norms)


def walk(
    graph: Graph, builder: Builder, refused: Callable[[fx.Node, Unsupported], Lowered] | None = None
) -> Mapping[fx.Node, Lowered]:
    """What each node becomes, in order.   refused: what to go on with where a node has no integer form, else raise."""
    became: dict[fx.Node, Lowered] = {}
    fixed = graph.constants()
    still, of_one = dataless(graph) - fixed, OfOneSample(graph)
    for node in graph.nodes:
        if node.op == "output" or _part_of_the_graph(node):
            continue
        try:
            if node in still and node.target not in GRIDS:
                became[node] = _still(node, of_one)
            else:
                became[node] = _lower_node(graph, node, became, builder, fixed)
        except Unsupported as error:
            if refused is None:
                raise
            became[node] = refused(node, error)
    return became


def _still(node: fx.Node, of_one: OfOneSample) -> Floats:
    """What is the same for every input, of one sample; a size, which nobody needs, is empty."""
    if draws(node):
        raise Unsupported(f"{target_name(node.target)} cannot become integers", where=str(origin(node)), why=RANDOM)
    value = of_one(node)
    return _array(value) if isinstance(value, torch.Tensor) else np.zeros(0)


def _array(constant: torch.Tensor) -> Floats:
    constant = constant.detach().cpu()
    return (constant.float() if constant.dtype == torch.bfloat16 else constant).numpy()  # numpy has no bfloat16


def _part_of_the_graph(node: fx.Node) -> bool:
    """Whether this is an input that is no tensor: capture took its value for a constant."""
    return node.op == "placeholder" and not isinstance(node.meta["val"], torch.Tensor)


def _lower_node(
    graph: Graph, node: fx.Node, became: Mapping[fx.Node, Lowered], builder: Builder, fixed: set[fx.Node]
) -> Lowered:
    if node.op == "placeholder":
        if (looked_up := places(node)) is not None:
            return Real(builder.input(tuple(int(size) for size in shape(node)[1:]), looked_up), np.ones(1))
        return Input(tuple(int(size) for size in shape(node)[1:]))
    if node.op == "get_attr" or (node in fixed and node.target not in GRIDS):
        return _array(graph.evaluate(node))
    if node.target not in table():
        raise lacking(node)
    named = dict(zip(("self", "index"), node.args, strict=True)) if node.target is getitem else arguments(node)
    given = {name: _became(value, became) for name, value in named.items()}
    lowering, call = table()[node.target], Node(given, node, builder)
    try:
        return lowering.build(call) if lowering.along is None else across(call, lowering.build, lowering.along)
    except IllegalStep as error:
        why = f"{error.what}\n{error.why}" if error.why else error.what
        fix = "use fewer bits, or calibrate the activations on real data"
        raise Unsupported("a step of the program would be illegal", where=str(origin(node)), why=why, fix=fix) from None


def _became(argument: Any, became: Mapping[fx.Node, Lowered]) -> Any:
    if isinstance(argument, (list, tuple)):
        return [_became(item, became) for item in argument]
    return became[argument] if isinstance(argument, fx.Node) else argument


def input_port(node: fx.Node, became: Mapping[fx.Node, Lowered]) -> Port:
    """An input of the program. Raises Unsupported for one that is not read through one grid."""
    grid = became[node] if isinstance(became[node], Real) else _read_as(node, became)
    if not isinstance(grid, Real):
        raise Unsupported(
            f"input '{node.name}' is not read through one grid", fix="add insert_fake_quant to the recipe"
        )
    return port(grid, f"input {node.name}")


def _read_as(node: fx.Node, became: Mapping[fx.Node, Lowered]) -> Lowered | None:
    """What the only reader of an input became, or the one behind conversions that leave the input as it is."""
    given = became[node]
    while len(reading := readers(node)) == 1 and became.get(reading[0]) is given:
        node = reading[0]
    return became.get(reading[0]) if len(reading) == 1 else None


def output_port(node: fx.Node, lowered: Lowered) -> Port:
    """An output of the program. Raises Unsupported for one that no grid has rounded."""
    if not isinstance(lowered, Real):
        raise Unsupported("an output is not rounded to a grid", where=str(origin(node)))
    return port(lowered, str(origin(node)))
