"""Which quantizer weights and activations get, and its settings: options of the pass that puts grids on edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from msgspec import Meta

from .contract import Options
from .magnitude import Deviations
from .quantizer import FOLDER, Quantizer
from .registry import members


def quantizer(name: str) -> Quantizer:
    """The quantizer of that name."""
    return members(FOLDER, Quantizer)[name]


def _those(kind: str) -> tuple[str, ...]:
    return tuple(name for name, one in members(FOLDER, Quantizer).items() if getattr(one, kind))


if TYPE_CHECKING:
    OfWeights: TypeAlias = str
    OfActivations: TypeAlias = str
else:
    OfWeights, OfActivations = Literal[_those("weights")], Literal[_those("activations")]


class Quantizing(Options, frozen=True):
    """weights, activations: how their values come onto a grid, see `compiler/quantizers`; where a quantizer of
    activations is for hidden values alone that are never negative, the others are "learned".   weight_range: dorefa and
    wrpn bring weights into [-1, 1], as in the papers ("unit"), or multiply max|w| back ("max"), as a model needs that
    comes trained, or that has no batch norm behind its layers.   sigma: squantizer makes weights zero that are smaller
    than the mean of |w| and sigma standard deviations.   freeze_bits: the share of the training after which waveq keeps
    its widths; 1: never.
    """

    weights: OfWeights = "learned"
    activations: OfActivations = "learned"
    weight_range: Literal["unit", "max"] = "unit"
    sigma: Deviations = 0.0
    freeze_bits: Annotated[float, Meta(ge=0, le=1)] = 1.0


BY_LAYER = frozenset({"weights", "activations", "weight_range", "sigma", "freeze_bits"})
