"""Machine integers in numpy: whole test sets of small nets, with nothing but numpy installed."""

from __future__ import annotations

import numpy as np

from ...compiler.arrays import Integers
from ..arrays import Arrays
from ..kernels import joint, makers
from ..stepwise import Stepwise
from ..target import Target


def _add_product(y: Integers, a: Integers, b: Integers) -> None:
    y += a * b


NUMPY = Arrays(
    full=lambda shape, value, dtype: np.full(shape, value, dtype),
    empty=lambda shape, dtype: np.empty(shape, dtype),
    cast=lambda array, dtype: array.astype(dtype),
    load=lambda values, dtype: np.ascontiguousarray(values, dtype),
    maximum=np.maximum,
    permute=np.transpose,
    add_product_=_add_product,
    clip_=lambda y, lo, hi: np.clip(y, lo, hi, out=y),
)

TARGET = Target(
    Stepwise(
        makers=makers(NUMPY),
        joint=joint(NUMPY),
        load=lambda values: values.astype(np.int32),
        store=lambda values: values.astype(np.int64),
    )
)
