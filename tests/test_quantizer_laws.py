"""The laws of quantizers: each is its paper's formula, on its grid, and exact integers once it is frozen."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowbit import Prepared
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import arguments
from lowbit.compiler.grid import best_scale, fake_quantize
from lowbit.compiler.layers import is_layer
from lowbit.compiler.modes import evaluated
from lowbit.compiler.pipeline import run
from lowbit.compiler.quantizer import odd
from lowbit.compiler.quantizing import quantizer
from lowbit.compiler.stage import LOWERING
from lowbit.testing import graph as traced
from papers import FORMULAS, dorefa, squantizer, wrpn
from prepared import batch, optimizer, prepared, train
from rounded import CASES, near, rounded
from test_lowering_laws import equal_integers

every_case = pytest.mark.parametrize(("name", "bits"), CASES)
seeds = st.integers(0, 2**20)
few = settings(max_examples=8)


@every_case
@few
@given(seed=seeds)
def test_a_quantizer_is_the_formula_of_its_paper(name: str, bits: int, seed: int) -> None:
    found = rounded(name, bits, seed)
    near(found.y, FORMULAS[name](found.w.detach(), bits))


@every_case
@few
@given(seed=seeds)
def test_outputs_lie_on_the_grid(name: str, bits: int, seed: int) -> None:
    found = rounded(name, bits, seed)
    given, codes = arguments(found.grid), found.codes.round()
    assert bool((codes * found.graph.evaluate(given["scale"]) == found.y).all())
    assert given["lo"] <= float(codes.min())
    assert float(codes.max()) <= given["hi"]
    assert not given["odd"] or bool((codes.remainder(2) == 1).all())


LEVELS = {"dorefa": 0, "lsq": 0, "binary": 0}
"""Of the others, but for those of 1 bit, one of the 2^k is missing: they are symmetric about a zero."""


@pytest.mark.parametrize(("name", "bits"), [(name, bits) for name, bits in CASES if bits < 8])
def test_levels_are_counted(name: str, bits: int) -> None:
    """Values that reach past both ends meet every level: 2^k - 1 with a zero, of TWN 3; 2^k without or beyond it."""
    found = rounded(name, bits, 0)
    given = arguments(found.grid)
    scale = found.graph.evaluate(given["scale"])
    x = torch.linspace(-1.5, 1.5, 1000, dtype=torch.float64) * (given["hi"] + 2) * scale
    y = fake_quantize(x, scale, given["zero"], given["lo"], given["hi"], 0, False, given["odd"])
    assert len(set(y.tolist())) == 2**bits - (0 if bits == 1 else LEVELS.get(name, 1))


CHANNELS = [(name, bits) for name, bits in CASES if bits in (1, 2, 3)]


@pytest.mark.parametrize(("name", "bits"), CHANNELS)
@few
@given(seed=seeds)
def test_a_channel_is_quantized_as_if_it_were_alone(name: str, bits: int, seed: int) -> None:
    found = rounded(name, bits, seed, per_channel=True)
    for channel, row in zip(found.y, found.w.detach(), strict=True):
        near(channel, FORMULAS[name](row, bits))


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
@few
@given(seed=seeds)
def test_ranges_of_the_weights_own_size(bits: int, seed: int) -> None:
    found = rounded("dorefa", bits, seed, weight_range='"max"')
    near(found.y, dorefa(found.w.detach(), bits, peak=True))
    if bits > 1:
        found = rounded("wrpn", bits, seed, weight_range='"max"')
        near(found.y, wrpn(found.w.detach(), bits, peak=True))


@few
@given(seed=seeds, sigma=st.sampled_from([-1.0, 0.0, 0.5, 2.0]))
def test_the_threshold_of_squantizer(seed: int, sigma: float) -> None:
    found = rounded("squantizer", 4, seed, sigma=sigma)
    near(found.y, squantizer(found.w.detach(), 4, sigma))


def test_the_deviation_of_squantizer_is_that_of_all_its_weights() -> None:
    """mean 3, deviation sqrt(14 / 4): half of it below the mean is 2.06."""
    w = torch.tensor([1.0, -2.0, 3.0, -6.0], dtype=torch.float64)
    assert torch.ops.lowbit.above_spread(w, None, -0.5).tolist() == [0, 0, 3, -6]
    assert torch.ops.lowbit.above_spread(w, None, 8.0).tolist() == [0, 0, 0, -6]


def test_values_that_can_be_negative_get_a_learned_grid() -> None:
    """So do inputs and outputs; a quantizer of all values takes these too."""
    for name, count in (("pact", 1), ("dorefa", 1), ("lsq", 5)):
        graph = traced(f'conv(2) relu conv(2) tanh linear(2) | insert_fake_quant(activations="{name}")')
        names = [key for key in graph.state if ".activations." in key]
        own_kind = [key for key in names if ".ranges." in key or key == "lowbit.scales.activations.relu"]
        assert (len(names), len(own_kind)) == (5, count)


def refused(line: str) -> str:
    with pytest.raises(UserError) as caught:
        traced(line)
    return f"{caught.value} {caught.value.fix}"


def test_what_does_not_go_together_is_refused() -> None:
    dorefa = refused('conv(3) | schedule_pruning | insert_fake_quant(weights="dorefa")')
    assert "without a zero" in dorefa
    assert "'dorefa' at 8 bits has the odd multiples of a scale alone" in dorefa
    assert "without a zero" in refused("conv(3) | schedule_pruning | insert_fake_quant(weight_bits=1)")
    assert "without a zero" in refused("conv(3) | sparsify(gradient='straight') | insert_fake_quant(weight_bits=1)")
    folded = 'conv(3) bn | simulate_fold | insert_fake_quant(weights="{}", weight_range="{}")'
    for name in ("dorefa", "wrpn"):
        assert "weight_range" in refused(folded.format(name, "unit"))
        assert traced(folded.format(name, "max")).nodes
    assert "to 1 bits, not 8" in refused('conv(3) | insert_fake_quant(weights="binary")')
    assert "to 2 bits, not 8" in refused('conv(3) | insert_fake_quant(weights="ternary")')
    assert "one of: dorefa, learned" in refused('conv(3) | insert_fake_quant(activations="binary", weight_bits=1)')
    assert "one of: binary, dorefa" in refused('conv(3) | insert_fake_quant(weights="pact")')


def test_masked_weights_are_zero_on_every_grid_with_a_zero() -> None:
    for name, bits in [(name, bits) for name, bits in CASES if bits == 3 and name not in ("dorefa",)]:
        graph = traced(f'conv(3) | schedule_pruning | insert_fake_quant(weights="{name}", weight_bits={bits})')
        graph.state["lowbit.masks.0.weight"].data[:, 0] = 0
        (call,) = [node for node in graph.nodes if is_layer(node)]
        assert not graph.evaluate(arguments(call)["weight"])[:, 0].any()


NETWORK = "conv(4) bn relu conv(3) relu avgpool linear(3)"


@pytest.mark.parametrize(
    ("name", "bits", "per_channel"), [(*case, False) for case in CASES] + [(*case, True) for case in CHANNELS]
)
def test_freezing_changes_no_bit_and_the_program_has_the_integers(name: str, bits: int, per_channel: bool) -> None:
    ours = trained(name, bits, per_channel)
    x = batch(NETWORK, 16, seed=99)[0]
    graph = evaluated(ours.graph)
    frozen = run(graph, [use for use in ours.recipe.lower if use.name == "freeze"], stage=LOWERING).graph
    with torch.no_grad():
        assert torch.equal(graph.module()(x)[0][0], frozen.module()(x)[0][0])
    equal_integers(ours, x)


def trained(name: str, bits: int, per_channel: bool) -> Prepared:
    """The network after a few steps with those weights, and activations of its own kind where there are such."""
    hidden = name if quantizer(name).activations else "pact"
    settings = f'weights = "{name}"\nactivations = "{hidden}"\nper_channel = {str(per_channel).lower()}'
    use = f'[[prepare]]\nuse = "insert_fake_quant"\nweight_bits = {bits}\nactivation_bits = 4\n{settings}\n'
    ours = prepared(NETWORK, f'name = "trial"\nsummary = "one quantizer"\n{use}')
    train(ours, NETWORK, 0, 3, optimizer(ours))
    return ours.eval()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@few
@given(seed=seeds)
def test_the_best_scale_of_an_odd_grid(bits: int, seed: int) -> None:
    """Of 4000 scales none is better by more than a fiftieth; of 1 bit the best is mean|x|."""
    x = torch.randn(300, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    n = 2**bits - 1
    scales = x.abs().max() / n * torch.logspace(-2, 0.5, 4000, dtype=torch.float64)[:, None]
    levels = (2 * torch.floor(x / (2 * scales)) + 1).clamp(-n, n) * scales
    found = best_scale(x, odd(bits))
    error = (fake_quantize(x, found, 0, -n, n, 0, False, True) - x).square().sum()
    assert float(error) <= float((levels - x).square().sum(1).min()) * 1.02
    if bits == 1:
        assert found.item() == pytest.approx(float(x.abs().mean()), rel=1e-12)


def test_no_scale_is_zero() -> None:
    """A layer of zeros alone trains and lowers, whatever computes its scale."""
    for name, bits in CASES:
        found = rounded(name, bits, 0, w=torch.zeros(4, 192, dtype=torch.float64))
        assert bool(found.y.isfinite().all())
        assert float(found.y.detach().abs().max()) <= (1 if name == "dorefa" else 2**-20)


def test_the_ends_of_a_network_have_a_width_of_their_own() -> None:
    """Where the quantizer does not have it, a learned one does."""
    line = 'conv(3) relu conv(3) relu linear(2) | insert_fake_quant(weights="binary", weight_bits=1, first_bits=8)'
    graph = traced(line)
    grids = [arguments(arguments(node)["weight"]) for node in graph.nodes if is_layer(node)]
    assert [(given["lo"], given["hi"]) for given in grids] == [(-127, 127), (-1, 1), (-1, 1)]
    assert [key for key in graph.state if ".scales.weights." in key] == ["lowbit.scales.weights.0.weight"]
