"""Batch norms where other toolchains go wrong: folded, and trained with the fold simulated, to 1e-9 in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cache

import pytest
import torch
from captured import tensors
from lowbit.api import FLOAT, passes
from lowbit.compiler.capture import capture
from lowbit.compiler.facts import no_batch_norm
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.modes import evaluated
from lowbit.compiler.operators import aten
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.sketches.sketch import network
from lowbit.compiler.sketches.trial import advance
from lowbit.compiler.sketches.vocabulary import Frozen
from torch import Tensor, nn

SKETCHES = (
    "linear(5) bn",
    "linear(5,nobias) bn relu linear(3) bn(noaffine)",
    "conv(4,nobias) bn",
    "conv(4) bn(noaffine)",
    "conv(4) bn(eps=0.001) relu6",
    "conv(4) bn(tiny)",
    "conv(4) bn(huge)",
    "conv(4) bn bn",
    "conv(4) bn bn(huge) bn(tiny)",
    "conv(3) bn conv(3) bn tied",
    "[ conv(3) bn ] twice",
    "conv(3) [ bn ] +",
    "conv(4) bn [ relu ] +",
    "conv(4) [ id ] + bn",
    "conv(4) bn(eval) conv(4) bn",
    "bn conv(4)",
    "bn conv(4,pad=0)",
    "bn tconv(4,pad=0)",
    "bn(noaffine) conv(6,groups=3,pad=0)",
    "bn linear(4)",
    "bn flatten linear(4) bn",
    "bn bn",
    "maxpool bn conv(4,pad=0)",
    "conv(4) avgpool bn",
    "gap flatten bn linear(3)",
    "conv(4) gap flatten bn",
    "conv(5,k=8,pad=0) flatten bn",
    "linear(12) dropout bn",
    "input(4,8,8) conv(8,groups=4) bn conv(8,groups=8) bn",
    "input(4,8,8) tconv(6,groups=2) bn",
    "input(4,8,8) tconv(4,groups=4,stride=2,nobias) bn",
    "input(4,9) conv(6) bn tconv(4,stride=2) bn",
    "input(2,5,6,7) conv(4,stride=2) bn tconv(3) bn",
    "conv(4) [ conv(4) ] cat bn",
    "[ conv(4) bn ] cat bn relu conv(4)",
    "[ conv(4) ] cat [ conv(2,k=1) ] cat bn(noaffine) bn",
    "input(4,8,8) conv(6) shuffle(3) bn",
    "conv(6) halves bn",
    "rows mix(5) swap bn",
    "rows mix(5) bn",
    "rows mix(3) bn",
    "rows swap mix(5) bn mix(2)",
    "input(1,8,8) conv(1,k=1,nobias) bn",
    "conv(4) pad bn",
)
"""As text; see `lowbit.compiler.sketches.sketch`."""


def _conv(**options: object) -> nn.Conv2d:
    return nn.Conv2d(3, 4, 3, **options)  # type: ignore[arg-type]


def _norm(norm: nn.Module, gamma: float | None = None) -> nn.Module:
    """With parameters and statistics away from their defaults; the first two weights as told."""
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)  # type: ignore[arg-type]
    nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    if gamma is not None:
        nn.init.constant_(norm.weight[:2], gamma)  # type: ignore[index]
    return norm


class Calls(nn.Module):
    """Modules by name, and a function of them and the input."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _in_two(m: nn.Module, x: Tensor) -> Tensor:
    a, b = m.conv(x).chunk(2, dim=1)  # type: ignore[operator]
    return torch.cat([m.norm(a), b * 2], dim=1)  # type: ignore[operator]


def _two_norms_of_one(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)  # type: ignore[operator]
    return m.norm(y) + m.other(y)  # type: ignore[operator]


def _two_norms_of_one_weight(m: nn.Module, x: Tensor) -> Tensor:
    return m.norm(m.conv(x)) + m.other(m.conv(x * 2))  # type: ignore[operator]


def _one_norm_of_two(m: nn.Module, x: Tensor) -> Tensor:
    return m.norm(m.conv(x)) + m.norm(m.conv2(x))  # type: ignore[operator]


def _written_shuffle(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x)  # type: ignore[operator]
    return m.norm(y.view(y.shape[0], 2, 2, *y.shape[2:]).transpose(1, 2).reshape(y.shape))  # type: ignore[operator]


