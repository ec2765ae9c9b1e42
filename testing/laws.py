"""The laws of passes: each takes a trial, a line that ends in the pass under test, and asserts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from ..api import passes
from ..compiler.contract import Close, CloseAbove, Exact, ExactIntegers, OnGrid, WithinSteps
from ..compiler.facts import Fact
from ..compiler.graph import Graph, arguments, fixed, origin, shape
from ..compiler.layers import is_transform
from ..compiler.masks.criterion import is_criterion
from ..compiler.modes import evaluated
from ..compiler.sketches.trial import advance
from ..compiler.text import digest, text
from ..compiler.verify import verify
from .costs import multiplications, weight_bytes
from .integers import same_integers
from .observed import observe, penalty_slope, rounded, values
from .trials import found, graph, result, split

_own = torch.ops.lowbit


def legal(line: str) -> None:
    """The graph is legal before and after."""
    before, _, name = split(line)
    verify(graph(before), "the stages before")
    verify(graph(line), name)


def pure(line: str) -> None:
    """The input does not change: neither its text nor any tensor of its state, read or not."""
    before, stage, _ = split(line)
    given = graph(before)
    seen = text(given, origins=True), {name: digest(tensor) for name, tensor in given.state.items()}
    advance(given, stage, passes())
    assert seen == (text(given, origins=True), {name: digest(tensor) for name, tensor in given.state.items()})


def deterministic(line: str) -> None:
    """Of an equal graph, with other nodes and tensors, the pass makes the same: text, names and origins."""
    before, stage, _ = split(line)
    equal, _ = graph(before).copy()
    equal = replace(equal, state=copy.deepcopy(dict(equal.state)))
    assert text(advance(equal, stage, passes()).graph, origins=True) == text(graph(line), origins=True)


def idempotent(line: str) -> None:
    """Once more changes nothing."""
    _, stage, _ = split(line)
    assert text(advance(graph(line), stage, passes()).graph) == text(graph(line))


def frugal(line: str) -> None:
    """Multiplications by weights do not grow, nor do the bytes of weights, unless the pass tells why these must."""
    before, _, name = split(line)
    assert multiplications(graph(line)) <= multiplications(graph(before))
    assert found(name).costs or weight_bytes(graph(line)) <= weight_bytes(graph(before))


def provenance(line: str) -> None:
    """A node that was not there before names the rule that made it, at a place of the user's model."""
    before, _, name = split(line)
    labels = {f"{name}/{rule.name}" for rule in found(name).rules}
    old = {(node.name, origin(node)) for node in graph(before).nodes}
    places = {(layer, origin(node).source) for node in graph(before).nodes for layer in _layers(node)} | {("", "")}
    for node in graph(line).nodes:
        came = origin(node)
        if node.op != "output" and (node.name, came) not in old:
            assert came.trail, node.name
            assert came.trail[-1] in labels
            assert (came.layer, came.source) in places


def _layers(node: fx.Node) -> tuple[str, ...]:
    return origin(node).layer, str(node.target).rpartition(".")[0]


def order(line: str) -> None:
    """What the pass leaves holds, and no fact that a pass before it left is lost."""
    before, _, name = split(line)
    owed = [fact for fact in _facts_left(before) if fact.holds(graph(before))]
    for fact in (*found(name).leaves, *owed):
        assert fact.holds(graph(line)), fact.exception(graph(line))


def _facts_left(line: str) -> list[Fact]:
    names = [part.split("(")[0].strip() for part in line.split("|")[1:]]
    return [fact for name in names if name != "eval" for fact in found(name).leaves]


def meaning(line: str) -> None:
    """What the pass's own law says, in float64."""
    before, _, name = split(line)
    old, new = graph(before), graph(line)
    match found(name).law:
        case Exact():
            _same(observe(old), observe(new))
            _same(observe(evaluated(old)), observe(evaluated(new)))
        case Close(relative, trained=True):
            _alike(observe(old), observe(new), relative)
            _alike(observe(evaluated(old)), observe(evaluated(new)), relative)
        case Close(relative):
            _near(values(old), values(new), relative)
        case CloseAbove(relative, floors):
            raised = floors(found(name).plan(old, result(line).ledger[0].use.options_for))
            _near(values(old, raised), values(new), relative)
        case ExactIntegers(relative):
            _near(values(old), values(new), relative)
            same_integers(old, new)
        case OnGrid():
            _on_grid(old, new)
        case WithinSteps(most):
            _within_steps(old, new, most(result(line).ledger[0].use.options_for("")))


