"""Machine integers in numpy: whole test sets of small nets, with nothing but numpy installed."""

from __future__ import annotations

import numpy as np

from ..kernels import Arrays, makers
from ..stepwise import Stepwise
from ..target import Target

NUMPY = Arrays(
    full=lambda shape, value, dtype: np.full(shape, value, dtype),
    cast=lambda array, dtype: array.astype(dtype),
    load=lambda values, dtype: np.ascontiguousarray(values, dtype),
    maximum=np.maximum,
    permute=np.transpose,
)

TARGET = Target(
    Stepwise(
        makers=makers(NUMPY),
        load=lambda values: values.astype(np.int32),
        store=lambda values: values.astype(np.int64),
    )
)
