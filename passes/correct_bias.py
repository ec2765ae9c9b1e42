"""Give back to each channel's mean what rounding takes from it, in the bias (Nagel et al. 2019, arXiv 1906.04721).

    y = W_q x_q + b + c,   c = E[W x + b] - E[W_q x_q + b]   for each channel, over the images of `calibrate`

The pass puts c there as zeros, and `calibrate` fills it in, layer by layer, each behind the corrected ones before it.
It becomes part of the integer bias.
"""

from __future__ import annotations

import torch
from torch import fx

from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.facts import weights_on_grid
from ..compiler.graph import arguments, fixed, layer, shape
from ..compiler.layers import CORRECTIONS, channel_axis, channels, correction_of, factor_of
from ..compiler.operators import PRODUCERS, aten, own
from ..compiler.pattern import Call
from ..compiler.rule import Match, rule


def _once(match: Match) -> str:
    return "" if correction_of(match.root) is None else "its bias is corrected already"


def _plain(match: Match) -> str:
    """A norm behind it would take the mean out again in training, and scale the correction when it is folded."""
    if fixed(shape(match.root)[channel_axis(match.root)]) is None:
        return "it has as many channels as the batch has samples, or more"
    norms = [reader for reader in match.root.users if reader.target is aten.batch_norm.default]
    return "a batch norm behind it takes the mean out" if norms or _simulates_fold(match.root) else ""


def _simulates_fold(call: fx.Node) -> bool:
    """Whether its weight holds the factor of a norm, which stands further behind."""
    weight = arguments(call)["weight"]
    product = arguments(weight)["x"] if weight.target is own.fake_quantize.default else weight
    return factor_of(product) is not None


@rule(Call("", PRODUCERS), _once, _plain)
def correct(match: Match, edit: Edit) -> fx.Node:
    """b -> b + c, or c where there is no bias."""
    call = match.root
    bias, like = arguments(call)["bias"], call.meta["val"]
    name = f"{CORRECTIONS}{layer(call) or call.name}.bias"
    c = edit.buffer(name, torch.zeros(channels(call), dtype=like.dtype, device=like.device))
    return edit.like(call, bias=c if bias is None else edit.call(aten.add.Tensor, bias, c))


PASS = Pass(
    rules=(correct,),
    law=Exact(),
    needs=(weights_on_grid,),
    fires=(
        "conv(3) relu conv(3,groups=3,nobias) relu gap linear(4) | insert_fake_quant | correct_bias",
        "conv(3) bn relu tconv(2) | eval | fold_batch_norm | insert_fake_quant(per_channel=true) | correct_bias",
    ),
    refuses={
        "conv(3) bn | insert_fake_quant | correct_bias": "a batch norm behind it takes the mean out",
        "conv(3) bn | simulate_fold | insert_fake_quant | correct_bias": "a batch norm behind it takes the mean out",
        "conv(3) | insert_fake_quant | correct_bias | correct_bias": "its bias is corrected already",
    },
)
