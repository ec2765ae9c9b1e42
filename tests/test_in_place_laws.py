"""Drawn programs of views and in-place calls: the pure graph keeps every bit of values, gradients, buffers, inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, reject
from hypothesis import strategies as st
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from purified import Function, Model, batch, observed, purified, same
from torch import Tensor

# Each word takes the tensors made so far and one of them, and makes another or changes it.
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "first row": lambda t: t[:1],
    "last column": lambda t: t[..., -1],
    "every other": lambda t: t[..., ::2],
    "transposed": lambda t: t.transpose(0, -1),
    "turned": lambda t: t.permute(*range(t.dim())[::-1]),
    "unsqueezed": lambda t: t.unsqueeze(-1),
    "squeezed": lambda t: t.squeeze(-1),
    "flat": lambda t: t.view(-1),
    "reshaped": lambda t: t.reshape(-1),
    "flattened": lambda t: t.flatten(),
    "half": lambda t: t.chunk(2, -1)[-1],
    "narrowed": lambda t: t.narrow(-1, 0, 1),
    "unbound": lambda t: t.unbind(-1)[0],
    "detached": lambda t: t.detach(),
    "contiguous": lambda t: t.contiguous(),
    "diagonal": lambda t: t.diagonal(),
    "same": lambda t: t.view_as(t),
    "expanded": lambda t: t.unsqueeze(0).expand(2, *t.shape),
}
NEW: dict[str, Callable[[Tensor], Tensor]] = {
    "twice": lambda t: t * 2,
    "sine": lambda t: t.sin(),
    "zeros": torch.zeros_like,
    "copied": lambda t: t.clone(),
    "doubles": lambda t: t.double(),
    "dropped": lambda t: F.dropout(t, 0.5),
}
CHANGES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "relu_": lambda t, u: t.relu_(),
    "add_": lambda t, u: t.add_(u),
    "add one": lambda t, u: t.add_(1),
    "mul_": lambda t, u: t.mul_(u),
    "scaled": lambda t, u: t.mul_(0.5),
    "copy_": lambda t, u: t.copy_(u),
    "zero_": lambda t, u: t.zero_(),
    "fill_": lambda t, u: t.fill_(0.25),
    "masked_fill_": lambda t, u: t.masked_fill_(t > 0.5, 0.1),
    "index_put_": lambda t, u: t.__setitem__(t < 0, 0.3),
    "set rows": lambda t, u: t.__setitem__(slice(0, 1), 0.7),
    "set columns": lambda t, u: t.__setitem__((..., 0), u.sum()),
    "clamp_": lambda t, u: t.clamp_(-1, 1),
    "hardtanh_": lambda t, u: F.hardtanh(t, inplace=True),
    "leaky_relu_": lambda t, u: F.leaky_relu(t, inplace=True),
    "silu_": lambda t, u: F.silu(t, inplace=True),
    "elu_": lambda t, u: F.elu(t, inplace=True),
    "sigmoid_": lambda t, u: t.sigmoid_(),
    "dropout_": lambda t, u: F.dropout(t, 0.5, inplace=True),
    "bernoulli_": lambda t, u: t.bernoulli_(0.5),
    "t_": lambda t, u: t.transpose_(0, -1),
}


def program(words: list[tuple[str, int, int]]) -> Function:
    """A forward that runs the words; each reads two of the tensors there are."""

    def forward(model: Model, x: Tensor) -> list[Tensor]:
        made = [x, model.lin(x), torch.zeros(x.shape[0], 4)]
        for word, i, j in words:
            t, u = made[i % len(made)], made[j % len(made)]
            if word in CHANGES:
                CHANGES[word](t, u)
            else:
                made.append({**VIEWS, **NEW}[word](t))
        return [y.sin() for y in made[1:]]

    return forward


words = st.sampled_from([*VIEWS, *NEW, *CHANGES, *CHANGES])


@given(st.lists(st.tuples(words, st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7))
def test_drawn_programs_keep_every_bit(drawn: list[tuple[str, int, int]]) -> None:
    legal: list[tuple[str, int, int]] = []
    torch.manual_seed(0)
    for word in drawn:  # a word that torch refuses where it stands is left out
        try:
            for size in (1, 2, 5):
                observed(Model(program([*legal, word])), batch(size))
        except (RuntimeError, IndexError, UserWarning):
            continue
        legal.append(word)
    try:
        capture(Model(program(legal)), (batch(),), verify=False)
    except UserError:  # it holds for some batches only
        reject()
    same(*purified(program(legal)))