def _channels_last(m: nn.Module, x: Tensor) -> Tensor:
    y = m.conv(x).permute(0, 2, 3, 1)  # type: ignore[operator]
    return m.norm(y.reshape(-1, y.shape[-1]))  # type: ignore[operator]


def _normed(m: nn.Module, x: Tensor) -> Tensor:
    return m.norm(m.conv(x))  # type: ignore[operator]


def _weight_read_elsewhere(m: nn.Module, x: Tensor) -> Tensor:
    return m.norm(m.conv(x)) * m.conv.weight.square().mean()  # type: ignore[operator,union-attr]


def _computed_weight(m: nn.Module, x: Tensor) -> Tensor:
    return m.norm(nn.functional.conv2d(x, m.conv.weight * 0.5, m.conv.bias))  # type: ignore[operator,union-attr]


def _frozen() -> nn.Module:
    return Frozen(_norm(nn.BatchNorm2d(4)))


def _batch_norm(**options: object) -> nn.Module:
    return nn.BatchNorm2d(4, **options)  # type: ignore[arg-type]


MODELS: Mapping[str, Callable[[], nn.Module]] = {
    "padding_mode reflect": lambda: Calls(_normed, conv=_conv(padding=1, padding_mode="reflect"), norm=_batch_norm()),
    "padding in words": lambda: Calls(_normed, conv=_conv(padding="same", dilation=2), norm=_norm(_batch_norm())),
    "dilated, strided, unevenly padded": lambda: Calls(
        _normed, conv=_conv(stride=(2, 1), padding=(2, 0), dilation=(1, 2)), norm=_norm(_batch_norm())
    ),
    "transposed with an output padding": lambda: Calls(
        _normed, conv=nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=1, dilation=2), norm=_norm(_batch_norm())
    ),
    "momentum None": lambda: Calls(_normed, conv=_conv(), norm=Frozen(_norm(_batch_norm(momentum=None)))),
    "momentum 1 and a large eps": lambda: Calls(_normed, conv=_conv(), norm=_batch_norm(momentum=1.0, eps=1.0)),
    "a gamma of zero": lambda: Calls(_normed, conv=_conv(), norm=_norm(_batch_norm(), 0.0)),
    "a gamma of minus zero": lambda: Calls(_normed, conv=_conv(bias=False), norm=_norm(_batch_norm(), -0.0)),
    "a negative gamma": lambda: Calls(_normed, conv=_conv(), norm=_norm(_batch_norm(), -1.5)),
    "a gamma that is next to nothing": lambda: Calls(_normed, conv=_conv(), norm=_norm(_batch_norm(), -1e-12)),
    "frozen in a model that trains": lambda: Calls(_normed, conv=_conv(), norm=_frozen()),
    "half of the channels": lambda: Calls(_in_two, conv=_conv(), norm=_norm(nn.BatchNorm2d(2))),
    "two norms of one convolution": lambda: Calls(
        _two_norms_of_one, conv=_conv(), norm=_norm(_batch_norm()), other=_norm(_batch_norm())
    ),
    "two norms of one weight": lambda: Calls(
        _two_norms_of_one_weight, conv=_conv(), norm=_norm(_batch_norm()), other=_norm(_batch_norm())
    ),
    "one norm of two convolutions": lambda: Calls(
        _one_norm_of_two, conv=_conv(), conv2=_conv(bias=False), norm=_norm(_batch_norm())
    ),
    "a shuffle that is written out": lambda: Calls(_written_shuffle, conv=_conv(), norm=_norm(_batch_norm())),
    "channels last, as rows": lambda: Calls(_channels_last, conv=_conv(), norm=_norm(nn.BatchNorm1d(4))),
    "a weight that is read elsewhere": lambda: Calls(_weight_read_elsewhere, conv=_conv(), norm=_norm(_batch_norm())),
    "a weight that is computed": lambda: Calls(_computed_weight, conv=_conv(), norm=_norm(_batch_norm())),
}
every_shape = pytest.mark.parametrize("shape", [*SKETCHES, *MODELS])


@cache
def captured(shape: str) -> tuple[Graph, Tensor]:
    """The captured graph of a shape and a batch for it, in float64."""
    if shape in SKETCHES:
        model, x = network(shape)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, x = MODELS[shape](), torch.randn(2, 3, 8, 8)
    x = torch.randn(6, *x.shape[1:], generator=torch.Generator().manual_seed(1)).double()
    return capture(model.double(), (x,), verify=False), x


