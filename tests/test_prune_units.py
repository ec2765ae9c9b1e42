"""Structured pruning: coupled channels live and die together, to the number asked, and leave the program."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lowbit import Prepared, lower
from lowbit.api import deployed
from lowbit.compiler.layers import MASKS
from lowbit.testing.costs import multiplications
from masked import SKETCH, STEPS, codes, masks, recipe, trained
from prepared import batch, prepared

REMOVED = '{use = "fold_batch_norm"}, {use = "remove_dead_units"}'


@pytest.mark.parametrize(("begin", "end", "initial", "sparsity"), [(0.0, 1.0, 0.0, 0.7), (0.2, 0.6, 0.25, 0.5)])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_units_follow_the_cubic(scope: str, begin: float, end: float, initial: float, sparsity: float) -> None:
    """Coupled channels of one set: 8 units of three layers, and 8 within the block; each set, or all, to the number."""
    options = f'scope = "{scope}", begin = {begin}, end = {end}, initial = {initial}, sparsity = {sparsity}, every = 1'
    ours = prepared(SKETCH, recipe(f"prune_units {options}"))
    first, last = round(begin * STEPS), round(end * STEPS)

    def look(step: int) -> None:
        share = 0.0
        if step >= first:
            done = 1 - (1 - min(1.0, (step - first) / (last - first))) ** 3
            share = initial + (sparsity - initial) * done
        gone = [int((masks(ours)[f"{MASKS}{name}"] == 0).sum()) for name in ("0.weight", "3.branch.0.weight")]
        assert gone == [round(share * 8)] * 2 if scope == "layer" else sum(gone) == round(share * 16)
        assert _whole(ours)

    trained(ours, each=look)


def _whole(ours: Prepared) -> bool:
    """Whether the parameters of a unit live or die together: weights, biases, norm scales and shifts."""
    vectors = {name.removeprefix(MASKS): mask.flatten() for name, mask in masks(ours).items()}
    first = "3.branch.0.", "3.branch.1."
    stream = [vector for name, vector in vectors.items() if not name.startswith(first)]
    inside = [vector for name, vector in vectors.items() if name.startswith(first)]
    return all(torch.equal(group[0], vector) for group in (stream, inside) for vector in group)


RESNET = "conv(8,nobias) bn relu [ conv(8,nobias) bn relu conv(8,nobias) bn ] + relu gap linear(4)"
MOBILE = "conv(8,nobias) bn relu6 conv(24,k=1,nobias) bn relu6 conv(24,groups=24,nobias) bn relu6 conv(8,k=1,nobias) bn"
NARROW = [
    (f"input(3,8,8) {RESNET}", 0.4),
    (f"input(3,8,8) {MOBILE} gap linear(4)", 0.4),
    (
        "input(3,8,8) conv(8) relu conv(8,groups=8) relu6 conv(6,k=1) relu maxpool flatten linear(8) relu linear(4)",
        0.46,
    ),
]


@pytest.mark.parametrize(("scope", "fold"), [("layer", True), ("global", False)])
@pytest.mark.parametrize(("sketch", "most"), NARROW)
def test_pruned_units_leave_the_program(sketch: str, most: float, fold: bool, scope: str, tmp_path: Path) -> None:
    """With half of the units gone, multiplications and file shrink, and graph and program still agree."""
    own = recipe(f'prune_units sparsity = 0.5, scope = "{scope}", end = 0.0', fold=fold)
    ours = prepared(sketch, own.replace('{use = "fold_batch_norm"}', REMOVED)).eval()
    whole, before = multiplications(deployed(ours).graph), lower(ours).save(tmp_path / "whole.lowbit")
    ours.step()
    narrow = deployed(ours).graph
    assert multiplications(narrow) < most * whole
    assert lower(ours).save(tmp_path / "narrow.lowbit") < 0.6 * before
    assert not any(bool((rows == 0).flatten(1).all(1).any()) for rows in codes(narrow))
    scales = [tensor.numel() for name, tensor in narrow.state.items() if name.endswith("_scale")]
    assert not fold or set(scales) == {1}  # what is dead asks for no scale of its own
    x = batch(sketch)[0]
    given, integers = ours(x).detach(), torch.as_tensor(lower(ours).run(x)[0])
    assert float((given - integers).abs().max()) < 0.02 * float(given.abs().max())


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_one_unit_of_each_set_stays(scope: str) -> None:
    sketch = "input(3,8,8) conv(2) relu conv(3) relu conv(2) relu gap linear(4)"
    ours = prepared(sketch, recipe(f'prune_units sparsity = 0.99, scope = "{scope}", end = 0.0', fold=False))
    ours.step()
    assert [int(mask.sum()) for name, mask in masks(ours).items() if name.endswith("weight")] == [1, 1, 1]
