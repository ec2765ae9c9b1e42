"""What integers will cost in a file, estimated: bits of each, by how large its row, its column and its neighbours are.

    bits(q | c) = log2(n_c / n_c,|q|) + (q != 0)

c is one of CONTEXTS equally frequent intervals of log(row) + log(column) + log(neighbours): means of magnitudes of the
row and the column of the weight, first axis by the others, and of the two integers to the left and the two above; n are
counts of magnitudes, each half more. It is the idea of the entropy coder `cm` without what that learns on its way, and
close enough to compare integers by.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

CONTEXTS = 16
_LEAST = 1 / 16
"""What is added to a mean before its logarithm: below it, means tell nothing apart."""


@dataclass(frozen=True)
class Rates:
    """The cost of integers at each place of a tensor.

    contexts: of each place, flat.   bits: of each magnitude in each context, (CONTEXTS, magnitudes).
    """

    contexts: Tensor
    bits: Tensor

    def of(self, codes: Tensor) -> Tensor:
        """Bits that each of these integers would cost in its place, in the shape of `codes`."""
        sizes = codes.reshape(-1).long().abs().clamp(max=self.bits.shape[1] - 1)
        return (self.bits[self.contexts, sizes] + (sizes > 0)).reshape(codes.shape)


def rates(codes: Tensor) -> Rates:
    """The rates that these integers, one at least, make for themselves."""
    sizes = codes.detach().abs().long().reshape(codes.shape[0] if codes.dim() > 1 else 1, -1)
    contexts = _contexts(sizes.double()).reshape(-1)
    magnitudes = int(sizes.max()) + 2 if sizes.numel() else 1  # one more: dear, if it is asked for
    counts = torch.bincount(contexts * magnitudes + sizes.reshape(-1), minlength=CONTEXTS * magnitudes)
    smooth = counts.reshape(CONTEXTS, magnitudes).double() + 0.5
    return Rates(contexts, torch.log2(smooth.sum(1, keepdim=True) / smooth))


def estimate(codes: Tensor) -> float:
    """Bytes that a file will about need for these integers."""
    return float(rates(codes).of(codes).sum()) / 8 if codes.numel() else 0.0


def _contexts(sizes: Tensor) -> Tensor:
    """(rows, columns) of magnitudes -> the context of each place."""
    before, above = pad(sizes, (2, 0, 0, 0)), pad(sizes, (0, 0, 2, 0))
    near = (2 * before[:, 1:-1] + before[:, :-2] + 2 * above[1:-1] + above[:-2]) / 6
    levels = sum(torch.log2(mean + _LEAST) for mean in (near, sizes.mean(1, keepdim=True), sizes.mean(0, keepdim=True)))
    assert isinstance(levels, Tensor)
    ordered = levels.reshape(-1).sort().values
    ends = ordered[torch.arange(1, CONTEXTS) * ordered.numel() // CONTEXTS]
    return torch.bucketize(levels, ends)
