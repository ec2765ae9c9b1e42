"""Branches on draws and on checks for finite numbers: a graph of both sides does what the module does."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import lowbit
import pytest
import torch
import torch.nn.functional as F
from captured import tensors, twins
from decided import BOTH, CHECKED, DRAWN, dense, other_weight, skipped
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.asides import drawing_alike
from lowbit.compiler.graph import is_random, origin
from lowbit.compiler.modes import evaluated
from parts import line_of
from stacks import Forward, Stack, drawn, named
from torch import Tensor, nn

SEEDS = range(20)


def step(module: nn.Module, x: Tensor, seed: int) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Outputs and gradients of a training step; a layer that did not run has gradients of zero."""
    module.train().zero_grad()
    torch.manual_seed(seed)
    out = tensors(module(x.clone()))
    sum((part * (i + 1)).sin().sum() for i, part in enumerate(out)).backward()  # type: ignore[union-attr]
    grads = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in module.named_parameters()}
    return [part.detach() for part in out], grads


def exact(module: nn.Module, ours: nn.Module, batches: Sequence[Tensor], rounding: float) -> None:
    """At each seed, and in eval mode; in training both outcomes of a draw are seen.

    rounding: of gradients that are sums, which may be added in another order.
    """
    outcomes = set()
    for seed in SEEDS:
        x = batches[seed % len(batches)]
        outcomes.add(tuple(step(ours, batches[0], seed)[0][0].flatten().tolist()))
        (theirs, wanted), (mine, found) = step(module, x, seed), step(ours, x, seed)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        torch.testing.assert_close(found, wanted, rtol=rounding, atol=rounding)
    assert (len(outcomes) > 1) == any(is_random(node) for node in ours.graph.nodes)
    with torch.no_grad():
        theirs, mine = (tensors(one.eval()(batches[0].clone())) for one in (module, ours))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


BATCHES = (drawn(3, 4), drawn(5, 4), drawn(1, 4))
WILD = torch.tensor([[1.0, torch.inf, 2.0, -1.0], [0.5, 1.0, torch.nan, 3.0], [1.0, 2.0, 3.0, 4.0]])


@pytest.mark.parametrize("forward", [*DRAWN, *CHECKED, *BOTH], ids=named)
def test_each_forward_decides_anew(forward: Forward) -> None:
    exact(*twins(Stack(forward, 2), (drawn(2, 4),), verify=False), BATCHES, 1e-5 if forward is dense else 0.0)


@pytest.mark.parametrize("forward", [*CHECKED, *BOTH], ids=named)
def test_what_is_not_finite_takes_the_other_side(forward: Forward) -> None:
    module, ours = twins(Stack(forward, layer=nn.Identity), (drawn(2, 4),), verify=False)
    for seed in SEEDS:
        theirs, mine = step(module, WILD, seed), step(ours, WILD, seed)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)
    infinite = WILD.nan_to_num(0.0, torch.inf)
    assert forward in BOTH or step(ours, infinite, 0)[0][0].isfinite().all()


class Dropped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.lin(x), 0.5, self.training) + torch.rand_like(x) * self.training


def test_draws_of_a_skipped_layer_move_the_stream_alone() -> None:
    module, ours = twins(Stack(skipped, 3, Dropped), (drawn(2, 4),))  # which compared them at two seeds
    x, differ = drawn(3, 4), 0
    alike = drawing_alike(capture(copy.deepcopy(module), (drawn(2, 4),))).module()
    alike.load_state_dict(ours.state_dict(), strict=False)  # a graph without a use for every buffer
    for seed in SEEDS:
        (theirs,), _ = step(module, x, seed)
        (mine,), _ = step(ours, x, seed)
        torch.manual_seed(seed)
        torch.testing.assert_close(alike(x)[0][0], theirs, rtol=0, atol=0)
        differ += not torch.equal(mine, theirs)
    assert 0 < differ < len(SEEDS)  # equal where no layer was skipped


def test_eval_mode_decides_nothing_that_the_model_does_not() -> None:
    graph = capture(Stack(skipped), (drawn(2, 4),), verify=False)
    assert not any(is_random(node) for node in evaluated(graph).nodes)
    assert any(is_random(node) for node in graph.nodes)


def test_choices_know_the_line_of_the_branch() -> None:
    graph = capture(Stack(skipped), (drawn(2, 4),))
    choices = [node for node in graph.nodes if node.target is torch.ops.aten.where.self]
    assert len(choices) == 2
    line = line_of(skipped, "torch.rand").rpartition("/")[2]
    assert all(origin(node).source.startswith(line) for node in choices)
    assert all(origin(node).trail == ("both sides of a branch",) for node in choices)


def test_a_weight_is_read_by_the_layer() -> None:
    graph = capture(Stack(other_weight), (drawn(2, 4),))
    layers = [node for node in graph.nodes if node.target is torch.ops.aten.linear.default]
    assert [str(node.args[1]) for node in layers if node.args[1].op != "get_attr"] == []
    assert len(layers) == 3


def exports(monkeypatch: pytest.MonkeyPatch, module: nn.Module) -> int:
    kept, calls = torch.export.export, []
    monkeypatch.setattr(torch.export, "export", lambda *args, **kwargs: calls.append(1) or kept(*args, **kwargs))
    capture(module, (drawn(2, 4),))
    return len(calls)


def test_a_model_without_such_branches_is_exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert exports(monkeypatch, Stack(lambda m, x: m.head(m.layers[0](x)))) == 1


def test_each_decision_costs_one_export(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, ordinary, all_at_once, eval_mode = 1, 1, 1, 1
    assert exports(monkeypatch, Stack(skipped, 4)) == refused + ordinary + 4 + all_at_once + eval_mode


def test_it_is_prepared_trained_and_lowered() -> None:
    torch.manual_seed(0)
    module = Stack(skipped)
    prepared = lowbit.prepare(module, (drawn(8, 4),), "choi2020", steps=4)
    optimizer = torch.optim.SGD(prepared.parameters(), 0.01)
    for _ in range(4):
        optimizer.zero_grad()
        (prepared(drawn(8, 4)).square().sum() + prepared.regularization()).backward()
        optimizer.step()
        prepared.step()
    assert lowbit.lower(prepared.eval()) is not None
