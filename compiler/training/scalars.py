"""What there is to watch in a training beside the loss of its task: penalties, coefficients, zeros, bytes."""

from __future__ import annotations

from torch import nn

from ..coded_size import size
from ..prepared import Prepared


def parts(module: nn.Module) -> list[Prepared]:
    """The prepared modules in a module: itself, those that it holds, or none."""
    return [part for part in module.modules() if isinstance(part, Prepared)]


def scalars(module: nn.Module) -> dict[str, float]:
    """Name -> number: `penalty/NAME` and `coefficient/NAME` of each regularizer, `zeros`, the share of the weights on
    grids that are zero, and `coded_bytes`, an estimate of the file (see `compiler/coded_size.py`).

    Of all the prepared modules in `module` together: penalties and bytes are summed, of a coefficient the last counts.
    """
    found: dict[str, float] = {}
    sizes = []
    for part in parts(module):
        for name, value in part.penalties().items():
            found[f"penalty/{name}"] = found.get(f"penalty/{name}", 0.0) + value
        found |= {f"coefficient/{name}": value for name, value in part.coefficients().items()}
        sizes.append(size(part.graph))
    weights = sum(one.weights for one in sizes)
    if weights:
        found |= {"zeros": sum(one.zeros for one in sizes) / weights, "coded_bytes": sum(one.bytes for one in sizes)}
    return found
