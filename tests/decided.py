"""Forwards that branch on what is drawn, and on whether all is finite: of which a graph holds both sides."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def skipped(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        if m.training and torch.rand([]) < 0.5:
            continue
        x = layer(x)
    return m.head(x)


def added_if_drawn(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        if not m.training or torch.rand(1) > 0.5:
            x = x + layer(x)
    return m.head(x)


def flagged(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        skip = False
        if m.training:
            skip = torch.empty(()).bernoulli_(0.5).bool()
        if not skip:
            x = layer(x)
    return m.head(x)


def halved_or_applied(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        x = x * 0.5 if m.training and torch.randint(2, (1,)) == 0 else layer(x)
    return m.head(x)


def drawn_as_a_number(m: Any, x: Tensor) -> Any:
    keep = 0.7
    for layer in m.layers:
        if m.training and torch.rand(1).item() > keep:
            continue
        x = x + layer(x) / keep
    return m.head(x)


def scaled_by_a_number(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        number = torch.rand(1).item()
        if m.training and number < 0.5:
            x = x * (1 - number)
        x = layer(x)
    return m.head(x)


def dense(m: Any, x: Tensor) -> Any:
    kept = [x]
    for layer in m.layers:
        if not (m.training and torch.rand([]) < 0.5):
            x = layer(sum(kept))
        kept.append(x)
    return {"sum": m.head(sum(kept)), "all": (kept[-1], kept[1])}


def returned_early(m: Any, x: Tensor) -> Any:
    y = m.layers[0](x)
    if m.training and torch.rand([]) < 0.5:
        return m.head(x)
    return m.head(y)


def computed_for_one_side(m: Any, x: Tensor) -> Any:
    a, b = m.layers[0](x), m.layers[1](x)
    y = a if m.training and torch.rand([]) < 0.5 else b
    return m.head(y)


def constants_of_sides(m: Any, x: Tensor) -> Any:
    for i, layer in enumerate(m.layers):
        if m.training and torch.rand([]) < 0.5:
            x = x * torch.tensor([1.0, 2.0, 3.0, 4.0 + i])
        else:
            x = layer(x) * torch.tensor([1.0, 2.0, 3.0, 9.0 + i])
    return m.head(x)


def other_weight(m: Any, x: Tensor) -> Any:
    weight = m.layers[0][0].weight if m.training and torch.rand([]) < 0.5 else m.layers[1][0].weight
    return m.head(F.linear(x, weight).relu())


def written_in_place(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        x = layer(x)
        if m.training and torch.rand([]) < 0.5:
            x[:, :2].mul_(3).add_(1)
    return m.head(x)


def drawn_within_no_grad(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        with torch.no_grad():
            skip = m.training and bool(torch.rand([]) < 0.5)
            scale = x.abs().mean() if skip else x.abs().amax()
        x = layer(x) / (1 + scale)
    return m.head(x)


def clamped(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        x = layer(x)
        if m.training and not torch.isfinite(x).all():
            x = torch.clamp(x, -0.1, 0.1)
    return m.head(x)


def clamped_always(m: Any, x: Tensor) -> Any:
    x = m.layers[0](x)
    if x.isinf().any() or x.isnan().any():
        x = x.nan_to_num(1.0, 2.0, 3.0)
    return m.head(m.layers[1](x))


def clamped_by_one_check(m: Any, x: Tensor) -> Any:
    x = m.layers[0](x)
    if torch.logical_or(torch.isinf(x).any(), ~torch.isfinite(x).all()):
        x = x.clamp(-9, 9)
    return m.head(m.layers[1](x))


def clamped_by_a_number(m: Any, x: Tensor) -> Any:
    x = m.layers[0](x)
    if not x.isfinite().all().item():
        x = x.clamp(-9, 9)
    return m.head(m.layers[1](x))


def skipped_and_clamped(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        if m.training and torch.rand([]) < 0.5:
            continue
        x = layer(x)
        if m.training and not torch.isfinite(x).all():
            x = torch.clamp(x, -1000.0, 1000.0)
    return m.head(x)


def checked_after_each(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        x = x * 0.5 if m.training and torch.rand([]) < 0.5 else layer(x)
        if not x.isfinite().all():
            x = x.clamp(-100, 100)
    return m.head(x)


DRAWN = [
    skipped,
    added_if_drawn,
    flagged,
    halved_or_applied,
    drawn_as_a_number,
    scaled_by_a_number,
    dense,
    returned_early,
    computed_for_one_side,
    constants_of_sides,
    other_weight,
    written_in_place,
    drawn_within_no_grad,
]
CHECKED = [clamped, clamped_always, clamped_by_one_check, clamped_by_a_number]
BOTH = [skipped_and_clamped, checked_after_each]
