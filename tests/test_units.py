"""Units: what goes, what stays and where it lies, on calibrated networks whose constants are not zero."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowbit.api import passes
from lowbit.backends.compiled import Compiled
from lowbit.backends.lowering.lower import lower
from lowbit.compiler.calibrate import calibrate
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import Unsupported
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.layers import is_layer
from lowbit.compiler.sketches.trial import advance, trial
from lowbit.compiler.units.groups import components, units
from lowbit.compiler.units.idle import shifted
from lowbit.testing.integers import same_integers

_own = torch.ops.lowbit
PASSES = ("remove_dead_units", "reorder_units")


def frozen(
    sketch: str,
    options: str = "weight_bits=3",
    seed: int = 0,
    bias: float = 2.0,
    change: Callable[[dict[str, torch.Tensor]], None] = lambda state: None,
) -> Graph:
    """The frozen graph of a network with biases of that size, its activation grids calibrated.

    change: what it does to the tensors of the network before all else.
    """
    graph = trial(f"{sketch} | insert_fake_quant({options})", passes()).graph
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        change(dict(graph.state))
        for name, tensor in graph.state.items():
            if name.endswith("bias"):
                tensor.copy_(bias * torch.randn(tensor.shape, generator=generator))
    x = torch.randn(16, *graph.inputs[0].meta["val"].shape[1:], generator=generator, dtype=torch.float64)
    calibrate(graph, [[x]])
    for stage in ("eval", "freeze", "fold_batch_norm"):
        graph = advance(graph, stage, passes()).graph
    return graph


def after(graph: Graph, name: str) -> Graph:
    return advance(graph, name, passes()).graph


def reasons(graph: Graph, name: str) -> set[str]:
    return {event.reason for event in advance(graph, name, passes()).ledger[0].events if event.reason}


def weights(graph: Graph) -> list[tuple[int, ...]]:
    return [tuple(arguments(node)["weight"].meta["val"].shape[:2]) for node in graph.nodes if is_layer(node)]


def codes(graph: Graph) -> list[np.ndarray] | None:
    """The integers of every activation grid as the program computes them; None where the graph has no program."""
    fixed = graph.constants()
    grids = [n for n in graph.nodes if n.target is _own.fake_quantize.default and n not in fixed]
    try:
        compiled = Compiled(lower(graph.select(outputs=tuple(grids))))
    except Unsupported:
        return None
    shape = graph.inputs[0].meta["val"].shape[1:]
    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(5))
    return compiled.run_integers(*compiled.quantize(x), target="numpy")


def channels(value: np.ndarray) -> list[bytes]:
    return [value[:, i].tobytes() for i in range(value.shape[1])]


def is_part(some: list[bytes], every: list[bytes]) -> bool:
    """Whether the first is the second with items left out."""
    rest = iter(every)
    return all(item in rest for item in some)


BLOCKS = (
    "conv(5,dead=2)",
    "conv(5,k=1,deaf=2)",
    "conv(4,k=1,dead=3,coarse)",
    "conv(6,pad=0,dead=2)",
    "[ conv(C,k=1,dead=2) bn relu ] +",
    "[ conv(C,dead=1) relu conv(C,k=1,dead=2) ] +",
    "conv(C,groups=C) bn",
    "conv(C,k=1,groups=C,dead=1)",
    "[ conv(C,k=1,dead=1) relu ] twice",
    "[ conv(3,k=1,dead=1) ] cat",
    "bn relu",
    "maxpool",
    "pad",
    "avgpool",
)


@st.composite
def networks(draw: st.DrawFn) -> str:
    """Networks in which rows of weights are zero, whose channels meet in sums and concatenations."""
    count, words = 4, ["input(2,9,9) conv(4,dead=2) relu"]
    for block in draw(st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=4)):
        words += [block.replace("C", str(count)), "relu"]
        if block.startswith("conv") and "C" not in block:
            count = int(block[5])
        count += 3 * block.endswith("cat")
    tail = draw(
        st.sampled_from(("gap conv(4,k=1,dead=1) flatten linear(3)", "view linear(5,dead=2) relu linear(3)", ""))
    )
    return " ".join([*words, tail])


@settings(max_examples=15)
@given(networks(), st.sampled_from(("weight_bits=3", "weight_bits=2, per_channel=true")), st.integers(0, 3))
def test_what_survives_is_what_it_was(sketch: str, options: str, seed: int) -> None:
    """Bit for bit in the program: outputs on integers of the whole range, and each channel of each grid that stays."""
    graph = frozen(sketch, options, seed)
    smaller = after(graph, "remove_dead_units")
    ordered = after(smaller, "reorder_units")
    same_integers(graph, smaller)
    same_integers(smaller, ordered)
    first, second, third = codes(graph), codes(smaller), codes(ordered)
    if first is None or second is None or third is None:
        return
    for whole, part, moved in zip(first, second, third, strict=True):
        assert is_part(channels(part), channels(whole))
        assert sorted(channels(moved)) == sorted(channels(part))
    assert not advance(ordered, "remove_dead_units", passes()).ledger[0].fired
    assert not advance(ordered, "reorder_units", passes()).ledger[0].fired


@pytest.mark.parametrize(
    ("sketch", "left"),
    [
        ("conv(6,dead=3) relu conv(4,k=1) gap", [(3, 3), (4, 3)]),  # constants go, not padded
        ("conv(6) relu conv(4,deaf=2) gap", [(4, 3), (4, 4)]),  # nobody reads them
        ("conv(6,dead=2) relu conv(6,k=1,groups=6) relu conv(4,k=1) gap", [(4, 3), (4, 1), (4, 4)]),  # depthwise
        ("conv(6,dead=6) relu conv(4,k=1) gap", [(1, 3), (4, 1)]),  # one stays
        ("conv(6,dead=6) relu conv(5,k=1) relu conv(4,k=1) gap", [(1, 3), (1, 1), (4, 1)]),  # constants of constants
        ("conv(4) relu [ conv(4,dead=4,k=1) ] + relu conv(3) gap", [(4, 3), (4, 4), (3, 4)]),  # a term is alive
        ("conv(4,dead=4) relu [ conv(4,dead=4,k=1) ] + relu conv(3,k=1) gap", [(1, 3), (1, 1), (3, 1)]),
        ("conv(4,dead=2) maxpool linear(3)", [(2, 3), (3, 32)]),  # blocks of columns
        ("conv(4,dead=2) [ conv(2,dead=1,k=1) ] cat linear(3)", [(2, 3), (1, 2), (3, 192)]),
    ],
)
def test_what_goes(sketch: str, left: list[tuple[int, int]]) -> None:
    assert weights(after(frozen(sketch, "weight_bits=8"), "remove_dead_units")) == left


def test_what_only_idle_units_read_goes() -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        state["2.weight"][1:, 2] = 0  # a unit that the first of the next layer alone reads
        state["4.weight"][:, 0] = 0  # which nobody reads

    graph = frozen("conv(4,k=1) relu conv(3,k=1) relu conv(2,k=1) gap", "weight_bits=8", change=change)
    assert weights(after(graph, "remove_dead_units")) == [(3, 3), (2, 3), (2, 2)]


class Middle(torch.nn.Module):
    """Of three parts of the channels, only the second is read; twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 1) for a, b in ((3, 12), (4, 12), (4, 6), (6, 2)))
        with torch.no_grad():
            for layer in self.layers:
                layer.weight.mul_(torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(3)) < 0.4)
            self.layers[3].weight[:, 4:] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:2]:
            x = torch.relu(layer(x)).chunk(3, 1)[1]
        for layer in self.layers[2:]:
            x = layer(torch.relu(x))
        return x


