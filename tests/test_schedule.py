"""Pruning: masks follow the cubic schedule to exactly the sparsity asked for, and stay as they are behind its end."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest
import torch
from lowbit import Prepared, prepare
from lowbit.compiler.errors import UserError
from lowbit.compiler.sketches.sketch import network
from prepared import STEPS, batch, custom, optimizer, prepared, train
from torch import Tensor

SKETCH = "conv(4) bn relu gap linear(3)"
SETTINGS = [
    (0.8, 0.0, 0.5, 1, 0.0),
    (0.5, 0.25, 1.0, 3, 0.3),
    (0.9, 0.5, 0.5, 10, 0.2),
    (0.0, 0.0, 1.0, 2, 0.0),
    (0.6, 0.0, 0.0, 7, 0.6),
]
scopes = pytest.mark.parametrize("scope", ["global", "layer"])
schedules = pytest.mark.parametrize(("sparsity", "begin", "end", "every", "initial"), SETTINGS)


def recipe(scope: str, sparsity: float, begin: float, end: float, every: int, initial: float) -> str:
    numbers = f"sparsity = {sparsity}, initial = {initial}, begin = {begin}, end = {end}, every = {every}"
    return f'''
        prepare = [{{use = "schedule_pruning", scope = "{scope}", {numbers}}}, {{use = "insert_fake_quant"}}]'''


def masks(ours: Prepared) -> list[Tensor]:
    return [buffer for name, buffer in ours.named_buffers() if name.startswith("lowbit.masks.")]


def weights(ours: Prepared) -> list[Tensor]:
    return [ours.get_parameter("0.weight"), ours.get_parameter("4.1.weight")]


def asked(step: int, sparsity: float, begin: float, end: float, every: int, initial: float) -> Fraction | None:
    """s(t) in exact fractions: of the last step that set the masks, None before the first."""
    first, last = round(begin * STEPS), max(1, round(end * STEPS))
    set_at = [t for t in range(1, step + 1) if first <= t <= last and (t % every == 0 or t == last)]
    if not set_at:
        return None
    left = 1 - Fraction(set_at[-1] - first, last - first) if last > first else Fraction(0)
    return Fraction(initial) + (Fraction(sparsity) - Fraction(initial)) * (1 - left**3)


def zeros(tensors: list[Tensor]) -> int:
    return sum(int((mask == 0).sum()) for mask in tensors)


@scopes
@schedules
def test_masks_follow_the_cubic(
    scope: str, sparsity: float, begin: float, end: float, every: int, initial: float
) -> None:
    """After each step as many zeros as the closed form asks for, and they are the smallest weights there were."""
    ours = prepared(SKETCH, recipe(scope, sparsity, begin, end, every, initial))
    held: list[list[Tensor]] = [copy.deepcopy(masks(ours))]

    def look(step: int) -> None:
        share = asked(step + 1, sparsity, begin, end, every, initial)
        groups = [masks(ours)] if scope == "global" else [[mask] for mask in masks(ours)]
        for group in groups:
            assert zeros(group) == (0 if share is None else round(float(share) * sum(mask.numel() for mask in group)))
        if asked(step + 1, sparsity, begin, end, every, initial) == asked(step, sparsity, begin, end, every, initial):
            assert all(torch.equal(a, b) for a, b in zip(masks(ours), held[0], strict=True))
        held[0] = copy.deepcopy(masks(ours))

    train(ours, SKETCH, 0, STEPS + 5, optimizer(ours), look)


@schedules
def test_the_smallest_weights_are_masked(sparsity: float, begin: float, end: float, every: int, initial: float) -> None:
    ours = prepared(SKETCH, recipe("global", sparsity, begin, end, every, initial))
    train(ours, SKETCH, 0, max(1, round(end * STEPS)), optimizer(ours))
    magnitudes = torch.cat([w.detach().abs().flatten() for w in weights(ours)])
    kept = torch.cat([mask.flatten() for mask in masks(ours)]) == 1
    if sparsity:
        assert float(magnitudes[~kept].max()) < float(magnitudes[kept].min())
    assert set(torch.cat([mask.flatten() for mask in masks(ours)]).tolist()) <= {0.0, 1.0}


def test_a_masked_weight_is_zero_for_the_network_and_keeps_its_value() -> None:
    ours = prepared(SKETCH, recipe("global", 0.8, 0.0, 0.5, 1, 0.0))
    train(ours, SKETCH, 0, STEPS, optimizer(ours))
    ours.eval()
    x, expected = batch(SKETCH)[0], ours(batch(SKETCH)[0])
    for weight, mask in zip(weights(ours), masks(ours), strict=True):
        assert bool((weight[mask == 0] != 0).any())
        with torch.no_grad():
            weight.mul_(mask)
    assert torch.equal(ours(x), expected)


def test_a_schedule_asks_for_the_length_of_the_training() -> None:
    model, x = network(SKETCH)
    with pytest.raises(UserError, match="how long the training is"):
        prepare(model, (x,), custom(recipe("global", 0.5, 0.0, 1.0, 1, 0.0)))


def test_other_layers_other_sparsities() -> None:
    own = '{use = "schedule_pruning", scope = "layer", sparsity = 0.5, layers."4.1" = {sparsity = 0.25}}'
    ours = prepared(SKETCH, f'\nprepare = [{own}, {{use = "insert_fake_quant"}}]')
    train(ours, SKETCH, 0, STEPS, optimizer(ours))
    assert [zeros([mask]) for mask in masks(ours)] == [round(108 * 0.5), round(12 * 0.25)]
