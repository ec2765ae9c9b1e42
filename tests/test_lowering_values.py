"""Functions, sums, products and averages in integers: from equal integers before it, each grid gets the exact value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from lowbit import Prepared
from lowbit.api import deployed
from lowbit.compiler.operators import aten
from prepared import custom
from test_lowering_laws import equal_integers, grids
from torch import Tensor, nn

RECIPE = "".join(f'[[prepare]]\nuse = "{name}"\n' for name in ("normalize", "split_attention", "insert_fake_quant"))
RECIPE = f'name = "one"\n{RECIPE}output_bits = 8\n'
SHAPE = (4, 5, 6)
Function = Callable[["Several", Tensor], Tensor]


class Several(nn.Module):
    """Functions of one input, which a convolution makes negative and positive."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.functions = functions
        self.slope, self.slopes = nn.PReLU(), nn.PReLU(SHAPE[0])
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.rows, self.groups = nn.LayerNorm(SHAPE[-1]), nn.GroupNorm(2, SHAPE[0])
        self.matrix = nn.Linear(3, SHAPE[-1])
        for norm in (self.rows, self.groups):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        self.register_buffer("channels", torch.tensor([0.5, -1.5, 0.01, 3.0]).reshape(4, 1, 1))
        self.register_buffer("order", torch.arange(4 * 3 * 6).reshape(1, 4, 3, 6) % 5)
        self.register_buffer("columns", torch.linspace(-2, 1, SHAPE[-1]))
        self.register_buffer("every", torch.randn(SHAPE))
        nn.init.uniform_(self.slopes.weight, -0.5, 0.5)

    def forward(self, x: Tensor) -> Any:
        return tuple(function(self, x) for function in self.functions.values())


