"""The grid of a weight runs with its mask and factors in one pass: values and gradients are those of the calls."""

from __future__ import annotations

from typing import Any
from unittest import mock

import lowbit
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from lowbit.compiler import fused, fused_weights, prepared
from lowbit.compiler.fused_weights import Around
from lowbit.compiler.grid import Grid
from lowbit.compiler.norms.dividing import weights_divided
from lowbit.compiler.operators import aten
from lowbit.compiler.weighing import _apart, multiplied, weighed, weights_joined
from programs import laws
from torch import Tensor, nn

in_c = pytest.mark.skipif(fused.NATIVE is None, reason="the extension was not compiled at installation")
shapes = st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple)
parts = st.tuples(st.booleans(), st.booleans(), st.booleans())


def drawn(shape: tuple[int, ...], parts: tuple[bool, bool, bool], seed: int) -> tuple[Tensor, Around]:
    """A weight, and what stands around its grid: factors of both signs, one of them none at all."""
    generator = torch.Generator().manual_seed(seed)
    masked, factored, divides = parts
    mask = torch.randint(2, shape, generator=generator).float() if masked else None
    k = torch.randn([shape[0], *[1] * (len(shape) - 1)], generator=generator) if factored else None
    return torch.randn(shape, generator=generator), Around(mask, k, factored and divides)


def stepped(together: bool, w: Tensor, around: Around, scale: Tensor, rest: tuple[Any, ...]) -> list[Tensor]:
    """The values, the gradient in the weight, that in the scale."""
    leaves = w.clone().requires_grad_(), scale.clone().requires_grad_()
    y = weighed(leaves[0], *around, leaves[1], *rest) if together else _apart(*leaves, around, rest)
    y.backward(torch.linspace(-1, 2, w.numel()).reshape(w.shape))
    return [y.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@in_c
@laws(120)
@given(
    shape=shapes,
    parts=parts,
    grid=st.builds(Grid, st.integers(2, 8), st.booleans(), st.booleans()) | st.just(Grid(1, True, odd=True)),
    by_rows=st.booleans(),
    flags=st.tuples(st.booleans(), st.booleans()),
    threads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_both_ways_agree(
    shape: tuple[int, ...],
    parts: tuple[bool, bool, bool],
    grid: Grid,
    by_rows: bool,
    flags: tuple[bool, bool],
    threads: int,
    seed: int,
) -> None:
    w, around = drawn(shape, parts, seed)
    scale = torch.rand(shape[0] if by_rows else 1, generator=torch.Generator().manual_seed(seed)) / 4 + 2**-10
    straight, clipped = flags
    rest = (0, grid.lo, grid.hi, 0, straight, grid.odd, clipped)
    assert fused_weights.takes(w, around, scale, 0)
    with mock.patch("torch.get_num_threads", return_value=threads), mock.patch.object(fused, "SHARE", 1):
        ours, expected = (stepped(together, w, around, scale, rest) for together in (True, False))
    assert all(torch.equal(*pair) for pair in zip(ours, expected, strict=True))


@in_c
@laws(60)
@given(shape=shapes, threads=st.integers(1, 3), seed=st.integers(0, 99))
def test_products_agree(shape: tuple[int, ...], threads: int, seed: int) -> None:
    w, (mask, k, _) = drawn(shape, (True, True, False), seed)
    assert mask is not None
    assert k is not None
    w.requires_grad_()
    with mock.patch("torch.get_num_threads", return_value=threads), mock.patch.object(fused, "SHARE", 1):
        product = multiplied(w, mask, k)
        (by_w,) = torch.autograd.grad(product, w, torch.ones_like(w), create_graph=True)
    assert torch.equal(product, w * mask * k)
    assert torch.equal(by_w, mask * k)


def test_who_goes_where() -> None:
    w, (mask, k, _) = drawn((4, 3), (True, True, False), 0)
    assert k is not None
    ours, scale = fused.NATIVE is not None, torch.ones(4)
    assert fused_weights.takes(w, Around(mask, k), scale, 0) == ours
    assert not fused_weights.takes(w, Around(mask, k), scale, 1)
    assert not fused_weights.takes(w, Around(mask, torch.ones(1, 3)))
    assert not fused_weights.takes(w, Around(torch.ones(3), None))
    assert not fused_weights.takes(w, Around(mask, k.clone().requires_grad_()))
    assert not fused_weights.takes(w.T, Around(None, None))
    assert not fused_weights.takes(w.double(), Around(None, None))


@in_c
@pytest.mark.parametrize("straight", [False, True])
def test_gradients_of_gradients_are_not_lost(straight: bool) -> None:
    w, factor = torch.linspace(-2, 2, 9, requires_grad=True), torch.ones(9, requires_grad=True)
    rounded = weighed(w, torch.ones(9), None, False, torch.tensor([0.25]), 0, -4, 4, 0, straight, False, False)
    (by_w,) = torch.autograd.grad((rounded * factor).sum(), w, create_graph=True)
    (inside,) = torch.autograd.grad(by_w.sum(), factor)
    assert inside.tolist() == ([1] * 9 if straight else [0, 0, 1, 1, 1, 1, 1, 0, 0])


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 6, 3), nn.BatchNorm2d(6)),
        *(nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(6, 3)),
    )


