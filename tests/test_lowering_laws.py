"""Lowering: under every shipped recipe the integer program computes what the prepared module computes, grid by grid."""

from __future__ import annotations

import pytest
import torch
from lowbit import Prepared, calibrate, read_recipe
from lowbit.api import deployed
from lowbit.backends.compiled import Compiled
from lowbit.backends.lowering.rules.grid import TIPPED
from lowbit.backends.verification.pairs import Paired, paired
from lowbit.backends.verification.runs import Fed
from lowbit.compiler.correction import clear
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.grid import Grid, best_scale
from lowbit.compiler.grids.scales import trained as scale_of
from lowbit.compiler.modes import evaluated
from lowbit.compiler.operators import PRODUCERS
from lowbit.compiler.pipeline import run
from lowbit.recipes import shipped
from lowbit.testing.observed import Watched
from prepared import RESIDUAL, batch, optimizer, pairs, prepared, train
from torch import Tensor, fx

_own = torch.ops.lowbit
every_pair = pytest.mark.parametrize(("sketch", "recipe"), pairs(shipped()))


def trained(sketch: str, recipe: str, dtype: torch.dtype = torch.float32) -> Prepared:
    ours = prepared(sketch, recipe, dtype)
    train(ours, sketch, 0, 3, optimizer(ours))
    return ours.eval()


def grids(graph: Graph) -> list[fx.Node]:
    """The activation grids, in order."""
    fixed = graph.constants()
    return [node for node in graph.nodes if node.target is _own.fake_quantize.default and node not in fixed]


def codes(graph: Graph, x: Tensor) -> list[Tensor]:
    """The integers of every activation grid, as the graph computes them in its own floats."""
    runner = Watched(graph)
    with torch.no_grad():
        runner.run(x)
    names = {node.name for node in grids(graph)}
    return [(y / scale).round() for name, _, y, scale in runner.edges if name in names]


def program_codes(beside: Paired, *x: Tensor) -> dict[str, Tensor]:
    """The same as the integer program computes them, by name."""
    return beside.run(Compiled(beside.program).quantize(*x), "numpy")[0]


class Met(Fed):
    """Feeds a frozen graph the program's integers, and keeps what arrives at every grid, in steps."""

    def __init__(self, beside: Paired) -> None:
        super().__init__(beside.graph, {pair.node.name: pair for pair in beside.pairs})
        self.steps: dict[str, Tensor] = {}

    def met(self, grid: fx.Node, steps: Tensor) -> None:
        self.steps[grid.name] = steps


def _slack(graph: Graph, grid: fx.Node) -> float:
    """What a bias may be off, in steps of the grid; 0 without an accumulator.

    That is half a 2^16th of the accumulator's unit, or so little that it tips one code of a million.
    """
    node = arguments(grid)["x"]
    while node.op == "call_function" and node.target not in {*PRODUCERS, _own.fake_quantize.default}:
        node = node.all_input_nodes[0]
    if node.target not in PRODUCERS:
        return 0.0
    weight, read = arguments(arguments(node)["weight"]), arguments(node)["input"]
    while read.target is not _own.fake_quantize.default:
        read = read.all_input_nodes[0]
    unit = graph.tensor(weight["scale"]).max() * graph.tensor(arguments(read)["scale"])
    ratio = float(unit / graph.tensor(arguments(grid)["scale"]))
    return max(ratio / 2**17, 2 * TIPPED)


@every_pair
def test_inputs_are_rounded_alike(sketch: str, recipe: str) -> None:
    """In float32, on both sides of a tie and on the tie."""
    ours = trained(sketch, recipe)
    graph = deployed(ours).graph
    step = graph.tensor(arguments(grids(graph)[0])["scale"])
    x = batch(sketch)[0]
    ties = ((x * 20).round() + 0.5) * step
    beside, first = paired(graph, graph), grids(graph)[0].name
    for given in (x, ties, ties.nextafter(torch.zeros(())), ties.nextafter(ties * 2)):
        assert torch.equal(codes(evaluated(ours.graph), given)[0], program_codes(beside, given)[first])


@every_pair
def test_freezing_and_folding_change_no_integer(sketch: str, recipe: str) -> None:
    """In float64, where no value of these lies so near to a tie."""
    ours, x = trained(sketch, recipe, torch.float64), batch(sketch, 64, seed=99)[0].double()
    frozen = run(evaluated(ours.graph), [use for use in ours.recipe.lower if use.name in ("freeze", "fold_batch_norm")])
    before, after = codes(evaluated(ours.graph), x), codes(frozen.graph, x)
    assert len(before) == len(after) > 2
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


@every_pair
def test_integers_are_those_of_the_graph(sketch: str, recipe: str) -> None:
    """From equal integers before it each grid gets the exact value, rounded.

    Up to what a rounded bias (see `_slack`), or the 20 bits of a lone bias or a multiplier, can carry over a tie.
    """
    equal_integers(trained(sketch, recipe), batch(sketch, 64, seed=99)[0])


@pytest.mark.parametrize("recipe", [name for name in shipped() if not read_recipe(name).post_training])
def test_channels_without_weights(recipe: str) -> None:
    """Pruned to nothing, or behind a norm that multiplies by zero: what is left of a channel is its bias."""
    ours = trained(RESIDUAL[0], recipe)
    with torch.no_grad():
        ours.get_parameter("0.weight")[1] = 0
        ours.get_parameter("1.weight")[2] = 0
        ours.get_parameter("1.bias")[2] = 1.5
    equal_integers(ours, batch(RESIDUAL[0], 64, seed=99)[0])


def equal_integers(ours: Prepared, *x: Tensor) -> None:
    graph_has_equal_integers(deployed(ours).graph, *x)


def graph_has_equal_integers(graph: Graph, *x: Tensor) -> None:
    beside = paired(graph, graph)
    runner, found = Met(beside), program_codes(beside, *x)
    runner.give(x, found)
    assert list(runner.steps) == [node.name for node in grids(graph)]
    for node in grids(graph):
        given, steps = arguments(node), runner.steps[node.name]
        off = _slack(graph, node) + steps.abs() * 2**-20
        rounded = ((steps + sign * off + 0.5).floor() + given["zero"] for sign in (-1, 1))
        least, most = (code.clamp(given["lo"], given["hi"]) for code in rounded)
        q = found[node.name].reshape(steps.shape)
        assert bool(((least <= q) & (q <= most)).all())


@every_pair
def test_calibration_finds_the_best_scales(sketch: str, recipe: str) -> None:
    """Of what arrives at each grid with a trained scale while none rounds, and nothing makes up for rounding."""
    ours, x = prepared(sketch, recipe), batch(sketch)[0]
    calibrate(ours, [x])
    graph = evaluated(ours.graph)
    clear(graph)
    runner = Watched(graph, rounding=False)
    with torch.no_grad():
        runner.run(x)
    arriving = {name: arrived for name, arrived, _, _ in runner.edges}
    learned = [node for node in grids(graph) if scale_of(node)]
    assert learned  # inputs at least: what can be negative has a scale of its own under every recipe
    for node in learned:
        lo, hi = (arguments(node)[name] for name in ("lo", "hi"))
        grid = Grid((hi - lo).bit_length(), signed=lo < 0)
        assert (grid.lo, grid.hi) == (lo, hi)
        scale = graph.evaluate(arguments(node)["scale"])
        torch.testing.assert_close(scale, best_scale(arriving[node.name], grid), rtol=2**-20, atol=0)
