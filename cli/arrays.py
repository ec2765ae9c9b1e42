"""Arrays in `.npy` files."""

from __future__ import annotations

import io
from typing import Any, TypeAlias

import numpy as np

from ..compiler.errors import UserError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def read(path: str) -> Array:
    """The array in a `.npy` file. Raises UserError; never runs a pickle."""
    try:
        with open(path, "rb") as file:
            found: Array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged header fails in ways that numpy does not list, some of them its parser's
        fix = "write it with numpy.save, as an array of numbers"
        raise UserError(
            "the array cannot be read", where=path, why=str(error) or type(error).__name__, fix=fix
        ) from None
    return found


def dumped(array: Array) -> bytes:
    """The bytes of a `.npy` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
