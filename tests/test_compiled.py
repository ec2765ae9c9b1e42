"""What a compiled program takes: any float type of torch, and a clear refusal of what is no array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from blobs import tiny
from lowbit import Compiled, UserError

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
