"""All pruning passes: zeros of masks are zeros of files, nothing revives a weight, each criterion to the letter."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared, UserError, load, lower
from lowbit.api import deployed, passes
from lowbit.backends.compiled import zeros
from lowbit.compiler import magnitude
from lowbit.compiler.capture import capture
from lowbit.compiler.layers import MASKS
from lowbit.compiler.masks.criterion import Schedule
from lowbit.compiler.masks.placement import masks_behind
from lowbit.compiler.pipeline import run
from lowbit.compiler.sketches.sketch import build
from masked import SKETCH, STEPS, codes, full, masks, recipe, trained
from prepared import batch, custom, prepared
from torch import Tensor, nn

PRUNING = [name for name, found in passes().items() if issubclass(found.options, Schedule)]
every_pass = pytest.mark.parametrize("name", PRUNING)


@every_pass
@pytest.mark.parametrize("fold", [False, True])
def test_the_zeros_of_the_file_are_those_of_the_masks(name: str, fold: bool, tmp_path: Path) -> None:
    """On a grid of 16 bits hardly anything else is rounded to zero."""
    ours = prepared(SKETCH, recipe(name, fold=fold))
    trained(ours)
    wanted = full(ours)
    assert any(bool((mask == 0).any()) for mask in wanted.values())
    program = lower(ours)
    frozen = list(codes(deployed(ours).graph))
    for mask, integers in zip(wanted.values(), frozen, strict=True):
        assert bool((integers[mask == 0] == 0).all())
        assert int((integers[mask == 1] == 0).sum()) <= 2
    assert program.save(tmp_path / "x.lowbit")
    found = zeros(load(tmp_path / "x.lowbit").program)
    assert found == (sum(int((i == 0).sum()) for i in frozen), sum(i.numel() for i in frozen))


@every_pass
def test_nothing_revives_a_masked_weight_once_the_schedule_is_over(name: str) -> None:
    ours = prepared(SKETCH, recipe(f"{name} end = 0.5"))
    trained(ours, STEPS // 2)
    before = copy.deepcopy(masks(ours))
    weights = copy.deepcopy({name: ours.get_parameter(name) for name in full(ours)})
    trained(ours, STEPS, STEPS // 2)
    assert all(torch.equal(mask, before[name]) for name, mask in masks(ours).items())
    for name, mask in full(ours).items():
        moved = ours.get_parameter(name)[mask == 0] != weights[name][mask == 0]
        assert bool(moved.any()) or not len(moved)  # decay goes on, on values that the network does not see


@every_pass
def test_masks_survive_a_checkpoint_and_a_copy(name: str) -> None:
    """What goes on from a state, or as a copy, ends with the weights and masks of what was never stopped."""
    ours = prepared(SKETCH, recipe(f"{name} every = 3, begin = 0.1, end = 0.9"))
    plain(ours, 0, 7)
    twin, copied = prepared(SKETCH, recipe(f"{name} every = 3, begin = 0.1, end = 0.9")), copy.deepcopy(ours)
    twin.load_state_dict(ours.state_dict())
    for module in (ours, twin, copied):
        plain(module, 7, STEPS)
    for key, value in ours.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key]), key
        assert torch.equal(value, copied.state_dict()[key]), key


def plain(ours: Prepared, first: int, last: int) -> None:
    """Steps of an optimizer that has no state."""
    opt = torch.optim.SGD(ours.parameter_groups(lr=0.1))
    ours.train()
    for step in range(first, last):
        x, y = batch(SKETCH, seed=step)
        opt.zero_grad()
        F.cross_entropy(ours(x), y).backward()
        opt.step()
        ours.step()


def test_all_pruning_passes_at_once() -> None:
    """Masks stand one behind another, and the zeros of each are in the file."""
    ours = prepared(SKETCH, recipe(*PRUNING))
    trained(ours)
    for mask, integers in zip(full(ours).values(), codes(deployed(ours).graph), strict=True):
        assert bool((integers[mask == 0] == 0).all())
    kinds = {name.removeprefix(MASKS).rpartition("_")[2] for name in masks(ours) if "0.weight" in name}
    assert {"2", "3", "4"} <= kinds


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_a_later_pass_counts_the_zeros_of_an_earlier_one(scope: str) -> None:
    uses = "prune_n_of_m n = 1, m = 4, every = 1", f'schedule_pruning sparsity = 0.8, scope = "{scope}", every = 1'
    ours = prepared(SKETCH, recipe(*uses))
    trained(ours)
    wanted = full(ours)
    total, zero = sum(m.numel() for m in wanted.values()), sum(int((m == 0).sum()) for m in wanted.values())
    assert abs(zero - 0.8 * total) <= (1 if scope == "global" else len(wanted))


def test_equal_weights_are_pruned_to_the_number() -> None:
    weights = [torch.ones(10), torch.tensor([1.0, 2.0, 0.0, -1.0])]
    stay = magnitude.largest(weights, [0.5], "global")
    assert [int((~s).sum()) for s in stay] == [6, 1]
    assert stay[1].tolist() == [True, True, False, True]
    assert stay[0].tolist() == [False] * 6 + [True] * 4


def test_no_weight_is_sorted_between_two_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counting(weights: list[Tensor], share: float) -> Tensor:
        asked.append(share)
        return torch.tensor(0.0)

    monkeypatch.setattr(magnitude, "threshold", counting)
    ours = prepared(SKETCH, recipe("schedule_pruning every = 4, end = 0.8"))
    for _ in range(STEPS):
        ours.step()
    assert len(asked) == 16 // 4


def test_n_of_m_stay_along_the_input_channels() -> None:
    sketch = "input(8,6,6) conv(6,groups=2) relu tconv(8,groups=2) relu gap linear(3)"
    asked = custom(recipe("prune_n_of_m n = 1", fold=False))
    ours = Prepared(run(build(sketch), asked.prepare, STEPS).graph, asked)
    for _ in range(STEPS):
        ours.step()
    conv, turned, last = (mask for mask in full(ours).values())
    weights = [ours.get_parameter(name) for name in full(ours)]
    for mask, weight, blocks in zip((conv, last), (weights[0], weights[2]), ((6, 1, 4, 9), (3, 2, 4, 1)), strict=True):
        kept, size = mask.reshape(blocks), weight.detach().abs().reshape(blocks)
        assert torch.equal(kept.sum(2), torch.ones_like(kept.sum(2)))
        assert torch.equal((kept * size).sum(2), size.amax(2))
    assert bool((turned == 1).all())  # 3 input channels a group


def test_sparsity_follows_the_weights_behind_its_delay() -> None:
    ours = prepared(SKETCH, recipe("sparsify sigma = 0.25, begin = 0.25"))
    returned = []
    held: dict[str, Tensor] = {}

    def look(step: int) -> None:
        for name, mask in full(ours).items():
            size = ours.get_parameter(name).detach().abs()
            limit = size.mean() + 0.25 * ((size - size.mean()).square().mean()).sqrt()
            assert torch.equal(mask, (size >= limit).float() if step >= 5 else torch.ones_like(mask))
            returned.append(bool((mask > held.get(name, mask)).any()))
            held[name] = mask

    trained(ours, each=look)
    assert any(returned)


def test_surgery_has_two_thresholds_taken_once() -> None:
    ours = prepared(
        SKETCH, recipe("prune_by_surgery every = 1, begin = 0.1, end = 0.8, sigma = 0.5, low = 0.8, high = 1.2")
    )
    held = full(ours)
    spreads: dict[str, float] = {}
    between = []

    def look(step: int) -> None:
        for name, mask in full(ours).items():
            size = ours.get_parameter(name).detach().abs()
            if step == 2:
                spreads[name] = float(size.mean() + 0.5 * size.std(correction=0))
            if 2 <= step <= 16:
                below, above = size < 0.8 * spreads[name], size >= 1.2 * spreads[name]
                assert torch.equal(mask, torch.where(above, 1.0, torch.where(below, 0.0, held[name])))
                between.append((held[name][~below & ~above] == 0).any())
            else:
                assert torch.equal(mask, held[name])
            held[name] = mask

    trained(ours, each=look)
    assert any(between)


@pytest.mark.parametrize("name", ["prune_by_surgery", "sparsify"])
def test_a_threshold_above_all_weights_leaves_the_largest(name: str) -> None:
    ours = prepared(SKETCH, recipe(f"{name} sigma = 10.0, begin = 0.0"))
    trained(ours, 10)
    assert all(int(mask.sum()) == 1 for mask in full(ours).values())


@pytest.mark.parametrize("gradient", ["masked", "straight"])
def test_what_a_masked_weight_learns_from(gradient: str) -> None:
    ours = prepared(SKETCH, recipe(f'schedule_pruning gradient = "{gradient}", end = 0.0', fold=False))
    ours.step()
    x, y = batch(SKETCH)
    F.cross_entropy(ours.train()(x), y).backward()
    for name, mask in full(ours).items():
        slope = ours.get_parameter(name).grad
        assert slope is not None
        assert bool((slope[mask == 0] != 0).any()) is (gradient == "straight")
        assert bool((slope[mask == 1] != 0).any())


@pytest.mark.parametrize("name", ["schedule_pruning", "prune_units"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_mask_on_a_grid_without_a_zero_is_refused(name: str, behind: bool) -> None:
    uses = [f'{{use = "{name}"}}', '{use = "insert_fake_quant", weights = "binary", weight_bits = 1}']
    with pytest.raises(UserError, match="a pruned weight is on a grid without a zero") as caught:
        prepared(SKETCH, f"\nprepare = [{', '.join(uses[::-1] if behind else uses)}]")
    assert "pruned = false" in caught.value.fix


class Tied(nn.Module):
    """An embedding and a head with one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lin, self.head = nn.Embedding(16, 8), nn.Linear(8, 8), nn.Linear(8, 16, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.lin(self.embed(x)).relu())
        return y


@every_pass
def test_a_parameter_of_an_embedding_and_a_head_is_masked_once_and_gets_one_grid(name: str) -> None:
    graph = run(capture(Tied(), (torch.arange(12).reshape(4, 3),)), custom(recipe(name)).prepare, STEPS).graph
    scales = [str(node.target) for node in graph.fx.find_nodes(op="get_attr") if "scales.weights" in str(node.target)]
    assert scales == ["lowbit.scales.weights.embed.weight", "lowbit.scales.weights.lin.weight"]
    (embedding,) = graph.fx.find_nodes(op="call_function", target=torch.ops.aten.embedding.default)
    head = next(node for node in reversed(graph.nodes) if node.target is torch.ops.aten.linear.default)
    assert embedding.args[0] is head.args[1]
    assert masks_behind(head.args[1]) or name == "prune_units"  # outputs are no units
