"""Penalties: one suite over all attach passes, each with any quantizer; gradients, and what they are."""

from __future__ import annotations

import math

import pytest
import torch
from lowbit.api import passes
from lowbit.compiler.coefficient import Coefficient
from lowbit.compiler.quantizer import FOLDER, Quantizer
from lowbit.compiler.registry import members
from lowbit.testing.laws import legal, meaning
from lowbit.testing.trials import result
from penalties import every_penalty, home, measured, recipe, scoped, stages
from prepared import STEPS, batch, optimizer, prepared, train
from torch import Tensor

_own = torch.ops.lowbit

every_quantizer = pytest.mark.parametrize("quantizer", members(FOLDER, Quantizer))


@every_penalty
@every_quantizer
def test_it_goes_with_any_quantizer(name: str, quantizer: str) -> None:
    """It is attached, changes no output by a bit, is a number above zero and pulls something finite."""
    line = stages(name, quantizer, "coefficient='fixed', initial=2.0")
    if scoped.get(name, quantizer) != quantizer:
        assert not result(line).ledger[0].fired
        return
    assert result(line).ledger[0].fired
    legal(line)
    meaning(line)
    added, run, parameters = measured(line)
    at_rest = (
        name == "attach_power_of_two" == f"attach_{quantizer}"
    )  # scales that are powers of two whatever they learn
    assert added
    for term, measure, factor in (run[one] for one in added):
        assert (0 if at_rest else 1e-30) <= measure.item() < math.inf
        assert term.item() == pytest.approx(factor.item() * measure.item(), rel=1e-12)
    pulls = torch.autograd.grad(sum(run[one][0] for one in added), list(parameters.values()), allow_unused=True)
    found = [pull for pull in pulls if pull is not None]
    assert all(bool(pull.isfinite().all()) for pull in found)
    assert any(bool((pull != 0).any()) for pull in found) != at_rest


@every_penalty
def test_it_has_the_options_of_a_coefficient(name: str) -> None:
    assert issubclass(passes()[name].options, Coefficient)


@every_penalty
def test_a_step_downhill_lowers_it(name: str) -> None:
    line = stages(name, home(name), "coefficient='fixed'")
    added, run, parameters = measured(line)
    trained = [p for p in parameters.values() if p.requires_grad]
    pulls = torch.autograd.grad(sum(run[one][1] for one in added), trained, allow_unused=True)
    before = [p.detach().clone() for p in trained]
    with torch.no_grad():
        for p, pull in zip(trained, pulls, strict=True):
            if pull is not None:
                p.sub_(pull, alpha=1e-6)
        _, lower, _ = measured(line)
        for p, old in zip(trained, before, strict=True):
            p.copy_(old)
    assert sum(lower[one][1].item() for one in added) < sum(run[one][1].item() for one in added)


def test_one_penalty_beside_another_each_has_its_name() -> None:
    names = ["msqe", "partial_l2", "sinreq", "power_of_two", "range_l2"]
    uses = [f'{{use = "attach_{name}", coefficient = "fixed"}}' for name in names]
    ours = prepared("conv(3) relu gap linear(3)", recipe(*uses))
    ours(batch("conv(3) relu gap linear(3)")[0])
    told = ours.penalties()
    assert told.keys() == ours.coefficients().keys() == {"msqe_weights", "msqe_activations", *names[1:]}
    total = sum(told[name] * ours.coefficients()[name] for name in told)
    assert ours.regularization().item() == pytest.approx(total, rel=1e-5)


grid = pytest.mark.parametrize(("odd", "lo", "hi"), [(False, -7, 7), (True, -7, 7)])
channels = pytest.mark.parametrize("channels", [1, 4])


def edge(channels: int, axis: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    x = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64).requires_grad_()
    scale = torch.rand(channels, generator=generator, dtype=torch.float64).add(0.2).requires_grad_()
    return x, scale