def average(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def deviation(x: Tensor) -> Tensor:
    """As in the contrast attention of IMDN."""
    count = x.size(2) * x.size(3)
    mean = x.sum(3, keepdim=True).sum(2, keepdim=True) / count
    return ((x - mean).pow(2).sum(3, keepdim=True).sum(2, keepdim=True) / count).pow(0.5)


def attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """As in EfficientViT: a column of ones carries the divisor."""
    found = q @ (k.mT @ F.pad(v, (0, 1), value=1.0))
    return found[..., :-1] / (found[..., -1:] + 1e-5)


def windows(m: Several, x: Tensor) -> Tensor:
    """Rows of windows of 5 x 2, each for itself, as in Swin: samples and windows are one axis."""
    parts = x.unflatten(3, (3, 2)).permute(0, 3, 1, 2, 4).reshape(-1, 4, 10)
    mixed = F.softmax(F.layer_norm(parts, (10,)) @ parts.mT, -1) @ parts[:, :, ::2]
    return mixed.view(x.shape[0], 3, 4, 5).permute(0, 2, 3, 1)


def lines(m: Several, x: Tensor) -> Tensor:
    """The batch is the second axis, as in recurrent networks, and then the third of four."""
    turned = (m.matrix(x[:, 0, :, :3]).transpose(0, 1) + 0.5).relu().sigmoid()  # type: ignore[operator]
    first, second = turned.unflatten(-1, (2, 3)).permute(2, 0, 1, 3).unbind(0)
    return (first[1:4] * second[::2]).transpose(0, 1)


def blocks(x: Tensor) -> Tensor:
    """Diagonal blocks of each number, as in bilinear attention: samples and channels are one axis meanwhile."""
    samples, channels, height, width = x.shape
    found = (x.reshape(-1, height * width, 1, 1) * torch.eye(3)).unflatten(1, (height, width))
    found = torch.stack(torch.cat(found.split(1, dim=1), dim=3).unbind(2), dim=-2)
    return found.view(samples, channels, 3 * height, 3 * width)


def standardized(weight: Tensor) -> Tensor:
    """As in networks without norms (NFNet), or with group norms (BiT)."""
    rows = weight.reshape(1, len(weight), -1)
    return F.batch_norm(rows, None, None, training=True, momentum=0.0).reshape_as(weight)


def excited(x: Tensor) -> Tensor:
    return x * F.hardsigmoid(F.adaptive_avg_pool2d(x, 1))


def _called(function: Callable[[Tensor], Tensor], m: Several, x: Tensor) -> Tensor:
    return function(x)


FUNCTIONAL = [*("hardswish", "hardsigmoid", "silu", "gelu", "elu", "selu", "celu"), *("softplus", "mish", "logsigmoid")]
PLAIN = ["sigmoid", "tanh", "exp", "abs", "neg", "square", "sin", "erf"]
CURVES: Mapping[str, Function] = {
    **{name: partial(_called, getattr(F, name)) for name in FUNCTIONAL},
    **{name: partial(_called, getattr(torch, name)) for name in PLAIN},
    "leaky": lambda m, x: F.leaky_relu(x, 0.2),
    "gelu tanh": lambda m, x: F.gelu(x, approximate="tanh"),
    "cube": lambda m, x: x**3,
    "power of two": lambda m, x: 2.0**x,
    "roots": lambda m, x: x.relu().sqrt() + (x.abs() + 0.1).rsqrt(),
    "one slope": lambda m, x: m.slope(x),  # type: ignore[operator]
    "slopes": lambda m, x: m.slopes(x),  # type: ignore[operator]
    "in place": lambda m, x: F.hardswish(x + x, inplace=True),
    "limited": lambda m, x: x.tanh().clamp(-0.4, 0.3),
    "no number below zero": lambda m, x: (1.5 + x.tanh()).log(),
    "quotient": lambda m, x: 1 / (x.abs() + 1),
}
SUMS: Mapping[str, Function] = {
    "difference": lambda m, x: x - x.sigmoid(),
    "alpha": lambda m, x: torch.sub(x, x.sigmoid(), alpha=2),
    "backwards": lambda m, x: torch.rsub(x, x.sigmoid()),
    "spread": lambda m, x: x - average(x),
    "spread sum": lambda m, x: average(x) + x,
    "product": lambda m, x: x.sigmoid() * x.tanh(),
    "square": lambda m, x: x * x,
    "excited": lambda m, x: excited(x),
    "number": lambda m, x: x + 3.0,
    "from a number": lambda m, x: 1 - x,
    "scaled": lambda m, x: x * 0.3 / 7,
    "negative": lambda m, x: x * -2,
    "channels": lambda m, x: x * m.channels,  # type: ignore[operator]
    "columns": lambda m, x: x * m.columns,  # type: ignore[operator]
    "over columns": lambda m, x: x / m.columns,  # type: ignore[operator]
    "every factor": lambda m, x: x * m.every,  # type: ignore[operator]
    "exact factors": lambda m, x: x * (m.every.sign() / 3),  # type: ignore[union-attr, operator]
    "grown by factors": lambda m, x: average(x) * m.every[0],  # type: ignore[index, operator]
    "grown by columns": lambda m, x: average(x) * m.columns,  # type: ignore[operator]
    "grown by a bias": lambda m, x: average(x) + m.every,  # type: ignore[operator]
    "channel bias": lambda m, x: m.channels - x,  # type: ignore[operator]
    "every bias": lambda m, x: x + m.every,  # type: ignore[operator]
    "far larger bias": lambda m, x: F.layer_norm(x, SHAPE[-1:]) + 300 * m.every.sign(),  # type: ignore[union-attr, operator]
    "behind a layer": lambda m, x: F.relu(m.conv(x) * (m.channels / 3) + 0.25),  # type: ignore[operator]
    "multiply and add": lambda m, x: torch.addcmul(m.channels.flip(0), m.channels, x),  # type: ignore[operator, union-attr, arg-type]
    "standardized weight": lambda m, x: F.conv2d(x, standardized(m.conv.weight)),  # type: ignore[operator, union-attr]
    "halved layer": lambda m, x: m.conv(x) * 0.5,  # type: ignore[operator]
}
AVERAGES: Mapping[str, Function] = {
    "mean": lambda m, x: x.mean((2, 3)),
    "negative axes": lambda m, x: x.mean((-1, -2), keepdim=True),
    "of channels": lambda m, x: x.mean(1, keepdim=True),
    "last": lambda m, x: x.mean(-1),
    "total": lambda m, x: x.sum(3, keepdim=True).sum(2) / 30,
    "adaptive": lambda m, x: F.adaptive_avg_pool2d(x, (1, 1)),
    "adaptive even": lambda m, x: F.adaptive_avg_pool2d(x, (5, 2)),
    "adaptive uneven": lambda m, x: F.adaptive_avg_pool2d(x, (2, 4)),
    "adaptive wider": lambda m, x: F.adaptive_avg_pool2d(x, (7, 6)),
    "windows": lambda m, x: F.avg_pool2d(x, 2),
    "padded": lambda m, x: F.avg_pool2d(x, 3, 1, 1),
    "uncounted padding": lambda m, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "ceiling": lambda m, x: F.avg_pool2d(x, 2, 2, ceil_mode=True),
    "padded ceiling": lambda m, x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "divisor": lambda m, x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5),
    "line": lambda m, x: F.avg_pool1d(x.flatten(2), 4),
    "adaptive line": lambda m, x: F.adaptive_avg_pool1d(x.flatten(2), 7),
    "volume": lambda m, x: F.avg_pool3d(x.unsqueeze(1), 2, 1, 1),
    "adaptive volume": lambda m, x: F.adaptive_avg_pool3d(x.unsqueeze(1), (2, 5, 1)),
    "deviation": lambda m, x: deviation(x) + average(x),
}
ROWS: Mapping[str, Function] = {
    "softmax": lambda m, x: x.softmax(1),
    "softmax of rows": lambda m, x: (3 * x).softmax(-1),
    "product of softmax": lambda m, x: x.softmax(-1) @ x.transpose(-1, -2),
    "matrices": lambda m, x: x[:, :, :2] @ x.relu().mT,
    "moved axes": lambda m, x: x.movedim(1, 3) @ x.swapaxes(1, 2).swapdims(2, 3)[..., :4].mT,
    "spread matrices": lambda m, x: x[:, :1] @ x.mT,
    "matrix": lambda m, x: x @ m.matrix.weight,  # type: ignore[operator, union-attr]
    "quotient of two": lambda m, x: x / (x.abs() + 1),
    "over its sum": lambda m, x: x.relu() / (x.abs().sum(1, keepdim=True) + 1),
    "signed divisor": lambda m, x: x / (x.sin() + torch.where(x > 0, 0.5, -0.5)),
    "attention": lambda m, x: F.scaled_dot_product_attention(x, x.flip(2), x.sigmoid()),
    "causal attention": lambda m, x: F.scaled_dot_product_attention(x, x, x.tanh(), is_causal=True, scale=0.3),
    "masked attention": lambda m, x: F.scaled_dot_product_attention(
        x, x, x, attn_mask=m.every[0, :, :5] > 0, scale=0.02
    ),  # type: ignore[operator, index]
    "windows": windows,
    "lines": lines,
    "blocks": lambda m, x: blocks(x.sigmoid()).square(),
    "linear attention": lambda m, x: attended(x.relu(), x.flip(1).relu(), x),
    "limited quotient": lambda m, x: (x / (x.abs() + 0.5)).clamp(-0.5, 0.25),
    "layer norm": lambda m, x: m.rows(x),  # type: ignore[operator]
    "layer norm of all": lambda m, x: F.layer_norm(x, SHAPE, m.every, m.every.flip(0)),  # type: ignore[operator, arg-type]
    "bare layer norm": lambda m, x: F.layer_norm(x, SHAPE[1:]),
    "rms norm": lambda m, x: F.rms_norm(x.relu(), SHAPE[-1:], m.columns),  # type: ignore[arg-type]
    "group norm": lambda m, x: m.groups(x),  # type: ignore[operator]
    "faint group norm": lambda m, x: F.group_norm(x, 2, m.groups.bias / 300, m.groups.bias),  # type: ignore[union-attr, operator, arg-type]
    "instance norm": lambda m, x: F.instance_norm(x),
    "variance": lambda m, x: x.var((1, 3), keepdim=True),
    "biased variance": lambda m, x: x.var(dim=2, unbiased=False),
    "deviation of rows": lambda m, x: x.relu().std(-1),
    "length": lambda m, x: x.norm(dim=(2, 3), keepdim=True),
    "lengths of one": lambda m, x: F.normalize(x, dim=1),
    "norm of almost nothing": lambda m, x: F.layer_norm(x / 64, SHAPE[-1:], eps=1e-3),
}