def learned(x: Tensor, recipe: str, compiled: bool = False) -> dict[str, Tensor]:
    """Every gradient of two steps under a recipe, the second behind a mask that has changed; what evaluation gives."""
    ours = lowbit.prepare(net(), (x,), recipe, steps=2).train()
    run = torch.compile(ours, backend="aot_eager", fullgraph=True) if compiled else ours
    for _ in range(2):
        (F.cross_entropy(run(x), torch.arange(len(x)) % 3) + ours.regularization()).backward()
        ours.step()
    with torch.no_grad():
        evaluated = {"evaluation": ours.eval()(x)}
    return evaluated | {name: one.grad for name, one in ours.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("recipe", ["choi2020", "squantizer", "lsq", "twn"])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_training_step_is_that_of_the_graph_as_it_stands(recipe: str, compiled: bool) -> None:
    x = torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    torch._dynamo.reset()
    joined = learned(x, recipe, compiled)
    with mock.patch.object(prepared, "weights_joined", lambda graph: graph):
        apart = learned(x, recipe)
    assert joined.keys() == apart.keys()
    for name, grad in joined.items():
        torch.testing.assert_close(grad, apart[name], rtol=1e-4, atol=1e-5, msg=name)


def test_what_is_joined_is_found() -> None:
    """Every layer: norms follow three, and the head has a mask alone."""
    graph = lowbit.prepare(net(), (torch.randn(8, 3, 10, 10),), "choi2020", steps=9).graph
    run = weights_joined(weights_divided(graph.select(outputs=graph.outputs)))
    found = [[part is not None for part in node.args[1:3]] for node in run.nodes if node.target is weighed]
    assert sorted(found) == [[True, False], [True, True], [True, True], [True, True]]
    assert sum(node.target is aten.mul.Tensor for node in run.nodes) == 0
    penalties = {name: one for name, one in graph.penalties.items() if name == "msqe_weights"}
    products = weights_joined(graph.select(penalties=penalties))
    assert sum(node.target is multiplied for node in products.nodes) == 3


def test_what_others_read_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.norm(self.conv(x)), F.conv2d(x, self.conv.weight)

    x, torch_model = torch.randn(2, 3, 6, 6), Twice()
    ours = lowbit.prepare(torch_model, (x,), "choi2020", steps=9).train()
    with mock.patch.object(prepared, "weights_joined", lambda graph: graph):
        apart = lowbit.prepare(torch_model, (x,), "choi2020", steps=9).train()
    assert all(torch.equal(*pair) for pair in zip(ours(x), apart(x), strict=True))
