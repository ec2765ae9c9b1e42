"""A limit and the grid behind it run in one pass: values and gradients are those of the two calls."""

from __future__ import annotations

import math
from unittest import mock

import lowbit
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lowbit.compiler import fused, prepared
from lowbit.compiler.fused import Limits
from lowbit.compiler.grid import Grid
from lowbit.compiler.limiting import _apart, limited, limited_some, limits_joined
from lowbit.compiler.samples import some
from programs import laws
from torch import Tensor, nn

in_c = pytest.mark.skipif(fused.NATIVE is None, reason="the extension was not compiled at installation")
LIMITS = {"relu": Limits(0, math.inf), "relu6": Limits(0, 6), "hardtanh": Limits(-1, 1)}


def stepped(run: object, x: Tensor, limits: Limits, scale: Tensor, rest: tuple[object, ...]) -> list[Tensor]:
    """The values, the gradient in x, that in the scale."""
    leaves = x.clone(memory_format=torch.preserve_format).requires_grad_(), scale.clone().requires_grad_()
    y = _apart(*leaves, limits, rest) if run is _apart else limited(leaves[0], *limits, leaves[1], *rest)
    y.backward(torch.linspace(-1, 2, x.numel()).reshape(x.shape).to(x.dtype))
    return [y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@in_c
@laws(80)
@given(
    name=st.sampled_from(tuple(LIMITS)),
    bits=st.integers(2, 8),
    signed=st.booleans(),
    clipped=st.booleans(),
    dtype=st.sampled_from(fused.FLOATS),
    last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_both_ways_agree(
    name: str, bits: int, signed: bool, clipped: bool, dtype: torch.dtype, last: bool, seed: int
) -> None:
    generator, limits = torch.Generator().manual_seed(seed), LIMITS[name]
    x = (4 * torch.randn(2, 3, 4, 5, generator=generator)).to(dtype)
    x.view(-1)[:4] = torch.tensor([*(0.0 if math.isinf(end) else end for end in limits), 1e6, -1e6])
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    grid = Grid(bits, signed)
    rest = (0, grid.lo, grid.hi, 0, False, False, clipped)
    scale = torch.rand(1, generator=generator) / 8 + 2**-10
    assert fused.takes(x, scale, 0)
    (y, by_x, by_scale), expected = (stepped(run, x, limits, scale, rest) for run in (limited, _apart))
    assert torch.equal(y, expected[0])
    assert torch.equal(by_x, expected[1])
    size = x.numel() * (grid.hi + 1) * 2
    torch.testing.assert_close(by_scale, expected[2], rtol=0, atol=16 * size * 2**-24)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
    )


def learned(x: Tensor, compiled: bool = False) -> dict[str, Tensor]:
    """Every gradient of a step under `choi2020`, which looks at some of the limited values too."""
    ours = lowbit.prepare(net(), (x,), "choi2020", steps=9).train()
    run = torch.compile(ours, backend="aot_eager", fullgraph=True) if compiled else ours
    (F.cross_entropy(run(x), torch.arange(len(x)) % 3) + ours.regularization()).backward()
    return {name: one.grad for name, one in ours.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_step_is_that_of_the_graph_as_it_stands(compiled: bool) -> None:
    x = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    torch._dynamo.reset()
    joined = learned(x, compiled)
    with mock.patch.object(prepared, "limits_joined", lambda graph: graph):
        apart = learned(x)
    assert joined.keys() == apart.keys()
    for name, grad in joined.items():
        torch.testing.assert_close(grad, apart[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_with_other_readers_stays(name: str) -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = F.hardtanh(x, *LIMITS[name]) if name != "relu" else F.relu(x)
            return torch.ops.lowbit.fake_quantize(y, torch.full((1,), 0.5), 0, 0, 15, 0), y.sum()

    x = torch.arange(-9.0, 9.0, 0.7)
    both = lowbit.capture(Twice(), (x,))(x)
    assert all(torch.equal(*pair) for pair in zip(both, Twice()(x), strict=True))


@pytest.mark.parametrize("name", LIMITS)
def test_the_limits_are_those_of_the_call(name: str) -> None:
    class Once(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = F.hardtanh(x, *LIMITS[name]) if name != "relu" else F.relu(x)
            return torch.ops.lowbit.fake_quantize(y, torch.full((1,), 0.5), 0, -15, 15, 0)

    x = torch.arange(-9.0, 9.0, 0.7)
    ours = lowbit.capture(Once(), (x,))
    assert limited in {node.target for node in limits_joined(ours.graph).nodes}
    assert torch.equal(ours(x), Once()(x))


@in_c
def test_gradients_of_gradients_are_not_lost() -> None:
    x, weight = torch.linspace(-2, 2, 9, requires_grad=True), torch.ones(9, requires_grad=True)
    rounded = limited(x, 0.0, math.inf, torch.tensor([0.25]), 0, 0, 4, 0, False, False, False)
    (by_x,) = torch.autograd.grad((rounded * weight).sum(), x, create_graph=True)
    (inside,) = torch.autograd.grad(by_x.sum(), weight)
    assert inside.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0]


@given(size=st.integers(1, 5000), count=st.integers(16, 600))
def test_some_values_are_chosen_once(size: int, count: int) -> None:
    x = torch.arange(size).float() - 40
    chosen = some(x, count)
    assert torch.equal(some(chosen, count), chosen)
    assert min(size, count) - 16 < chosen.numel() <= 2 * count + 16
    few = limited_some(x, 0.0, 6.0, count)
    assert torch.equal(few, some(F.hardtanh(x, 0.0, 6.0), count))