def _same(old: dict[str, torch.Tensor], new: dict[str, torch.Tensor]) -> None:
    """Outputs, and the buffers and gradients of what both have, bit for bit."""
    for name, tensor in old.items():
        if name in new or name.startswith("output"):
            assert torch.equal(new[name], tensor), name


def _alike(old: dict[str, torch.Tensor], new: dict[str, torch.Tensor], relative: float) -> None:
    """Outputs, gradients and buffers, relative to the largest of their kind: behind a norm a bias has but noise."""
    assert old.keys() <= new.keys()
    for kind in ("output", "gradient", "buffer"):
        names = [name for name in old if name.startswith(kind)]
        largest = max((float(old[name].abs().max()) for name in names), default=0.0)
        for name in names:
            assert float((new[name] - old[name]).abs().max()) <= relative * largest, name


def _near(old: list[torch.Tensor], new: list[torch.Tensor], relative: float) -> None:
    for i, (ours, theirs) in enumerate(zip(new, old, strict=True)):
        change, largest = float((ours - theirs).abs().max()), float(theirs.abs().max())
        assert change <= relative * largest, f"output {i} changes by {change:g}, of {largest:g}"


def _within_steps(old: Graph, new: Graph, most: float) -> None:
    seen = {node.name: (x, y, scale) for node, x, y, scale in rounded(old)}
    given = {name: y for name, (_, y, _) in seen.items()}
    for node, x, _, _ in rounded(new, given):
        before, _, scale = seen[node.name]
        moved = float(((x - before) / scale).abs().max())
        assert moved <= most * (1 + 1e-9), f"what {node.name} rounds moves by {moved:g} steps"


def _on_grid(old: Graph, new: Graph) -> None:
    """Without its rounding the graph is what it was; with it, whatever reads an edge reads the nearest grid value."""
    _same(observe(old), observe(new, rounding=False))
    for node, x, y, scale in rounded(new):
        zero, lo, hi = (arguments(node)[name] for name in ("zero", "lo", "hi"))
        codes = (y / scale).round() + zero
        assert torch.equal((codes - zero) * scale, y), f"{node.name} gives values between those of its grid"
        assert lo <= float(codes.min()), f"{node.name} gives values below its grid"
        assert float(codes.max()) <= hi, f"{node.name} gives values above its grid"
        assert lo < zero or float(x.min()) >= 0, f"{node.name} is unsigned and meets negative values"
        clipped = ((codes == lo) & (x < y)) | ((codes == hi) & (x > y))
        odd = arguments(node)["odd"]
        assert not odd or bool((codes.remainder(2) == 1).all()), f"{node.name} gives even values of an odd grid"
        near = clipped | ((x - y).abs() <= scale / (1 if odd else 2) * (1 + 2**-40))
        assert bool(near.all()), f"{node.name} does not give the nearest value of its grid"
        assert _only_readers(arguments(node)["x"]), f"not all readers of {arguments(node)['x'].name} read its grid"


def _only_readers(edge: fx.Node) -> bool:
    """Whether everything that reads an edge reads it through its grid; penalties, masks and scales read it as it is.

    What is on a grid already may be read as it is, and through a second one.
    """
    own = (_own.fake_quantize.default, _own.msqe.default, _own.partial_l2.default)

    def as_it_is(reader: fx.Node) -> bool:
        return reader.target in own or is_criterion(reader) or is_transform(reader)

    return edge.target is own[0] or all(map(as_it_is, edge.users))


def gradient(line: str) -> None:
    """The gradient of the penalties is their slope, by central differences, along a random direction.

    A percentile has no derivative where magnitudes are equal, so coarse weights are left out.
    """
    if "coarse" in line or len(graph(line).penalties) == len(graph(split(line)[0]).penalties):
        return
    slope, difference, bound = penalty_slope(graph(line))
    assert abs(slope - difference) <= bound, f"the gradient is {slope:g}, the slope {difference:g}"


def any_batch(line: str) -> None:
    """The pass asks nothing of the size of a batch: a kernel that compares it, on fake tensors, would limit it."""
    for given in graph(line).inputs:
        sizes: tuple[Any, ...] = shape(given)
        for size in sizes:
            if fixed(size) is None:
                limits = size.node.shape_env.bound_sympy(size.node.expr)
                assert limits.lower <= 2 < 2**40 < limits.upper, f"{given.name} may be {limits} long"


LAWS = (legal, pure, deterministic, idempotent, frugal, any_batch, provenance, order, meaning, gradient)