def _behind(function: Function, m: Several, x: Tensor) -> Tensor:
    """A choice has the grid of its input; what is behind it is rounded and can be compared."""
    return function(m, x).tanh()


CHOICES: Mapping[str, Function] = {
    "amax": lambda m, x: x.amax((2, 3)),
    "amin": lambda m, x: x.amin(1, keepdim=True),
    "max": lambda m, x: x.max(2).values,
    "min": lambda m, x: x.min(-1, keepdim=True).values,
    "where it is largest": lambda m, x: x.relu() * (x.argmax(2, keepdim=True) == 1).where(x > 0, False),
    "maximum": lambda m, x: torch.maximum(x, x.flip(1)),
    "minimum": lambda m, x: torch.minimum(x, -x),
    "greater": lambda m, x: torch.where(x > 0.5, x, x.flip(2)),
    "greater than another": lambda m, x: torch.where(x >= x.sigmoid(), x, x.roll(1, 2)),
    "mask": lambda m, x: torch.where(m.every > 0, x, x.flip(2)),  # type: ignore[operator]
    "filled": lambda m, x: x.masked_fill(x < 0.25, 0.0),
    "gathered": lambda m, x: x.gather(2, m.order.expand(x.shape[0], -1, -1, -1)),  # type: ignore[operator]
    "indexed": lambda m, x: x[:, [0, 3, 1], [[4], [0]]],
    "adaptive max": lambda m, x: F.adaptive_max_pool2d(x, (2, 4)),
    "adaptive max of lines": lambda m, x: F.adaptive_max_pool1d(x.flatten(2), 7),
    "stacked": lambda m, x: torch.stack([x, x.sigmoid(), x.flip(1)]).sum(0),
    "stacked average": lambda m, x: torch.stack([x, x.relu()]).mean(0),
    "paths": lambda m, x: x + x.sigmoid() * x.new_empty((x.shape[0], 1, 1, 1)).fill_(0.5).div(0.5),
    "every sample": lambda m, x: x * torch.ones(x.shape[0], 1, 1, 1),
}
TABLES = {
    "curves": CURVES,
    "sums": SUMS,
    "averages": AVERAGES,
    "rows": ROWS,
    "choices": {name: partial(_behind, function) for name, function in CHOICES.items()},
}
every_table = pytest.mark.parametrize("table", TABLES)