def close(ours: Tensor, theirs: Tensor) -> bool:
    ours, theirs = ours.detach(), theirs.detach()
    return float((ours - theirs).abs().max()) <= 1e-9 * max(1.0, float(theirs.abs().max()))


def test_there_are_many_shapes() -> None:
    assert len({*SKETCHES, *MODELS}) >= 60


@every_shape
def test_eval(shape: str) -> None:
    """Folded, there is no batch norm, no more multiplications than before, and the outputs are the same."""
    graph, x = captured(shape)
    before = evaluated(graph)
    for start in (before, evaluated(advance(graph, "simulate_fold", passes()).graph)):
        folded = advance(start, "fold_batch_norm", passes()).graph
        assert no_batch_norm.exception(folded) == ""
        assert not [node for node in folded.nodes if node.target is aten.batch_norm.default]
        with torch.no_grad():
            for ours, theirs in zip(folded.module()(x)[0], before.module()(x)[0], strict=True):
                assert close(ours, theirs)


@pytest.mark.parametrize("shape", ["channels last, as rows", "a shuffle that is written out", "half of the channels"])
def test_moved_values_leave_no_multiply_add(shape: str) -> None:
    folded = advance(evaluated(captured(shape)[0]), "fold_batch_norm", passes()).graph
    assert not [node for node in folded.nodes if node.target is aten.addcmul.default]


@every_shape
def test_training(shape: str) -> None:
    """With the fold simulated: outputs, gradients and statistics of three steps, and the outputs in eval mode."""
    graph, x = captured(shape)
    plain, ours = (
        Prepared(copy.deepcopy(given), FLOAT) for given in (graph, advance(graph, "simulate_fold", passes()).graph)
    )
    for batch in (x, x + 0.5, x * 2):
        for theirs, mine in zip(_step(plain, batch), _step(ours, batch), strict=True):
            assert close(mine, theirs)
    state = plain.state_dict()
    assert all(
        close(tensor.double(), state[name].double()) for name, tensor in ours.state_dict().items() if name in state
    )
    with torch.no_grad():
        for mine, theirs in zip(tensors(ours.eval()(x)), tensors(plain.eval()(x)), strict=True):
            assert close(mine, theirs)


def _step(module: Prepared, batch: Tensor) -> list[Tensor]:
    """The outputs of a step of gradient descent, and the gradients."""
    module.train().zero_grad()
    torch.manual_seed(0)
    outputs = tensors(module(batch))
    loss: Tensor = sum((out * torch.randn_like(out)).sum() for out in outputs)  # type: ignore[assignment]
    loss.backward()
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    with torch.no_grad():
        for p in module.parameters():
            if p.grad is not None:
                p -= 0.01 * p.grad / p.grad.abs().max().clamp_min(1)
    return [*outputs, *grads]


@pytest.mark.parametrize("shape", [shape for shape in [*SKETCHES, *MODELS] if shape != "a weight that is computed"])
def test_codes_are_those_of_training(shape: str) -> None:
    """Frozen and folded, the codes that training saw are there, and no batch norm; the outputs are the same.

    Of two norms in a row the first is simulated: the second may turn the signs of a channel. So may the division by k
    where a grid in between keeps the norm from its layer.
    """
    graph, x = captured(shape)
    line = "normalize", "simulate_fold", "insert_fake_quant(weight_bits=4, activation_bits=16, output_bits=16)"
    for stage in line:
        graph = advance(graph, stage, passes()).graph
    frozen = advance(evaluated(graph), "freeze", passes()).graph
    folded = advance(frozen, "fold_batch_norm", passes()).graph
    assert no_batch_norm.exception(folded) == ""
    assert not [node for node in folded.nodes if node.target is torch.ops.lowbit.norm_factor.default]
    with torch.no_grad():
        for ours, theirs in zip(folded.module()(x)[0], frozen.module()(x)[0], strict=True):
            assert close(ours, theirs)
    turned = "bn bn" in shape or any(node.target is aten.addcmul.default for node in folded.nodes)
    seen = [codes.abs() if turned else codes for codes in _codes(frozen).values()]
    for name, codes in _codes(folded).items():
        assert any(torch.equal(codes.abs() if turned else codes, other) for other in seen), name


def _codes(graph: Graph) -> dict[str, Tensor]:
    grids = [node for node in graph.nodes if node.target is torch.ops.lowbit.dequantize.default]
    return {str(arguments(node)["codes"].target): graph.tensor(arguments(node)["codes"]) for node in grids}
