"""Calls that move, join, pad, upsample and pool, lowered: the exact integers, on every target that can run."""

from __future__ import annotations

from collections.abc import Callable

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import api
from lowbit.backends.compiled import Compiled
from lowbit.backends.lowering.lower import lower
from lowbit.compiler.calibrate import calibrate
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.sketches.trial import advance
from test_lowering_laws import graph_has_equal_integers
from torch import Tensor, nn

STAGES = "normalize | insert_fake_quant(per_channel=true, activation_bits=7) | eval | freeze | fold_batch_norm"


class Parts(nn.Module):
    """Layers by name, and a function of them."""

    def __init__(self, function: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *x: Tensor) -> object:
        return self.function(self, *x)


def conv(size: int = 4, out: int = 4, axes: int = 2, **options: object) -> nn.Module:
    module: nn.Module = getattr(nn, f"Conv{axes}d")(size, out, 3, padding=1, **options)
    return module


CALLS: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "cat": ((4, 5, 6), lambda x: torch.cat([x, x * 1, x[:, :2]], 1)),
    "cat of rows": ((4, 5, 6), lambda x: torch.cat([x, x], -1)),
    "stack": ((4, 5, 6), lambda x: torch.stack([x, x.flip(3)], 2).flatten(1, 2)),
    "chunk": ((4, 5, 6), lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "split": ((4, 5, 6), lambda x: x.split([1, 3], 1)[1]),
    "split of rows": ((4, 5, 6), lambda x: x.split(4, -1)[1]),
    "unbind": ((4, 5, 6), lambda x: x.unbind(2)[3]),
    "select": ((4, 5, 6), lambda x: x[:, 1]),
    "select from behind": ((4, 5, 6), lambda x: x[..., -2]),
    "slice with steps": ((4, 5, 6), lambda x: x[:, ::2, 1:-1, -4:]),
    "narrow": ((4, 5, 6), lambda x: x.narrow(-1, -3, 2)),
    "index_select": ((4, 5, 6), lambda x: x.index_select(1, torch.tensor([3, 0, 0]))),
    "shuffle": ((4, 5, 6), lambda x: x.view(x.shape[0], 2, 2, 5, 6).transpose(1, 2).reshape(x.shape)),
    "pixel_shuffle": ((4, 5, 6), lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": ((4, 4, 6), lambda x: F.pixel_unshuffle(x, 2)),
    "roll": ((4, 5, 6), lambda x: x.roll((1, -2), (2, 3))),
    "flip": ((4, 5, 6), lambda x: x.flip((1, 3))),
    "expand": ((1, 5, 6), lambda x: x.expand(-1, 3, -1, -1)),
    "repeat": ((2, 5, 6), lambda x: x.repeat(1, 2, 1, 1)),
    "repeat_interleave": ((2, 5, 6), lambda x: x.repeat_interleave(3, 2)),
    "pad": ((4, 5, 6), lambda x: F.pad(x, (1, 2, 0, 3))),
    "pad of channels": ((4, 5, 6), lambda x: F.pad(x, (0, 0, 1, 0, 2, 1))),
    "pad with a number": ((4, 5, 6), lambda x: F.pad(F.relu(x), (1, 2), value=0.0)),
    "pad with a number off the grid": ((4, 5, 6), lambda x: F.pad(F.relu(x), (1, 2, 0, 1, 1, 0), value=0.57)),
    "crop": ((4, 5, 6), lambda x: F.pad(x, (-1, 2, -2, 0))),
    "pad of vectors": ((7,), lambda x: F.pad(x, (2, -1))),
    "reflect": ((4, 5, 6), lambda x: F.pad(x, (1, 2, 3, 0), mode="reflect")),
    "replicate": ((4, 5, 6), lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate")),
    "circular": ((4, 5, 6), lambda x: F.pad(x, (1, 2, 3, 0), mode="circular")),
    "reflect of lines": ((4, 6), lambda x: F.pad(x, (3, 2), mode="reflect")),
    "nearest": ((4, 5, 6), lambda x: F.interpolate(x, scale_factor=3)),
    "nearest to a size": ((4, 5, 6), lambda x: F.interpolate(x, size=(7, 4))),
    "nearest of volumes": ((2, 2, 3, 4), lambda x: F.interpolate(x, scale_factor=2)),
    "nearest exact": ((4, 5, 6), lambda x: F.interpolate(x, size=(7, 4), mode="nearest-exact")),
    "bilinear": ((4, 5, 6), lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "bilinear by three": ((4, 5, 6), lambda x: F.interpolate(x, scale_factor=3, mode="bilinear")),
    "bilinear of a pixel": ((4, 1, 2), lambda x: F.interpolate(x, scale_factor=4, mode="bilinear")),
    "bilinear to a size": ((4, 5, 6), lambda x: F.interpolate(x, size=(8, 4), mode="bilinear")),
    "bilinear at corners": ((4, 5, 6), lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)),
    "bilinear by a half": ((4, 5, 6), lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear")),
    "linear": ((4, 6), lambda x: F.interpolate(x, scale_factor=2, mode="linear")),
    "trilinear": ((2, 3, 3, 4), lambda x: F.interpolate(x, scale_factor=2, mode="trilinear")),
    "max_pool1d": ((4, 9), lambda x: F.max_pool1d(x, 3, 2, 1)),
    "max_pool2d to the end": ((4, 6, 8), lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True)),
    "max_pool2d dilated": ((4, 8, 9), lambda x: F.max_pool2d(x, 2, (1, 2), 1, 2, ceil_mode=True)),
    "max_pool3d": ((2, 4, 5, 6), lambda x: F.max_pool3d(x, (3, 2, 3), (2, 1, 2), (1, 1, 0))),
}
"""Name -> (shape of a sample, the call)."""


SHAPES = sorted({shape for shape, _ in CALLS.values()})


def frozen(model: nn.Module, *x: Tensor, stages: str = STAGES) -> Graph:
    """The graph that is lowered, calibrated on x."""
    graph = capture(model.eval(), x, verify=False)
    for stage in stages.split("|"):
        graph = advance(graph, stage, api.passes()).graph
        if stage.strip().startswith("insert_fake_quant"):
            calibrate(graph, [list(x)])
    return graph


def agrees(graph: Graph, *x: Tensor) -> Compiled:
    """Every grid as the graph has it, and every value as the interpreter has it."""
    graph_has_equal_integers(graph, *x)
    compiled = Compiled(lower(graph))
    assert all(comparison.equal for comparison in lowbit.check(compiled, *compiled.quantize(*(part[:1] for part in x))))
    return compiled


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_calls_move_the_exact_integers(shape: tuple[int, ...]) -> None:
    """Of an input, and of what a layer gives; each result goes on through a layer."""
    torch.manual_seed(0)
    calls = [call for given, call in CALLS.values() if given == shape]
    x = torch.randn(3, *shape)
    last = [nn.Linear(call(x).shape[-1], 2) for call in calls]
    mix = nn.Linear(shape[-1], shape[-1])

    def forward(m: Parts, x: Tensor) -> list[Tensor]:
        y = m.mix(x)
        return [layer(call(value)) for call, layer in zip(calls, m.last, strict=True) for value in (x, y)]

    agrees(frozen(Parts(forward, mix=mix, last=nn.ModuleList(last)), x), x)


LAYERS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "conv1d": ((4, 9), lambda: nn.Conv1d(4, 6, 3, 2, 2, dilation=2, groups=2)),
    "conv1d padded in words": ((4, 9), lambda: nn.Conv1d(4, 6, 4, padding="same", bias=False)),
    "conv2d padded in words": ((4, 5, 6), lambda: nn.Conv2d(4, 6, (2, 3), padding="same", dilation=(3, 1))),
    "conv3d": ((2, 4, 5, 6), lambda: nn.Conv3d(2, 6, (3, 1, 2), (2, 1, 1), (1, 0, 1), (1, 2, 1), groups=2)),
    "conv_transpose1d": ((4, 9), lambda: nn.ConvTranspose1d(4, 6, 3, 2, 1, 1)),
    "conv_transpose1d that cuts": ((4, 9), lambda: nn.ConvTranspose1d(4, 2, 2, 3, 2)),
    "conv_transpose2d": ((4, 5, 6), lambda: nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), dilation=(2, 1))),
    "conv_transpose2d by twos": ((4, 5, 6), lambda: nn.ConvTranspose2d(4, 3, 2, 2)),
    "grouped conv_transpose2d": ((4, 5, 6), lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2, bias=False)),
    "conv_transpose3d": ((2, 3, 3, 4), lambda: nn.ConvTranspose3d(2, 3, 2, 2)),
    "linear of rows": ((4, 5, 6), lambda: nn.Linear(6, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_exact_integers(name: str) -> None:
    """Each with a norm behind, which goes into it or, behind a grouped transposed one, becomes a multiply-add."""
    torch.manual_seed(0)
    shape, make = LAYERS[name]
    layer, x = make(), torch.randn(3, *shape)
    channels = layer(x).shape[1]
    norm = getattr(nn, f"BatchNorm{max(1, len(shape) - 1)}d")(channels)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.normal_(norm.running_mean)
    agrees(frozen(Parts(lambda m, x: m.norm(m.layer(x)).relu(), layer=layer, norm=norm), x), x)


def test_several_inputs_and_outputs() -> None:
    """One that is read twice, one that is an output too, and outputs in a dict."""

    def forward(m: Parts, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        a = m.first(x)
        both = torch.cat([a, m.second(y)], 1)
        return {
            "sum": m.last(both) + m.last(both.flip(1)),
            "first": a,
            "pooled": F.max_pool2d(both, 2),
            "again": y[:, :1],
        }

    torch.manual_seed(0)
    x, y = torch.randn(3, 4, 4, 4), torch.randn(3, 2, 4, 4)
    layers = {"first": nn.Conv2d(4, 4, 1), "second": nn.Conv2d(2, 2, 1), "last": nn.Conv2d(6, 3, 3, padding=1)}
    compiled = agrees(frozen(Parts(forward, **layers), x, y), x, y)
    assert (len(compiled.program.inputs), len(compiled.program.outputs)) == (2, 4)


def test_joins_go_on_from_what_is_joined_already() -> None:
    """As in a DenseNet, where each layer reads all before it: nothing is copied twice."""

    def forward(m: Parts, x: Tensor) -> Tensor:
        found = [x]
        for layer in m.layers:
            found.append(layer(torch.cat(found, 1)).relu())
        return m.last(torch.cat(found, 1))

    torch.manual_seed(0)
    layers = nn.ModuleList(nn.Conv2d(2 * i, 2, 1) for i in (1, 2, 3))
    x = torch.randn(3, 2, 4, 4)
    compiled = agrees(frozen(Parts(forward, layers=layers, last=nn.Conv2d(8, 2, 1)), x), x)
    assert sum(step.op == "concat" for step in compiled.program.steps) == 3


def test_a_border_that_no_grid_has_is_refused() -> None:
    """But in front of maxima, which it never wins."""
    x = torch.randn(3, 2, 4, 4)
    layers = {"last": nn.Conv2d(2, 2, 1)}
    with pytest.raises(lowbit.Unsupported, match="pad") as caught:
        lower(frozen(Parts(lambda m, x: m.last(F.pad(x, (1, 1), value=-torch.inf).amax(3, keepdim=True)), **layers), x))
    assert "it pads with -inf, which no grid has" in caught.value.why
    agrees(frozen(Parts(lambda m, x: m.last(F.max_pool2d(F.pad(x, (1, 1), value=-torch.inf), 2)), **layers), x), x)