@cache
def prepared(table: str) -> tuple[Prepared, Tensor]:
    x = 2 * torch.randn(16, *SHAPE, generator=torch.Generator().manual_seed(0))
    return lowbit.prepare(Several(TABLES[table]).eval(), (x,), custom(RECIPE)), x


@every_table
def test_integers_are_those_of_the_graph(table: str) -> None:
    equal_integers(*prepared(table))


@every_table
def test_codes_of_the_prepared_model_differ_in_one_of_ten_thousand_at_most(table: str) -> None:
    ours, x = prepared(table)
    found = lowbit.verify(ours, [x])
    assert found.codes.count > 10_000
    assert found.holds, found.broken


@every_table
def test_all_targets_agree(table: str) -> None:
    ours, x = prepared(table)
    program = lowbit.lower(ours)
    assert all(comparison.equal for comparison in lowbit.check(program, *program.quantize(x[:1])))


def test_sums_over_one_axis_after_another_are_rounded_once() -> None:
    """And what goes on over their count."""
    graph = deployed(prepared("averages")[0]).graph
    pairs = [node for node in graph.nodes if node.target is aten.sum.dim_IntList]
    assert len(pairs) == 6
    assert sum(node.all_input_nodes[0].target is aten.sum.dim_IntList for node in pairs) == 3
    assert len(grids(graph)) < len(graph.nodes) / 2


REFUSED: Mapping[str, tuple[Function, str]] = {
    "a number off the grid": (lambda m, x: x.masked_fill(x < 0, 0.1234), "it puts in 0.1234, which its grid"),
    "softmax of the batch": (lambda m, x: x.softmax(0), "it goes over the batch"),
    "noise": (lambda m, x: x + torch.rand(x.shape[0], 1, 1, 1), "it draws random numbers in inference"),
    "the batch": (lambda m, x: x - x.mean(0, keepdim=True), "it sums over the batch"),
    "norm of an order": (lambda m, x: x.norm(p=1, dim=2), "the norm of order 1"),
    "spread of the batch": (lambda m, x: x / x.std(0), "it goes over the batch"),
    "batches side by side": (lambda m, x: torch.cat([x.mT.transpose(0, 2)] * 2, 2).flatten(0, 1), "it joins batches"),
    "two layouts": (lambda m, x: torch.cat([x.flatten(0, 1), x.transpose(0, 1).flatten(0, 1)], 1), "different places"),
    "two axes": (lambda m, x: x.sigmoid() ** (m.every.abs() + 1), "constants differ along several axes"),  # type: ignore[operator]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_integer_form_is_told_why(name: str) -> None:
    function, why = REFUSED[name]
    with pytest.raises(lowbit.Unsupported) as caught:
        lowbit.prepare(Several({name: function}).eval(), (torch.randn(2, *SHAPE),), custom(RECIPE))
    assert why in caught.value.why
