"""Figures of a comparison, as sums that further batches are added to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """How often two tensors of integers differ, and by how much at most.   count: of all that were compared."""

    count: int = 0
    different: int = 0
    largest: int = 0

    @staticmethod
    def of(a: Tensor, b: Tensor) -> Codes:
        """a, b: integers in any type, of one shape."""
        distance = (a.double() - b.double()).abs()
        return Codes(distance.numel(), int((distance > 0).sum()), int(distance.max()) if distance.numel() else 0)

    def __add__(self, other: Codes) -> Codes:
        largest = max(self.largest, other.largest)
        return Codes(self.count + other.count, self.different + other.different, largest)

    @property
    def share(self) -> float:
        """The part that differs, 0 to 1."""
        return self.different / max(1, self.count)


@dataclass(frozen=True)
class Error:
    """How far a value is from what it should be.   total: of the distances.   signal, noise: sums of squares."""

    count: int = 0
    total: float = 0.0
    largest: float = 0.0
    signal: float = 0.0
    noise: float = 0.0

    @staticmethod
    def of(right: Tensor, found: Tensor) -> Error:
        """right, found: of one shape."""
        right = right.double()
        distance = (right - found).abs()
        largest = float(distance.max()) if distance.numel() else 0.0
        sums = (float(torch.linalg.vector_norm(x)) ** 2 for x in (right, distance))
        return Error(distance.numel(), float(distance.sum()), largest, *sums)

    def __add__(self, other: Error) -> Error:
        return Error(
            self.count + other.count,
            self.total + other.total,
            max(self.largest, other.largest),
            self.signal + other.signal,
            self.noise + other.noise,
        )

    @property
    def mean(self) -> float:
        """The mean distance."""
        return self.total / max(1, self.count)

    @property
    def sqnr(self) -> float:
        """The ratio of signal to noise in dB; infinite without noise, and without a signal minus infinite."""
        if not self.noise:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass(frozen=True)
class Votes:
    """How often two models have the highest score at the same place; of one sample each."""

    count: int = 0
    same: int = 0

    @staticmethod
    def of(a: Tensor, b: Tensor) -> Votes:
        """a, b: scores, (samples, classes)."""
        return Votes(len(a), int((a.argmax(1) == b.argmax(1)).sum()))

    def __add__(self, other: Votes) -> Votes:
        return Votes(self.count + other.count, self.same + other.same)

    @property
    def share(self) -> float:
        """The part that agrees, 0 to 1."""
        return self.same / max(1, self.count)