def test_parts_stay_beside_each_other() -> None:
    """Units of parts that nobody reads neither go nor change places, others do."""
    torch.manual_seed(1)  # with other weights the order may be right before
    graph = capture(Middle(), (torch.randn(2, 3, 4, 4),))
    for stage in ("insert_fake_quant", "eval", "freeze"):
        graph = advance(graph, stage, passes()).graph
    smaller = after(graph, "remove_dead_units")
    ordered = advance(smaller, "reorder_units", passes())
    assert weights(smaller) == [(12, 3), (12, 4), (3, 4), (2, 3)]
    assert ordered.ledger[0].fired
    same_integers(graph, smaller)
    same_integers(smaller, ordered.graph)


def test_a_border_of_zeros_sees_a_constant() -> None:
    graph = frozen("conv(6,dead=3) conv(4) gap")
    assert any(reason.startswith("it pads, and ") for reason in reasons(graph, "remove_dead_units"))
    assert weights(after(graph, "remove_dead_units")) == weights(graph)


def test_a_constant_behind_a_border_of_its_own_stays() -> None:
    """Padding by a call of its own, and averages over windows that begin outside."""
    graph = frozen("conv(6,dead=3) pad conv(4,k=1) gap")
    assert weights(after(graph, "remove_dead_units")) == weights(graph)


