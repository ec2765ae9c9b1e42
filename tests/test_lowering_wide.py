"""Sums and products of more than 32 bits, as with activations of 16: split where they must be, and exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lowbit
import pytest
import torch
from lowbit import api
from lowbit.cli.stages import covered
from prepared import custom
from test_lowering_laws import equal_integers
from torch import Tensor, nn

RECIPE = (
    'name = "one"\n[[prepare]]\nuse = "insert_fake_quant"\nactivation_bits = 16\ninput_bits = 16\nper_channel = true\n'
)


class Net(nn.Module):
    """A layer, and a function of it and an input."""

    def __init__(self, layer: nn.Module, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


def steep(layer: nn.Module) -> nn.Module:
    """With weights that are all as large as the first."""
    nn.init.constant_(layer.weight, 0.5)  # type: ignore[arg-type]
    nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    return layer


def shifted(layer: nn.Module) -> nn.Module:
    """With biases that are far larger than what its weights give, some of them."""
    nn.init.constant_(layer.weight, 1e-4)  # type: ignore[arg-type]
    layer.bias.data[::2] = 300.0  # type: ignore[operator, union-attr, index]
    return layer


WIDE: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "convolution": ((64, 5, 5), lambda: Net(steep(nn.Conv2d(64, 4, 3, padding=1)), lambda m, x: m(x))),
    "transposed": ((64, 5, 5), lambda: Net(steep(nn.ConvTranspose2d(64, 4, 5, 2)), lambda m, x: m(x))),
    "linear": ((5, 700), lambda: Net(steep(nn.Linear(700, 4)), lambda m, x: m(x))),
    "large biases": ((4, 5, 6), lambda: Net(shifted(nn.Conv2d(4, 4, 1)), lambda m, x: m(x * 1e-3))),
    "product": ((4, 5, 6), lambda: Net(nn.Conv2d(4, 4, 1), lambda m, x: m(x) * x.abs())),
    "product of squares": ((4, 5, 6), lambda: Net(nn.Conv2d(4, 4, 1), lambda m, x: m(x).square() * x.exp())),
    "maxima of long rows": ((2, 70_000), lambda: Net(nn.Linear(1, 1), lambda m, x: x.amax(2))),
    "matrices": ((4, 5, 6), lambda: Net(nn.Conv2d(4, 4, 1), lambda m, x: m(x) @ x.relu().transpose(2, 3))),
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_sums_are_exact_on_every_target(name: str) -> None:
    torch.manual_seed(0)
    shape, build = WIDE[name]
    x = torch.randn(8, *shape)
    ours = lowbit.prepare(build().eval(), (x,), custom(RECIPE))
    equal_integers(ours, x)
    program = lowbit.lower(ours)
    assert all(comparison.equal for comparison in lowbit.check(program, *program.quantize(x[:1])))


def test_coverage_tells_of_what_was_widened(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shape, build = WIDE["convolution"]
    x, recipe = torch.randn(2, *shape), tmp_path / "wide.toml"
    recipe.write_text(RECIPE)
    calls, _ = covered(api.capture(build(), (x,)).graph, str(recipe), [x])
    assert ["conv2d" for call in calls if call.why.startswith("wider than 32 bits: 2 sums")] == ["conv2d"]


def test_what_takes_too_many_parts_is_refused() -> None:
    x = torch.randn(2, 70_000)
    wide = custom(RECIPE + "weight_bits = 16\n")
    with pytest.raises(lowbit.Unsupported, match="linear") as caught:
        lowbit.prepare(Net(steep(nn.Linear(70_000, 1)), lambda m, x: m(x)).eval(), (x,), wide)
    assert "its sums need more than 37 bits" in caught.value.why
