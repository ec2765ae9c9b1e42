"""Inputs that come as integers, declared or by their type: into the program as they are, their scales never trained."""

from __future__ import annotations

from typing import Any

import lowbit
import pytest
import torch
from lowbit.api import passes
from lowbit.backends.compiled import Compiled
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.sketches.trial import advance
from prepared import custom
from torch import Tensor, nn

aten = torch.ops.aten
RECIPE = """
name = "bytes"
[[prepare]]
use = "insert_fake_quant"
weight_bits = 6
%s
"""


class Image(nn.Module):
    """Takes an image of integers, converted inside or given as real numbers, and looks at its size."""

    def __init__(self, convert: bool) -> None:
        super().__init__()
        self.convert, self.conv, self.lin = convert, nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 36, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = image.float() if self.convert else image
        y: Tensor = self.lin(torch.relu(self.conv(x)).view(image.size(0), -1))
        return y


def pixels(dtype: torch.dtype = torch.uint8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    info = torch.iinfo(dtype)
    return torch.randint(info.min, info.max + 1, (32, 3, 6, 6), generator=generator).to(dtype)


def lowered(model: nn.Module, recipe: str, x: Tensor) -> tuple[Any, Compiled]:
    ours = lowbit.prepare(model, (x,), custom(RECIPE % recipe))
    lowbit.calibrate(ours, [x])
    return ours.eval(), lowbit.lower(ours)


@pytest.mark.parametrize(
    ("scale", "zero"), [(1 / 255, 0), (2.0, 0), (2.0**-7, 128)], ids=["of one", "of 510", "around zero"]
)
def test_declared_integers_go_in_as_they_are(scale: float, zero: int) -> None:
    """What real numbers are rounded to is the image itself, and the program gives the same for both."""
    image = pixels()
    x = (image.double() - zero).mul(scale).float()
    ours, program = lowered(Image(False), f"inputs.image = {{ scale = {scale}, zero = {zero} }}", x)
    (codes,) = program.quantize(x.numpy())
    assert (codes == image.numpy()).all()
    assert not [key for key, _ in ours.named_parameters() if "inputs" in key]
    from_bytes = program.run_integers(image.numpy())[0]
    assert (from_bytes == program.run_integers(codes)[0]).all()
    wanted, found = ours(x), torch.from_numpy(program.run(x.numpy())[0])
    assert (found - wanted).abs().max() <= 2**-9 * wanted.abs().max()
    assert found.unique().numel() > 20


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_integers_that_are_converted_inside_are_their_own_grid(dtype: torch.dtype) -> None:
    image = pixels(dtype)
    ours, program = lowered(Image(True), "", image)
    assert {port.zero for port in program.program.inputs} == {0}
    wanted, found = ours(image), torch.from_numpy(program.run(image.numpy())[0])
    assert (found - wanted).abs().max() <= 2**-9 * wanted.abs().max()
    assert (program.quantize(image.numpy())[0] == image.numpy()).all()


def test_given_scales_are_not_calibrated_nor_trained() -> None:
    image = pixels().float()
    ours, _ = lowered(Image(False), "inputs.image = { scale = 0.5 }", image)
    before = ours.state_dict()["lowbit.scales.inputs.image"].clone()
    ours.train()(image).square().mean().backward()
    assert before == 0.5
    assert "lowbit.scales.inputs.image" not in dict(ours.named_parameters())


def test_an_input_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no input is called 'picture'") as caught:
        lowered(Image(False), "inputs.picture = { scale = 1.0 }", pixels().float())
    assert "image" in caught.value.fix


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 4, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        y: Tensor = self.conv(torch.cat([left, right], 1))
        return y


def both(inputs: str) -> Graph:
    graph = capture(Two(), (torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)), verify=False)
    return advance(graph, f"insert_fake_quant({inputs})", passes()).graph


def test_inputs_that_are_joined_must_agree() -> None:
    graph = both('inputs = {"*" = {scale = 0.25}}')
    (cat,) = [node for node in graph.nodes if node.target is aten.cat.default]
    assert {float(graph.evaluate(arguments(node)["scale"])) for node in cat.all_input_nodes} == {0.25}
    for inputs in ("inputs = {left = {scale = 0.25}}", "inputs = {left = {scale = 0.25}, right = {scale = 0.5}}"):
        with pytest.raises(UserError, match="must share its grid"):
            both(inputs)