def test_a_bias_that_would_be_too_large_refuses() -> None:
    graph = frozen("conv(6,dead=3) relu conv(4,k=1) gap", bias=1e7)
    with torch.no_grad():
        for name, tensor in graph.state.items():
            if "scales.activations" in name or "frozen" in name:
                tensor.mul_(1e-6)
    assert any("too large" in reason for reason in reasons(graph, "remove_dead_units"))
    same_integers(graph, after(graph, "remove_dead_units"))


steps = st.floats(-(2.0**19), 2.0**19)


@given(
    steps, st.integers(-(2**18), 2**18), st.floats(2.0**-30, 2.0**5), st.sampled_from((torch.float32, torch.float64))
)
def test_a_bias_moves_by_whole_units(b: float, total: int, unit: float, dtype: torch.dtype) -> None:
    """As lowering rounds it, from the type that the graph stores it in; on ties and beside them too."""
    for near in (b, np.floor(b) + 0.5, np.nextafter(np.floor(b) + 0.5, -np.inf)):
        bias = torch.tensor([near * unit], dtype=dtype).double().numpy()
        moved = torch.from_numpy(shifted(bias, np.array([total]), np.array([unit]), dtype)).to(dtype).double().numpy()
        assert np.floor(moved / unit + 0.5) == np.floor(bias / unit + 0.5) + total


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_are_those_of_networkx(count: int, ties: list[tuple[int, int]]) -> None:
    ties = [(a % count, b % count) for a, b in ties]
    graph = nx.Graph(ties)
    graph.add_nodes_from(range(count))
    least = {node: min(part) for part in nx.connected_components(graph) for node in part}
    found = components(count, [(np.array([a]), np.array([b])) for a, b in ties])
    assert found.tolist() == [least[i] for i in range(count)]


def test_units_of_a_sum_are_those_of_its_terms() -> None:
    known = units(frozen("conv(4) [ conv(4) ] + relu conv(2) gap"))
    first, second, third = (known.of[layer.call] for layer in known.layers)
    assert first.tolist() == second.tolist()
    assert not set(first) & set(third)
    assert set(known.fixed[third]) == {"it is an output of the model"}


def test_units_of_a_depthwise_layer_are_those_of_its_input() -> None:
    """With two outputs each, beside each other."""
    known = units(frozen("conv(3) relu conv(6,groups=3) conv(2) gap"))
    first, second, _ = (known.of[layer.call] for layer in known.layers)
    assert second.tolist() == np.repeat(first, 2).tolist()


def test_blocks_of_channels_keep_to_their_groups() -> None:
    known = units(frozen("conv(4) conv(4,groups=2) conv(2) gap"))
    kinds = known.kinds[known.of[known.layers[1].call]]
    assert kinds[0] == kinds[1] != kinds[2] == kinds[3]


def test_rows_of_other_signs_are_not_alike() -> None:
    rows = [[1.0, 1, 1, 0, 0, 0, 0], [-1, -1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0, 1]]

    def given(state: dict[str, torch.Tensor]) -> None:
        for tensor in state.values():
            if tensor.shape == (3, 7):
                tensor.copy_(torch.tensor(rows))

    graph = frozen("gap linear(7) linear(3) relu linear(2)", change=given)
    before, ordered = (_middle(each) for each in (graph, after(graph, "reorder_units")))
    assert torch.equal(ordered, before[[0, 2, 1]])


def _middle(graph: Graph) -> torch.Tensor:
    """The signs of the three rows of seven."""
    found = next(tensor for tensor in graph.state.values() if tensor.shape == (3, 7))
    return found.sign()
