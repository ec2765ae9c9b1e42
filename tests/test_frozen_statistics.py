"""Norms freeze by steps: as before until then, then as in inference with statistics that stand still, to 1e-9."""

from __future__ import annotations

import copy

import pytest
import torch
from lowbit import Prepared, prepare
from lowbit.api import FLOAT, passes
from lowbit.compiler.clock import STEP
from lowbit.compiler.errors import UserError
from lowbit.compiler.facts import no_batch_norm
from lowbit.compiler.graph import arguments
from lowbit.compiler.layers import is_layer, weight_of
from lowbit.compiler.modes import evaluated
from lowbit.compiler.operators import own
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.sketch import network
from lowbit.compiler.sketches.trial import STEPS, advance
from lowbit.testing import graph as traced
from lowbit.testing.observed import rounded
from prepared import optimizer as adam
from prepared import train
from torch import Tensor, nn

FROZEN = 5
FREEZING = f"simulate_fold(freeze_statistics={FROZEN / STEPS})"
BEHIND = "schedule_pruning", "insert_fake_quant"
SKETCHES = (
    "conv(4) bn relu [ conv(4) bn relu conv(4) bn ] + relu gap linear(3)",
    "conv(3) bn conv(3) bn tied gap linear(3)",
    "[ conv(3) bn(noaffine) ] twice flatten linear(5) bn relu linear(3)",
    "input(4,8,8) tconv(6,groups=2) bn(tiny) relu bn gap linear(3)",
    "conv(4) [ conv(4) ] cat shuffle(2) bn gap linear(3)",
)
every_sketch = pytest.mark.parametrize("sketch", SKETCHES)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def trained(sketch: str, *stages: str) -> Prepared:
    """The network behind these stages, in float64."""
    return copy.deepcopy(Prepared(traced(" | ".join((sketch, *stages))), FLOAT)).train()


def batch_of(sketch: str) -> Tensor:
    shape = network(sketch)[1].shape[1:]
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def stepped(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output of a step of gradient descent, and the gradients in the order of their names."""
    module.zero_grad()
    out: Tensor = module(x)
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).double()).sum().backward()  # type: ignore[no-untyped-call]
    grads = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for name, p in module.named_parameters():
            p -= 0.01 * grads[name] / grads[name].abs().max().clamp_min(1)
    return [out.detach(), *(grads[name] for name in sorted(grads))]


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in module.named_buffers() if "running" in name}


def close(ours: Tensor, theirs: Tensor) -> bool:
    return float((ours - theirs).abs().max()) <= 1e-9 * max(1.0, float(theirs.abs().max()))


@every_sketch
def test_before_and_behind_the_step(sketch: str) -> None:
    """Outputs, gradients and statistics are those of the network, whose norms are put in eval mode at that step."""
    theirs, ours, x = network(sketch)[0].double().train(), trained(sketch, FREEZING), batch_of(sketch)
    for step in range(FROZEN + 3):
        if step == FROZEN:
            for norm in [part for part in theirs.modules() if isinstance(part, NORMS)]:
                norm.eval()
        before = statistics(ours)
        pairs = zip(stepped(ours, x + step), stepped(theirs, x + step), strict=True)
        assert all(close(mine, plain) for mine, plain in pairs), step
        after = statistics(ours)
        assert all(close(after[name], buffer) for name, buffer in statistics(theirs).items())
        assert all(torch.equal(after[name], before[name]) == (step >= FROZEN) for name in before)
        ours.step()
    assert close(ours.eval()(x).detach(), theirs.eval()(x).detach())


@every_sketch
def test_eval_mode_has_one_norm(sketch: str) -> None:
    """The graph of eval mode is that without the option: no choice, no counter, nothing is set back."""
    graphs = [trained(sketch, stage).graph for stage in (FREEZING, "simulate_fold")]
    with_choice, without = map(evaluated, graphs)
    assert STEP in graphs[0].state
    assert [node.target for node in with_choice.nodes if node.op == "call_function"] == [
        node.target for node in without.nodes if node.op == "call_function"
    ]
    assert with_choice.state.keys() == without.state.keys()


@every_sketch
def test_the_choice_needs_no_other_grids(sketch: str) -> None:
    both = [trained(sketch, stage, "insert_fake_quant").graph for stage in (FREEZING, "simulate_fold")]
    counts = [sum(node.target is own.fake_quantize.default for node in graph.nodes) for graph in both]
    assert counts[0] == counts[1]


@every_sketch
def test_codes_are_those_of_training(sketch: str) -> None:
    """Once they are frozen: what the last forward multiplied by is what is lowered, and no batch norm is left.

    Where a grid stands between layer and norm, the layer takes k back instead, and with it the sign of a channel.
    """
    ours = trained(sketch, FREEZING, *BEHIND)
    train(ours, sketch, 0, FROZEN + 3, adam(ours))
    seen = [(y / scale).round() for node, _, y, scale in rounded(ours.graph) if weight_of(node) is not None]
    ours(batch_of(sketch))  # which would move statistics that are not frozen, and with them the codes
    final = evaluated(ours.graph)
    for stage in ("freeze", "fold_batch_norm"):
        final = advance(final, stage, passes()).graph
    assert no_batch_norm.exception(final) == ""
    found = [node for node in final.nodes if node.target is own.dequantize.default and is_layer(next(iter(node.users)))]
    assert len(found) >= 2
    for node in found:
        codes = final.tensor(arguments(node)["codes"]).double()
        known = [other for other in seen if codes.shape == other.shape]
        apart = "shuffle" in sketch
        assert any(torch.equal(codes.abs(), k.abs()) if apart else torch.equal(codes, k) for k in known), node


def test_a_checkpoint_knows_the_step() -> None:
    """Training goes on bit for bit, on either side of the step."""
    for stop in (FROZEN - 1, FROZEN + 1):
        whole, first, second = (trained(SKETCHES[0], FREEZING, *BEHIND) for _ in range(3))
        train(whole, SKETCHES[0], 0, 10, adam(whole))
        train(first, SKETCHES[0], 0, stop, opt := adam(first))
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        resumed = adam(second)
        resumed.load_state_dict(copy.deepcopy(opt.state_dict()))
        train(second, SKETCHES[0], stop, 10, resumed)
        assert int(second.state_dict()[STEP]) == 10
        assert all(torch.equal(tensor, second.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_it_compiles() -> None:
    torch._dynamo.reset()
    ours, x = trained(SKETCHES[0], FREEZING), batch_of(SKETCHES[0])
    other = copy.deepcopy(ours)
    compiled = torch.compile(other, fullgraph=True, backend="aot_eager")
    for _ in range(FROZEN + 2):
        assert close(compiled(x).detach(), ours(x).detach())
        ours.step(), other.step()
        assert all(close(a, b) for a, b in zip(statistics(other).values(), statistics(ours).values(), strict=True))


def test_it_asks_for_the_length_of_the_training() -> None:
    model, x = network("conv(3) bn relu")
    stages = '{use = "simulate_fold", freeze_statistics = 0.5}, {use = "insert_fake_quant"}'
    with pytest.raises(UserError, match="how long the training is") as caught:
        prepare(model, (x,), parse(f"prepare = [{stages}]", passes()))
    assert caught.value.where == "simulate_fold.freeze_statistics"
    assert prepare(model, (x,), parse(f"prepare = [{stages.replace('0.5', '1.0')}]", passes()))
