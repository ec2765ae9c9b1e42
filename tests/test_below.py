"""Grids behind functions that fall less far below zero than they rise: their zero points, and what they gain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lowbit.compiler.graph import arguments
from lowbit.compiler.grid import Grid, best_scale, fake_quantize
from lowbit.compiler.grids.below import _LEAST
from lowbit.testing import graph
from torch import Tensor, nn

own = torch.ops.lowbit
LINE = torch.linspace(-30, 30, 2**16, dtype=torch.float64)


def zero_points(sketch: str) -> dict[str, tuple[int, int, int]]:
    """What is on a grid -> the integer of zero, the least and the largest."""
    nodes = [node for node in graph(sketch).nodes if node.target is own.fake_quantize.default]
    given = {str(node.args[0]): arguments(node) for node in nodes}
    return {name: (grid["zero"], grid["lo"], grid["hi"]) for name, grid in given.items()}


@pytest.mark.parametrize("name", _LEAST)
def test_the_least_values_are_those_of_torch(name: str) -> None:
    call: Callable[[Tensor], Tensor] = getattr(torch.nn.functional, name)
    assert -float(call(LINE).min()) == pytest.approx(_LEAST[name], rel=2e-3)


@pytest.mark.parametrize(
    ("sketch", "name", "wanted"),
    [
        ("conv(3) leaky conv(2) | insert_fake_quant", "leaky_relu", (3, 0, 255)),
        ("conv(3) silu conv(2) | insert_fake_quant", "silu", (17, 0, 255)),
        ("conv(3) gelu conv(2) | insert_fake_quant(activation_bits=4)", "gelu", (1, 0, 15)),
        ("conv(3) gelu conv(2) | insert_fake_quant(activation_bits=9)", "gelu", (0, -256, 255)),
        ("conv(3) tanh conv(2) | insert_fake_quant", "tanh", (0, -128, 127)),
        ("conv(3) relu conv(2) | insert_fake_quant", "relu", (0, 0, 255)),
        # One grid for all: of the share of those that have the most below zero.
        ("conv(4) halves silu [ leaky ] cat conv(2) | insert_fake_quant", "silu", (17, 0, 255)),
        ("conv(4) relu [ silu ] cat conv(2) | insert_fake_quant", "relu", (17, 0, 255)),
        ("conv(4) silu [ conv(4) ] cat conv(2) | insert_fake_quant", "silu", (0, -128, 127)),
    ],
)
def test_a_grid_has_its_zero_where_the_function_needs_it(sketch: str, name: str, wanted: tuple[int, int, int]) -> None:
    assert zero_points(sketch)[name] == wanted


@pytest.mark.parametrize(("function", "zero"), [(nn.SiLU(), 17), (nn.GELU(), 10), (nn.LeakyReLU(0.1), 23)])
def test_the_error_is_less_than_half(function: nn.Module, zero: int) -> None:
    """Of values of deviation 2 in front of the function, in square."""
    x = function(2 * torch.randn(2**14, generator=torch.Generator().manual_seed(0), dtype=torch.float64))

    def error(grid: Grid) -> float:
        rounded = fake_quantize(x, best_scale(x, grid), grid.zero, grid.lo, grid.hi, 0)
        return float((rounded - x).square().mean())

    assert error(Grid(8, signed=False, zero=zero)) < error(Grid(8, signed=True)) / 2