@grid
@channels
def test_gradients_by_finite_differences(channels: int, odd: bool, lo: int, hi: int) -> None:
    """Of every operator of a penalty, in float64, in the values and in the scale."""
    x, scale = edge(channels)
    assert torch.autograd.gradcheck(lambda x, s: _own.sine(x, s, 1, odd), (x, scale))
    edges = [0, 0], [lo, lo], [hi, hi], [1, 0], [odd, odd], [0.25, 0.75], 0
    assert torch.autograd.gradcheck(lambda x, s: _own.msqe([x, x[0, 0].sin()], [s, s[:1]], *edges)[0], (x, scale))
    bits = torch.tensor([3.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b: _own.width_wave(x, scale.detach(), b, 1, 6), (x, bits))
    pair = scale, scale.detach().exp().requires_grad_()
    for distance in ("absolute", "log"):
        assert torch.autograd.gradcheck(lambda a, b, d=distance: _own.power_of_two([a, b], d), pair)
    for scope in ("layer", "global"):
        assert torch.autograd.gradcheck(
            lambda a, b, s=scope: _own.partial_l2([a, b], [0.5, 0.5], s)[0], (x, x.sin().detach().requires_grad_())
        )


@grid
@channels
def test_the_sine_is_its_definition(channels: int, odd: bool, lo: int, hi: int) -> None:
    """mean sin^2(pi x / d) or cos^2(pi x / (2 d)); its zeros are the levels of the grid, its peaks lie between them."""
    x, scale = edge(channels)
    d = scale.reshape(1, -1, 1)
    wave = (math.pi * x / (2 * d)).cos() if odd else (math.pi * x / d).sin()
    torch.testing.assert_close(_own.sine(x, scale, 1, odd), wave.square().mean(), rtol=1e-12, atol=0)
    levels = _own.fake_quantize(x, scale, 0, lo, hi, 1, False, odd)
    assert _own.sine(levels, scale, 1, odd).item() < 1e-28
    between = levels.detach() + (d if odd else d / 2)
    assert _own.sine(between, scale, 1, odd).item() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_phase_is_that_of_the_grid(bits: int) -> None:
    """As in the authors' code: sin^2(pi (w + shift) / step), DoReFa shifted by half a step and WRPN not at all."""
    w = torch.linspace(-1, 1, 101, dtype=torch.float64)
    step = 2 / (2**bits - 1)
    theirs = (math.pi * (w + step / 2) / step).sin().square().mean()
    ours = _own.sine(w, torch.tensor([1 / (2**bits - 1)], dtype=torch.float64), 0, True)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    if bits > 1:
        step = 1 / (2 ** (bits - 1) - 1)
        theirs = (math.pi * w / step).sin().square().mean()
        ours = _own.sine(w, torch.tensor([step], dtype=torch.float64), 0, False)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("beta", [2.0, 2.5, 4.0, 5.75])
def test_the_wave_of_a_width_is_its_definition(beta: float) -> None:
    """mean sin^2(pi w (2^(beta-1) - 1) / max|w|) / 2^beta: at a whole width zero on the levels of that grid."""
    w = edge(1)[0].detach()
    bits = torch.tensor([beta], dtype=torch.float64)
    scale = _own.width_scale(w, bits, None, 8)
    wave = (math.pi * w * (2 ** (beta - 1) - 1) / w.abs().max()).sin().square().mean() / 2**beta
    torch.testing.assert_close(_own.width_wave(w, scale, bits, 0, 8), wave, rtol=1e-9, atol=0)
    levels = (w / scale).round() * scale
    assert (_own.width_wave(levels, scale, bits, 0, 8).item() < 1e-28) == (beta == int(beta))


@pytest.mark.parametrize("distance", ["absolute", "log"])
def test_powers_of_two_are_at_rest(distance: str) -> None:
    powers = [torch.tensor([0.25, 8.0], dtype=torch.float64), torch.tensor([2.0**-9], dtype=torch.float64)]
    assert _own.power_of_two(powers, distance).item() == 0
    moved = _own.power_of_two([torch.tensor([0.25, 3.0], dtype=torch.float64)], distance).item()
    assert moved == pytest.approx((math.log2(3) - 2) ** 2 / 2 if distance == "log" else 0.5)


def test_waveq_has_three_phases() -> None:
    """Neither coefficient; both, and widths fall; and the sine alone, while widths stay whole numbers of bits."""
    uses = '{use = "insert_fake_quant", weights = "waveq", freeze_bits = 0.55}, {use = "attach_waveq", bits = 3.0}'
    sketch = "conv(4) bn relu gap linear(3)"
    ours = prepared(sketch, f"\nprepare = [{uses}]")
    told: list[tuple[float, float, float]] = []

    def look(step: int) -> None:
        factors = ours.coefficients()
        told.append((factors["waveq"], factors["waveq_bits"], ours.penalties()["waveq_bits"]))

    train(ours, sketch, 0, STEPS, optimizer(ours), look)
    early, middle, late = told[1], told[STEPS * 3 // 8], told[-1]
    assert early[:2] == (0, 0)
    assert middle[:2] == pytest.approx((1, 3))
    assert middle[2] < early[2] - 0.25
    assert late[:2] == pytest.approx((1, 0), abs=1e-6)
    assert late[2] == told[STEPS * 3 // 4][2] == int(late[2])
    assert late[2] <= middle[2] + 2


def test_the_range_of_an_edge() -> None:
    """R is the sum of squares of the largest values that the edges can hold."""
    ours = prepared("conv(3) relu gap linear(3)", recipe('{use = "attach_range_l2"}'))
    ranges = {}
    for node in ours.graph.nodes:
        if node.target is _own.fake_quantize.default:
            _, scale, zero, _, hi, *_ = node.args
            name = str(next(iter(scale.all_input_nodes)).target)
            if "activations" in name:
                ranges[name] = float(ours.graph.evaluate(scale)) * (hi - zero)
    assert len(ranges) >= 3
    assert ours.penalties()["range_l2"] == pytest.approx(sum(a * a for a in ranges.values()), rel=1e-5)
    assert ours.coefficients() == {"range_l2": pytest.approx(1e-4)}
