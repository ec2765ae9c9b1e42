"""The gradients of quantizers: straight through the rounding, closed forms for scales, slopes for what is smooth."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.grid import fake_quantize
from lowbit.compiler.layers import is_layer
from lowbit.testing import graph as traced
from papers import half_up, q
from rounded import CASES, Rounded, near, rounded
from torch import Tensor, fx

own = torch.ops.lowbit
seeds = st.integers(0, 2**20)
few = settings(max_examples=10)


def gradient(found: Rounded, seed: int) -> tuple[Tensor, Tensor]:
    """(what arrives from behind, what reaches the weight)."""
    g = torch.randn(found.y.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    (by_w,) = torch.autograd.grad(found.y, found.w, g, retain_graph=True)
    return g, by_w


STRAIGHT = [case for case in CASES if case[0] in ("learned", "power_of_two", "lsq", "binary", "ternary", "waveq")]


@pytest.mark.parametrize(("name", "bits"), [*STRAIGHT, ("dorefa", 1)])
@few
@given(seed=seeds)
def test_the_gradient_of_a_weight_passes_straight(name: str, bits: int, seed: int) -> None:
    g, by_w = gradient(rounded(name, bits, seed), seed)
    assert torch.equal(by_w, g)


@few
@given(seed=seeds)
def test_gradients_of_clipped_and_of_dropped_weights(seed: int) -> None:
    found = rounded("wrpn", 3, seed)
    g, by_w = gradient(found, seed)
    assert torch.equal(by_w, g * (found.w.abs() <= 1))
    found = rounded("squantizer", 4, seed)
    g, by_w = gradient(found, seed)
    sizes = found.w.detach().abs()
    assert torch.equal(by_w, g * (sizes >= sizes.mean()))


@pytest.mark.parametrize("per_channel", [False, True])
@few
@given(seed=seeds)
def test_the_gradient_of_dorefa_is_the_slope_of_what_it_rounds(per_channel: bool, seed: int) -> None:
    """tanh(w) / max|tanh(w)| by central differences along a random direction: rounding passes the gradient."""
    found = rounded("dorefa", 4, seed, per_channel=per_channel)
    g, by_w = gradient(found, seed)
    way = torch.randn(g.shape, generator=torch.Generator().manual_seed(seed + 2), dtype=torch.float64)

    def rounds(w: Tensor) -> Tensor:
        t = w.tanh()
        return (g * t / (t.abs().amax(1, keepdim=True) if per_channel else t.abs().max())).sum()

    h = 2.0**-20
    slope = (rounds(found.w.detach() + h * way) - rounds(found.w.detach() - h * way)) / (2 * h)
    assert float((by_w * way).sum()) == pytest.approx(float(slope), rel=1e-6, abs=1e-6)


def test_ties_for_the_largest_weight_share_its_gradient() -> None:
    w = torch.tensor([[0.5, -0.5, 0.25]], dtype=torch.float64).requires_grad_()
    torch.ops.lowbit.squashed(w, None, False)[0, 2].backward()
    t = torch.tanh(torch.tensor([0.5, 0.25], dtype=torch.float64))
    pulled = (1 - t[0] ** 2) * t[1] / t[0] ** 2 / 2
    torch.testing.assert_close(w.grad, torch.stack([-pulled, pulled, (1 - t[1] ** 2) / t[0]]).reshape(1, 3))


def slope_of_scale(found: Rounded, g: Tensor) -> Tensor:
    """sum g (q - x / s inside, q outside), in closed form."""
    given = arguments(found.grid)
    s = found.graph.evaluate(given["scale"])
    steps = found.w.detach() / s
    inside = (steps >= given["lo"]) & (steps <= given["hi"])
    return (g * (found.codes - steps * inside)).sum()


@pytest.mark.parametrize("bits", [1, 2, 4])
@few
@given(seed=seeds)
def test_gradients_of_scales(bits: int, seed: int) -> None:
    """Of an exponent s ln 2 ds, through a rounding as without it; of LSQ's step ds / sqrt(N Q_P)."""
    for name in ("learned", "power_of_two", "lsq"):
        found = rounded(name, bits, seed)
        (parameter,) = [p for key, p in found.parameters.items() if key.startswith("lowbit.")]
        g, _ = gradient(found, seed)
        (by_scale,) = torch.autograd.grad(found.y, parameter, g)
        s = found.graph.evaluate(arguments(found.grid)["scale"])
        q_p = arguments(found.grid)["hi"]
        factor = 1 / math.sqrt(found.w.numel() * q_p) if name == "lsq" else s * math.log(2)
        torch.testing.assert_close(by_scale, (slope_of_scale(found, g) * factor).reshape(1), rtol=1e-9, atol=1e-12)


