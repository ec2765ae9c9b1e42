"""Equalization, absorption and correction of biases: what the laws of passes cannot see."""

from __future__ import annotations

import itertools

import lowbit
import pytest
import torch
from lowbit.api import deployed, lower, passes
from lowbit.compiler.capture import capture
from lowbit.compiler.correction import corrections
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.layers import is_layer, per_input, per_output
from lowbit.compiler.modes import evaluated
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import Recipe, parse
from lowbit.compiler.sketches.sketch import build, network
from lowbit.compiler.sketches.trial import trial
from lowbit.compiler.text import text
from lowbit.testing.observed import values
from torch import Tensor, nn

GRID = 'use = "insert_fake_quant"\n'
CHAIN = "conv(6) relu6 conv(6,groups=6) relu conv(4,k=1) relu maxpool flatten linear(5) relu linear(3)"
QUANTIZED = "post_training = true\n" + "".join(
    f'[[prepare]]\nuse = "{name}"\n' for name in ("fold_batch_norm", "equalize", "insert_fake_quant", "correct_bias")
)


def recipe(toml: str = QUANTIZED) -> Recipe:
    return parse(toml, passes())


def layers(graph: Graph) -> list[tuple[Tensor, Tensor]]:
    """(largest weight of each output, of each input) of every layer."""
    found = []
    for node in filter(is_layer, graph.nodes):
        weight = graph.tensor(arguments(node)["weight"]).detach()
        found.append((per_output(node, weight).abs().amax(1), per_input(node, weight).abs().amax(1)))
    return found


def test_ranges_of_a_chain_are_equal() -> None:
    found = layers(trial(f"{CHAIN} | equalize", passes()).graph)
    for (ours, _), (_, theirs) in itertools.pairwise(found):
        each = theirs.reshape(len(ours), -1).amax(1)  # a channel is several inputs behind a flatten
        torch.testing.assert_close(ours, each, rtol=0.01, atol=0)


def test_a_channel_without_weights_does_not_set_the_range() -> None:
    """What reads it is scaled down to the largest of the others, and so is what nobody reads."""
    graph = evaluated(build("conv(4,k=1) relu conv(4,k=1) relu conv(4,k=1)"))
    first, second, third = (graph.state[f"{i}.weight"].data for i in (0, 2, 4))
    first[1], second[:, 1], third[:, 2], second[2] = 0, 50.0, 0, 70.0
    graph.state["0.bias"].data[1] = -1.0
    equal = lowbit.compiler.pipeline.run(graph, recipe('[[prepare]]\nuse = "equalize"\n').prepare).graph
    for (old,), (new,) in [(values(graph), values(equal))]:
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-9)
    for outputs, inputs in layers(equal):
        assert float(outputs.max()) < 6
        assert float(inputs.max()) < 6


def test_a_constant_is_not_scaled_beyond_the_largest_bias() -> None:
    graph = evaluated(build("conv(4,k=1) relu conv(4,k=1)"))
    graph.state["0.weight"].data[1] = 0
    graph.state["2.weight"].data[:, 1] = 50.0
    graph.state["0.bias"].data.copy_(torch.tensor([0.5, 0.25, 0.1, -3.0]))
    equal = lowbit.compiler.pipeline.run(graph, recipe('[[prepare]]\nuse = "equalize"\n').prepare).graph
    bias = next(tensor for name, tensor in equal.state.items() if name.endswith("equalized_bias"))
    torch.testing.assert_close(bias[1], torch.tensor(0.5, dtype=torch.float64))


def test_limits_are_kept_or_dropped() -> None:
    kept = trial("conv(4) relu6 conv(4) | equalize", passes()).graph
    dropped = trial('conv(4) relu6 conv(4) | equalize(clip="drop")', passes()).graph
    assert "clamp_max" in text(kept)
    assert "hardtanh" not in text(kept)
    assert not any(word in text(dropped) for word in ("clamp", "hardtanh"))


def test_limits_move_once_more() -> None:
    """A graph whose limits are one a channel already, as after an equalization of other weights."""
    graph = trial("conv(4) relu6 conv(4,groups=4) relu conv(3) | equalize", passes()).graph
    for name, tensor in graph.state.items():
        if name.startswith("0.") and tensor.dim() == 4:
            tensor.data.mul_(torch.tensor([1.0, 8, 64, 512], dtype=tensor.dtype).reshape(-1, 1, 1, 1))
    again = lowbit.compiler.pipeline.run(graph, recipe('[[prepare]]\nuse = "equalize"\n').prepare)
    assert {event.rule for event in again.ledger[0].events if event.fired} == {"equalize/scale", "equalize/limit"}
    torch.testing.assert_close(values(again.graph), values(graph), rtol=1e-9, atol=1e-9)


def test_a_model_with_two_graphs_is_sent_to_post_training() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.b(torch.relu(self.a(x if self.training else 2 * x)))
            return y

    plain = recipe('[[prepare]]\nuse = "equalize"\n')
    graph = capture(Two(), (torch.randn(3, 4),))
    with pytest.raises(UserError, match="one graph for both modes, as post_training = true makes"):
        lowbit.compiler.pipeline.run(graph, plain.prepare)
    after = recipe('post_training = true\n[[prepare]]\nuse = "equalize"\n')
    assert lowbit.compiler.pipeline.run(after.first(graph), after.prepare).ledger[0].fired


