"""What a compiled program takes and holds: any float type of torch, a tied weight once; no array is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from blobs import tiny
from lowbit import Compiled, UserError, lower, prepare
from torch import Tensor, nn

SHAPE = (2, *tiny().values[tiny().inputs[0].value].shape)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32, torch.bool])
def test_tensors_of_any_real_type_run(dtype: torch.dtype) -> None:
    x = torch.linspace(0, 3, int(np.prod(SHAPE))).reshape(SHAPE).to(dtype)
    compiled = Compiled(tiny())
    assert np.array_equal(compiled.run(x)[0], compiled.run(x.float())[0])


@pytest.mark.parametrize(
    "given", [[[1.0], [1.0, 2.0]], torch.zeros(SHAPE, device="meta"), torch.zeros(SHAPE).to_sparse()]
)
def test_what_is_no_array_is_refused(given: Any) -> None:
    for run in (Compiled(tiny()).run, Compiled(tiny()).run_integers):
        with pytest.raises(UserError, match="no array of numbers"):
            run(given)


def test_objects_are_refused() -> None:
    with pytest.raises(UserError, match="not numbers"):
        Compiled(tiny()).run(np.array([{}]))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.second(torch.relu(self.first(x)))))
        return y


def test_a_tied_weight_has_one_parameter_one_grid_and_one_stream() -> None:
    x = torch.rand(4, 8)
    ours = prepare(Tied(), (x,), "choi2020", steps=2)
    assert ours.get_parameter("second.weight") is ours.get_parameter("first.weight")
    scales = [name for name in ours.state_dict() if "scales.weights" in name]
    assert scales == ["lowbit.scales.weights.first.weight", "lowbit.scales.weights.head.weight"]
    program = lower(ours.eval())
    matrices = [value for value in program.program.values if value.data is not None and value.shape == (8, 8)]
    assert len(matrices) == 1
    assert (torch.from_numpy(program.run(x.numpy())[0]) - ours(x)).abs().max() < 0.05 * ours(x).abs().max()


@pytest.mark.parametrize("recipe", ["choi2020", "ptq8"])
def test_a_model_of_a_narrow_type_becomes_integers(recipe: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).bfloat16()
    x = torch.randn(16, 8).bfloat16()
    ours = prepare(model, (x,), recipe, steps=1).eval()
    expected = ours(x).detach().float().numpy()
    (found,) = lower(ours).run(x)
    assert np.abs(found - expected).max() < 2**-5 * np.abs(expected).max()