@few
@given(seed=seeds, beta=st.floats(1.5, 8.5))
def test_the_width_of_waveq(seed: int, beta: float) -> None:
    """Of b = ceil(beta) between 2 and 8, the scale and its slope in b."""
    found = rounded("waveq", 8, seed)
    (parameter,) = [p for key, p in found.parameters.items() if key.startswith("lowbit.bits.")]
    with torch.no_grad():
        parameter.fill_(beta)
    b = min(max(math.ceil(beta), 2), 8)
    w = found.w.detach()
    scale = torch.ops.lowbit.width_scale(w, parameter, None, 8)
    assert scale.item() == pytest.approx(float(w.abs().max()) / (2 ** (b - 1) - 1), rel=1e-14)
    (slope,) = torch.autograd.grad(scale, parameter)
    h = 2.0**-20
    ends = [float(w.abs().max()) / (2 ** (b + d - 1) - 1) for d in (h, -h)]
    assert slope.item() == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6)


def test_a_width_stays_once_it_is_frozen() -> None:
    """The first half of 20 steps moves it; from then on it is what it was after the tenth."""
    graph = traced('linear(4) | insert_fake_quant(weights="waveq", freeze_bits=0.5)')
    module, seen = graph.module(), []
    (beta,) = [p for key, p in module.named_parameters() if key.startswith("lowbit.bits.")]
    grid = arguments(next(node for node in graph.nodes if is_layer(node)))["weight"]
    scale = graph.select(outputs=(arguments(grid)["scale"],))
    for step in range(20):
        with torch.no_grad():
            beta.fill_(8 - step / 2)
            state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
            x = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
            seen.append(float(replace(scale, state=state).module()(x)[0][0]))
            _, _, updates = module(x)
            for key, value in updates.items():
                module.get_buffer(key).copy_(value)
    assert len(set(seen[:10])) == 5
    assert set(seen[10:]) == {seen[9]}


def hidden(name: str, bits: int) -> tuple[Graph, fx.Node]:
    """A network with a ReLU, and the grid behind it."""
    graph = traced(f'relu linear(2) | insert_fake_quant(activations="{name}", activation_bits={bits})')
    (grid,) = [n for n in graph.nodes if n.target is own.fake_quantize.default and arguments(n)["x"].name == "relu"]
    return graph, grid


def through(graph: Graph, grid: fx.Node, a: Tensor, scale: Tensor) -> Tensor:
    """What the grid makes of a."""
    given = {key: value for key, value in arguments(grid).items() if key not in ("x", "scale")}
    y: Tensor = fake_quantize(a, scale, **given)
    return y


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["dorefa", "wrpn"])
@few
@given(seed=seeds)
def test_activations_between_zero_and_one(name: str, bits: int, seed: int) -> None:
    graph, grid = hidden(name, bits)
    a = torch.randn(200, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()
    y = through(graph, grid, a, graph.evaluate(arguments(grid)["scale"]))
    near(y, q(a.detach().clamp(0, 1), bits))
    y.sum().backward()
    assert a.grad is not None
    assert torch.equal(a.grad, ((a >= 0) & (a <= 1)).double())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@few
@given(seed=seeds, level=st.floats(0.25, 4))
def test_pact_clips_at_its_level(bits: int, seed: int, level: float) -> None:
    """y = round(clip(x, 0, a) n / a) a / n,   dy/dx = [0 <= x <= a],   dy/da = [x > a], summed."""
    graph, grid = hidden("pact", bits)
    module = graph.select(outputs=(arguments(grid)["scale"],)).module()
    (a,) = [p for key, p in module.named_parameters() if key.startswith("lowbit.ranges.")]
    with torch.no_grad():
        a.fill_(level)
    x, g = (torch.randn(200, generator=torch.Generator().manual_seed(seed + i), dtype=torch.float64) for i in range(2))
    x.requires_grad_()
    y = through(graph, grid, x, module(torch.zeros(1, 3, 8, 8, dtype=torch.float64))[0][0])
    n = 2**bits - 1
    near(y, half_up(x.detach().clamp(0, level) * n / level) * level / n)
    by_x, by_a = torch.autograd.grad(y, (x, a), g)
    assert torch.equal(by_x, g * ((x >= 0) & (x <= level)))
    assert by_a.item() == pytest.approx(float((g * (x > level)).sum()), rel=1e-9, abs=1e-12)


def test_a_range_below_zero_counts_as_its_size() -> None:
    size = torch.tensor([-0.5], dtype=torch.float64, requires_grad=True)
    y = torch.ops.lowbit.magnitude(size, 0.25)
    y.backward()
    assert (y.item(), size.grad.item()) == (0.5, -0.25)
    assert float(torch.ops.lowbit.magnitude(torch.zeros(1), 1.0)) > 0


def test_exponents_become_whole_by_the_rounding_of_all_grids() -> None:
    exponent = torch.tensor([0.5, -0.5, 1.25, 1.75, -2.75], dtype=torch.float64, requires_grad=True)
    y = own.whole(exponent)
    y.backward(torch.arange(5.0, dtype=torch.float64))
    assert y.tolist() == [1, 0, 1, 2, -3]
    assert exponent.grad is not None
    assert exponent.grad.tolist() == [0, 1, 2, 3, 4]