def float_and_rounded(sketch: str, batches: int) -> tuple[Prepared, Tensor, Tensor, list[Tensor]]:
    """(prepared, its float means, its own means, per channel of the output) over the calibration data."""
    model, _ = network(sketch)
    generator = torch.Generator().manual_seed(3)
    data = [torch.randn(size, 3, 8, 8, generator=generator) for size in range(8, 8 + batches)]
    ours = lowbit.prepare(model, (data[0],), recipe(QUANTIZED.replace(GRID, f"{GRID}weight_bits = 3\n")))
    lowbit.calibrate(ours, data)
    x = torch.cat(data)
    with torch.no_grad():
        return ours, model.eval()(x).mean((0, 2, 3)), ours.eval()(x).mean((0, 2, 3)), data


def test_means_are_those_of_float() -> None:
    sketch = "conv(6) bn relu6 conv(6,groups=6) bn relu conv(4,k=1)"
    ours, wanted, found, data = float_and_rounded(sketch, 1)
    graph = ours.graph
    assert len(corrections(graph)) == 3
    for buffer in corrections(graph).values():
        with torch.no_grad():
            graph.tensor(buffer).zero_()
    with torch.no_grad():
        uncorrected = ours(torch.cat(data)).mean((0, 2, 3))
    assert float((uncorrected - wanted).abs().max()) > 20 * float((found - wanted).abs().max())


def test_batches_count_by_their_size() -> None:
    """The average over batches is near what one batch of all of them gives."""
    _, wanted, found, _ = float_and_rounded("conv(6) bn relu conv(6,groups=6) bn relu conv(4,k=1)", 4)
    assert float((found - wanted).abs().max()) < 0.01 * float(wanted.abs().max())


def test_calibrating_twice_is_calibrating_once() -> None:
    ours, _, _, data = float_and_rounded("conv(6) bn relu conv(4,k=1)", 2)
    first = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    lowbit.calibrate(ours, data)
    torch.testing.assert_close(dict(ours.state_dict()), first, rtol=0, atol=0)


def test_progress_is_told() -> None:
    told: list[tuple[str, int]] = []
    ours, _, _, data = float_and_rounded("conv(6) bn relu conv(4,k=1)", 3)
    lowbit.calibrate(ours, data, lambda stage, done: told.append((stage, done)))
    assert told == [(stage, done) for stage in ("calibrating", "correcting biases") for done in (1, 2, 3)]


def test_corrections_and_limits_become_integers() -> None:
    """The integer program is as near to the prepared model as one step of the last grid."""
    ours, _, _, data = float_and_rounded("conv(6) bn relu6 conv(6,groups=6) bn relu6 conv(4,k=1)", 2)
    compiled = lower(ours)
    assert "clamp" in [step.op for step in compiled.program.steps]
    graph = deployed(ours).graph
    assert all(float(graph.tensor(node).abs().max()) > 0 for node in corrections(graph).values())
    x = torch.cat(data)
    with torch.no_grad():
        wanted = ours.eval()(x)
    (found,) = compiled.run(x)
    assert float((torch.as_tensor(found) - wanted).abs().max()) < 0.03 * float(wanted.abs().max())
    assert all(comparison.equal for comparison in lowbit.check(compiled, *compiled.quantize(x[:3])))


def test_an_activation_holds_no_more_than_it_needs() -> None:
    """The largest value of an absorbed channel falls by what it never went below."""
    model, x = network("conv(8,k=1) bn relu conv(4,k=1)")
    with torch.no_grad():
        model[1].weight.fill_(0.1)  # type: ignore[index,operator,union-attr]
        model[1].bias.fill_(5.0)  # type: ignore[index,operator,union-attr]
    graph = evaluated(capture(model.double(), (x.double(),), verify=False))
    absorbed = lowbit.compiler.pipeline.run(graph, recipe('[[prepare]]\nuse = "absorb_bias"\n').prepare).graph
    moved = next(tensor for name, tensor in absorbed.state.items() if name.endswith("absorbed_bias"))
    torch.testing.assert_close(moved.detach(), torch.full((8,), 0.3, dtype=torch.float64))
    assert "absorbing_bias" in text(absorbed)


def test_nothing_is_absorbed_from_statistics_of_the_batch() -> None:
    """Neither half of the move may be made alone."""
    graph = build("conv(8,k=1) bn relu conv(4,k=1)")
    bias = next(name for name in graph.state if name.startswith("1.") and name.endswith("bias"))
    graph.state[bias].data.fill_(5.0)
    result = lowbit.compiler.pipeline.run(graph, recipe('[[prepare]]\nuse = "absorb_bias"\n').prepare)
    assert result.ledger[0].fired == 0
    assert all(map(torch.equal, values(graph), values(result.graph)))
