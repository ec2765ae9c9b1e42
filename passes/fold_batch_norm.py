"""Fold an inference batch norm into the convolution or linear that feeds it.

    bn(w x + b) = g (w x + b - mu) / sqrt(var + eps) + beta = (k w) x + k (b - mu) + beta,   k = g / sqrt(var + eps)

A weight that is already integers keeps them: k scales the grid of its channel, and a negative k turns their signs.
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..compiler.contract import Close, Pass
from ..compiler.edit import Edit
from ..compiler.facts import inference, no_batch_norm, weights_frozen
from ..compiler.graph import arguments, layer
from ..compiler.layers import over_outputs
from ..compiler.pattern import Pattern, Weight, aten, either, own
from ..compiler.rule import Match, read_once, rule


def _producer(weight: Pattern) -> Pattern:
    bias = Weight("b", optional=True)
    return either(aten.conv2d.default(weight=weight, bias=bias), aten.linear.default(weight=weight, bias=bias))


def _norm(producer: Pattern) -> Pattern:
    return aten.batch_norm(
        training=False,
        input=producer,
        weight=Weight("g", optional=True),
        bias=Weight("beta", optional=True),
        running_mean=Weight("mu"),
        running_var=Weight("var"),
    )


in_float = _producer(Weight("w"))
on_grid = _producer(own.dequantize("grid", codes=Weight("codes"), scale=Weight("scale"), zero=0))
float_norm, grid_norm = _norm(in_float), _norm(on_grid)


def _factor(match: Match) -> Tensor:
    """k, (channels,)."""
    eps: float = arguments(match.root)["eps"]
    k = (match.tensor("var") + eps).rsqrt()
    g = match.optional("g")
    return k if g is None else g * k


def _bias(match: Match, k: Tensor) -> Tensor:
    """k (b - mu) + beta, (channels,)."""
    b, beta, mu = match.optional("b"), match.optional("beta"), match.tensor("mu")
    shifted = -mu if b is None else b - mu
    return k * shifted if beta is None else k * shifted + beta


def _along(k: Tensor, weight: Tensor) -> Tensor:
    return k.reshape(-1, *[1] * (weight.dim() - 1))


_alone = read_once("input", "convolution or linear")


def _same_axis(match: Match) -> str:
    return "" if over_outputs(match.root) else "it does not normalize the output channels of the linear"


@rule(float_norm, _alone, _same_axis)
def fold_float(match: Match, edit: Edit) -> fx.Node:
    k, w, name = _factor(match), match.tensor("w"), layer(match.node("w"))
    weight = edit.parameter(f"{name}.folded_weight", w * _along(k, w))
    bias = edit.parameter(f"{name}.folded_bias", _bias(match, k))
    return edit.like(match[in_float], weight=weight, bias=bias)


@rule(grid_norm, _alone, _same_axis)
def fold_codes(match: Match, edit: Edit) -> fx.Node:
    k, codes, name = _factor(match), match.tensor("codes"), layer(match.node("codes"))
    signs = _along(torch.where(k < 0, -1, 1).to(codes.dtype), codes)
    turned = edit.buffer(f"{name}.folded_codes", codes * signs)
    scale = edit.buffer(f"{name}.folded_scale", match.tensor("scale") * k.abs())
    grid = edit.like(match.node("grid"), codes=turned, scale=scale)
    return edit.like(match[on_grid], weight=grid, bias=edit.buffer(f"{name}.folded_bias", _bias(match, k)))


PASS = Pass(
    rules=(fold_float, fold_codes),
    law=Close(1e-9),
    needs=(inference, weights_frozen),
    leaves=(no_batch_norm,),
    fires=(
        "conv(3) bn | eval | fold_batch_norm",
        "conv(4,nobias) bn(noaffine) relu | eval | fold_batch_norm",
        "linear(5) bn | eval | fold_batch_norm",
        "conv(3) bn conv(3) bn tied | eval | fold_batch_norm",
        "conv(4) bn | insert_fake_quant | eval | freeze | fold_batch_norm",
        "conv(4) bn | insert_fake_quant(per_channel=true) | eval | freeze | fold_batch_norm",
    ),
    refuses={
        "conv(3) [ bn ] + | eval | fold_batch_norm": "the convolution or linear has 2 readers",
        "rows mix(3) bn | eval | fold_batch_norm": "it does not normalize the output channels of the linear",
        "conv(3) bn(nostats) | eval | fold_batch_norm": "training is True",
        "conv(3) bn | schedule_pruning | eval | fold_batch_norm": "'w' is not a parameter or buffer",
    },
)
