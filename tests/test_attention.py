"""Transformers in integers: words looked up, encoders with masks, windows; every value the interpreter's everywhere."""

from __future__ import annotations

import lowbit
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_lowering_laws import equal_integers
from torch import Tensor, nn


class Words(nn.Module):
    """A small encoder of words, which stand in front of the batch inside; none looks at those behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(11, 8, padding_idx=0), nn.Embedding(6, 8)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 12)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = (self.words(ids) + self.places.weight).transpose(0, 1)
        x = self.encoder(x, src_mask=nn.Transformer.generate_square_subsequent_mask(6))
        return self.head(x[-1])  # type: ignore[no-any-return]


class Patches(nn.Module):
    """A small vision transformer: patches, a class token, places, blocks with one call for q, k and v."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.places = nn.Parameter(torch.randn(1, 5, 8))
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.places
        q, k, v = self.qkv(self.norm(x)).reshape(x.shape[0], 5, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape))
        return (x + self.mlp(x))[:, 0]


@pytest.mark.parametrize("name", ["words", "patches"])
def test_transformers_lower_wholly(name: str) -> None:
    torch.manual_seed(0)
    model = Patches() if name == "patches" else Words()
    x = torch.randn(8, 3, 8, 8) if name == "patches" else torch.randint(0, 11, (8, 6))
    ours = lowbit.prepare(model.eval(), (x,), "ptq8")
    lowbit.calibrate(ours, [x])
    equal_integers(ours, x)
    program = lowbit.lower(ours)
    given = program.quantize(x[:1])
    one, other = (program.run_integers(*given, target=target) for target in ("interpreter", "torch"))
    assert np.array_equal(one[0], other[0])


class Dropping(nn.Module):
    """It drops probabilities in training."""

    def forward(self, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if self.training else 0.0)


def test_dropout_falls_on_the_probabilities_in_training_alone() -> None:
    x = torch.randn(4, 3, 8)
    ours = lowbit.prepare(Dropping(), (x,), "lsq")
    assert not torch.equal(ours.train()(x), ours(x))
    assert torch.equal(ours.eval()(x), ours(x))
    lowbit.lower(ours)
