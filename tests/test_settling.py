"""Weights that settle: the proximal step is its closed form, changes no output, and ends on the grid."""

from __future__ import annotations

import pytest
import torch
from prepared import STEPS, batch, optimizer, prepared, train
from torch import Tensor

PLAIN, NORMS = "conv(4) relu gap linear(3)", "conv(4) bn relu conv(4,nobias) bn relu gap linear(3)"
FOLDED = '{use = "simulate_fold"}, {use = "schedule_pruning", sparsity = 0.5, begin = 0.0, end = 0.0}, '
STRAIGHT = FOLDED.replace("end = 0.0", 'end = 0.0, gradient = "straight"')
SKETCHES = [(PLAIN, ""), (NORMS, FOLDED), (NORMS, STRAIGHT), (NORMS, "")]
every_sketch = pytest.mark.parametrize(("sketch", "before"), SKETCHES)


def recipe(before: str, options: str = "") -> str:
    grids = '{use = "insert_fake_quant", weight_bits = 3, per_channel = true}'
    return f'\nprepare = [{before}{grids}, {{use = "attach_msqe"}}, {{use = "settle_weights"{options}}}]'


def _masks(ours: torch.nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("lowbit.masks."): b.clone() for name, b in ours.named_buffers() if "lowbit.masks" in name}


def _weights(ours: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in ours.named_parameters() if name.endswith("weight") and p.dim() > 1}


@every_sketch
def test_a_step_is_its_share_of_the_way(sketch: str, before: str) -> None:
    """Twice from the same weights: by c, and all the way."""
    half, whole = (
        prepared(sketch, recipe(before, f", begin = 0.0, end = {end}"), torch.float64) for end in (2 / STEPS, 0.0)
    )
    for ours in (half, whole):
        ours(batch(sketch)[0].double())
    start = _weights(half)
    half.step(), whole.step()
    assert any(not torch.equal(w, start[name]) for name, w in _weights(whole).items())
    for name, w in _weights(half).items():
        expected = start[name] + (_weights(whole)[name] - start[name]) / 2
        assert torch.allclose(w, expected, rtol=0, atol=1e-15)


@every_sketch
def test_what_has_settled_lies_on_its_grid_and_computes_the_same(sketch: str, before: str) -> None:
    ours = prepared(sketch, recipe(before, ", begin = 0.0, end = 0.0"), torch.float64)
    first, start, x = ours.penalties()["msqe_weights"], _weights(ours), batch(sketch)[0].double()
    ours.step()  # by the masks of before, and sets new ones
    pruned = _masks(ours)
    assert ours.penalties()["msqe_weights"] <= 1e-24 < 1e-6 < first
    outputs, settled = ours.eval()(x), _weights(ours)
    ours.step()
    assert torch.allclose(ours(x), outputs, rtol=0, atol=1e-13)
    assert all(torch.allclose(w, settled[name], rtol=0, atol=1e-13) for name, w in _weights(ours).items())
    assert any(not torch.equal(w, start[name]) for name, w in settled.items())
    assert all(torch.equal(mask, pruned[name]) for name, mask in _masks(ours).items())


def test_what_is_masked_keeps_its_value() -> None:
    ours = prepared(NORMS, recipe(FOLDED, ", begin = 0.5, end = 0.5"), torch.float64)
    for _ in range(STEPS // 2 - 1):
        ours.step()
    start = _weights(ours)
    ours.step()
    for name, mask in _masks(ours).items():
        assert 0 < mask.mean() < 1
        assert torch.equal(_weights(ours)[name] * (1 - mask), start[name] * (1 - mask))
        assert not torch.equal(_weights(ours)[name], start[name])


def test_weights_move_from_its_beginning_on() -> None:
    """The ramp is even: c is 0 at `begin` and 1 at `end`; without another force on them nothing moves before."""
    ours = prepared(PLAIN, recipe("", ", begin = 0.5"), torch.float64)
    left = []
    for _ in range(STEPS):
        before = ours.penalties()["msqe_weights"]
        ours.step()
        left.append((ours.penalties()["msqe_weights"] / before) ** 0.5 if before > 1e-30 else 0.0)
    expected = [1 - max(0.0, (step - STEPS / 2) / (STEPS / 2)) for step in range(1, STEPS + 1)]
    assert left == pytest.approx(expected, abs=1e-9)


def test_a_layer_that_is_left_out_stays_as_it_is() -> None:
    whole = recipe("", ", begin = 0.0, end = 0.0")
    ours = prepared(PLAIN, whole.replace("end = 0.0", 'end = 0.0, layers = {"0" = {settled = false}}'))
    start = _weights(ours)
    ours.step()
    moved = [name for name, w in _weights(ours).items() if not torch.equal(w, start[name])]
    assert moved
    assert moved == [name for name in start if name != "0.weight"]


@pytest.mark.parametrize("quantizer", ["lsq", "power_of_two"])
def test_it_goes_with_any_quantizer_of_weights_as_they_are(quantizer: str) -> None:
    use = recipe("").replace("weight_bits", f'weights = "{quantizer}", weight_bits')
    ours = prepared(NORMS, use.replace(", per_channel = true", ""))
    first = ours.penalties()["msqe_weights"]
    train(ours, NORMS, 0, STEPS, optimizer(ours))
    assert ours.penalties()["msqe_weights"] < 1e-6 * first
