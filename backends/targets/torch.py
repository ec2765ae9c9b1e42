"""Machine integers in torch: large nets and batches on a CPU's cores, or on the GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ...compiler.arrays import Integers
from ..arrays import Arrays
from ..fixed.program import Program
from ..kernels import joint, makers
from ..stepwise import Stepwise
from ..target import Target, Watch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _load(values: Integers, dtype: str) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=getattr(torch, dtype), device=DEVICE)


TORCH = Arrays(
    full=lambda shape, value, dtype: torch.full(shape, value, dtype=getattr(torch, dtype), device=DEVICE),
    empty=lambda shape, dtype: torch.empty(shape, dtype=getattr(torch, dtype), device=DEVICE),
    cast=lambda array, dtype: array.to(getattr(torch, dtype)),
    load=_load,
    maximum=torch.maximum,
    permute=torch.permute,
    add_product_=lambda y, a, b: y.addcmul_(a, b),
    clip_=torch.clamp_,
)

STEPWISE = Stepwise(
    makers=makers(TORCH),
    joint=joint(TORCH),
    load=lambda values: _load(values, "int32"),
    store=lambda values: values.cpu().numpy().astype(np.int64),
)


@contextmanager
def _whole_floats() -> Iterator[None]:
    """float32 products keep all 24 bits, whatever the process allows (TF32 keeps 11, bfloat16 8)."""
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision


def _execute(program: Program, inputs: Sequence[Integers], watch: Watch | None) -> list[Integers]:
    with torch.inference_mode(), _whole_floats():
        return STEPWISE(program, inputs, watch)


TARGET = Target(_execute)
