"""Branches of which one graph cannot hold both sides are refused: the line, and why."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from parts import line_of
from stacks import Forward, Stack, drawn, named
from torch import Tensor


def normalised(m: Any, x: Tensor) -> Any:
    for layer in m.layers:
        if m.training and torch.rand([]) < 0.5:
            continue
        x = F.batch_norm(layer(x), m.steps, m.steps + 1, training=m.training)
    return m.head(x)


def counted(m: Any, x: Tensor) -> Any:
    if m.training and torch.rand([]) < 0.5:
        m.steps.add_(1)
    return m.head(x)


def decided_before(m: Any, x: Tensor) -> Any:
    """What is decided within one branch is done after it."""
    double = False
    if m.training and torch.rand([]) < 0.5:
        x = m.layers[0](x)
    elif m.training and torch.rand([]) < 0.5:
        double = True
    x = m.layers[1](x)
    return m.head(x * 2 if double else x)


def nested(m: Any, x: Tensor) -> Any:
    if m.training and torch.rand([]) < 0.5:
        x = x * 2 if torch.rand([]) < 0.5 else x * 3
    return m.head(x)


def looped(m: Any, x: Tensor) -> Any:
    while m.training and torch.rand([]) < 0.5:
        x = m.layers[0](x)
    return m.head(x)


def endless(m: Any, x: Tensor) -> Any:
    while m.training and not torch.rand([]) < 0.5:
        x = x * 0.5
    return m.head(x)


def raising(m: Any, x: Tensor) -> Any:
    if torch.isnan(x).any():
        raise ValueError("not a number")
    return m.head(x)


def of_other_shape(m: Any, x: Tensor) -> Any:
    y = m.head(x)
    return y[:, :1] if m.training and torch.rand([]) < 0.5 else y


def of_other_numbers(m: Any, x: Tensor) -> Any:
    return (m.head(x), 1) if m.training and torch.rand([]) < 0.5 else (m.head(x), 2)


def of_other_structure(m: Any, x: Tensor) -> Any:
    return [m.head(x)] if m.training and torch.rand([]) < 0.5 else {"a": m.head(x)}


def read_before_and_after(m: Any, x: Tensor) -> Any:
    y = m.layers[0](x)
    z = y
    if not y.isfinite().all():
        z = y.clamp(-1, 1)
    return m.head(y + z)


def two_variables(m: Any, x: Tensor) -> Any:
    """Only where both branches go the other way do `y` and `z` differ."""
    y = z = m.layers[0](x)
    if m.training and torch.rand([]) < 0.5:
        y, z = x, x * 0
    if m.training and torch.rand([]) < 0.5:
        y = m.layers[1](z)
    return m.head(y)


def drawn_by_python(m: Any, x: Tensor) -> Any:
    if m.training and torch.rand([]) < 0.5:
        x = x * random.random()
    return m.head(x)


def on_values(m: Any, x: Tensor) -> Any:
    if m.training and torch.rand([]) < 0.5:
        x = m.layers[0](x)
    return m.head(x) if x.sum() > 0 else m.head(-x)


def on_probabilities(m: Any, x: Tensor) -> Any:
    if m.training and torch.bernoulli(x.mean().sigmoid()):
        x = m.layers[0](x)
    return m.head(x)


REFUSED: list[tuple[Forward, str, str]] = [
    (normalised, "torch.rand", "changes a buffer"),
    (counted, "torch.rand", "changes a buffer"),
    (nested, "training and", "a branch lies in another one"),
    (decided_before, "training and", "matters after it"),
    (looped, "while", "a branch lies in another one"),
    (endless, "while", "more than 256 times"),
    (raising, "isnan", "on the other side, ValueError: not a number"),
    (of_other_shape, "torch.rand", "return different things"),
    (of_other_numbers, "torch.rand", "return different things"),
    (of_other_structure, "torch.rand", "return different things"),
    (read_before_and_after, "isfinite", "a value is read on"),
    (two_variables, "torch.rand", "read different values after the branch"),
    (drawn_by_python, "torch.rand", "on the other side, torch.export records the one outcome"),
    (on_values, "x.sum()", ""),
    (on_probabilities, "bernoulli", ""),
]


def drawn_number(m: Any, x: Tensor) -> Any:
    return m.head(x) if m.training and float(torch.rand(1)) < 0.5 else m.head(-x)


def drawn_layer(m: Any, x: Tensor) -> Any:
    number = torch.randint(0, 2, (1,)).item()
    return m.head(m.layers[number](x))


@pytest.mark.parametrize(("forward", "text"), [(drawn_number, "float("), (drawn_layer, "m.layers[number]")])
def test_a_draw_that_becomes_a_number_is_told_from_other_values(forward: Forward, text: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Stack(forward), (drawn(2, 4),))
    assert line_of(forward, text) in caught.value.where
    assert "a number that is drawn" in caught.value.why
    assert "if torch.rand([]) < p" in caught.value.fix


@pytest.mark.parametrize(("forward", "text", "why"), REFUSED, ids=named)
def test_sides_that_do_not_fit_are_refused(forward: Forward, text: str, why: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Stack(forward), (drawn(2, 4),))
    assert line_of(forward, text) in caught.value.where
    assert caught.value.why.startswith("a Python branch depends on the values of a tensor")
    assert why in caught.value.why
    assert (" one graph cannot hold both sides" in caught.value.why) == bool(why)
    assert "torch.where" in caught.value.fix
