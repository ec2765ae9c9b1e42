"""Sketches: small networks as a line of text, the notation of examples, tests and bug reports.

    "conv(8) bn relu [ conv(8) bn ] + relu gap linear(10)"

Words: input(c,h,w) (first; default 3,8,8; input(c,l) and input(c,d,h,w) make what follows 1-D and 3-D),
conv(channels,k=3,stride=1,groups=1,pad=k//2,same,valid,nobias,coarse,dead=0,deaf=0), tconv (transposed) alike,
linear(n,nobias,coarse,dead=0,deaf=0) of the flattened input, mix(n) a linear over the last axis,
bn(eval,noaffine,nostats,tiny,huge,large,eps=1e-5), relu(inplace), relu6, leaky, sigmoid, tanh, hardswish,
hardsigmoid, silu, gelu, softmax, maxpool, avgpool, gap, upsample, pad, flatten, view, rows, swap, shuffle(groups),
short(n), pixels(r), unpixels(r), halves, dropout, gain, id, spelt(NAME) for what has a name in `spellings`.
`[ ... ] +` adds the bracketed branch to its input, `[ ... ] *` multiplies it, `[ ... ] cat` puts it behind the input's
channels; `twice` applies the part before it once more; `tied`, anywhere, lets convolutions of one shape share their
weight.

same, valid: padding in words.   coarse: weights in eighths, so that many are equal.   eval: stays in eval mode.
dead, deaf: so many outputs, or inputs, have zeros alone for weights.   nostats: always the batch's own statistics.
tiny, huge: the variances.   large: the affine parts.   rows: flattened from axis 2.   swap: the last two axes change
places.   shuffle: the channels, as in ShuffleNet.   short: every second row and column, and n channels of zeros on each
side.   pixels, unpixels: nn.PixelShuffle and nn.PixelUnshuffle.   halves: the sum of both halves of the channels.
gain: times a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..capture import capture
from ..graph import Graph
from .vocabulary import JOINS, layer, tie

_WORD = re.compile(r"[\[\]+*]|(\w+)(?:\(([^)]*)\))?")


def network(sketch: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    """The network of a sketch, in train mode with seeded weights and statistics, and an input batch of 2.

    Raises UserError for a word that is not known.
    """
    words = [(match[1] or match[0], match[2] or "") for match in _WORD.finditer(sketch)]
    shape = [3, 8, 8]
    if words and words[0][0] == "input":
        shape = [int(size) for size in words.pop(0)[1].split(",")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x = torch.randn(2, *shape)
        module, _ = _sequence((word for word in words if word[0] != "tied"), x)
    if any(name == "tied" for name, _ in words):
        tie(module)
    return module.train(), x


def build(sketch: str, seed: int = 0, double: bool = True) -> Graph:
    """The captured graph of a sketch; in float64 unless told otherwise, for tight laws."""
    module, x = network(sketch, seed)
    dtype = torch.float64 if double else torch.float32
    return capture(module.to(dtype), (x.to(dtype),), verify=False)


def _sequence(words: Iterator[tuple[str, str]], x: Tensor) -> tuple[nn.Module, Tensor]:
    """The modules of the words up to the closing bracket, and what they make of x."""
    parts: list[nn.Module] = []
    before = x
    for name, options in words:
        if name == "]":
            break
        if name in JOINS:
            parts[-1] = JOINS[name](parts[-1])
            x = parts[-1](before)
            continue
        before = x
        parts.append(_part(name, options, words, x, parts))
        x = parts[-1](x)
    return nn.Sequential(*parts), x


def _part(name: str, options: str, words: Iterator[tuple[str, str]], x: Tensor, parts: list[nn.Module]) -> nn.Module:
    if name == "twice":
        return parts[-1]
    return _sequence(words, x)[0] if name == "[" else layer(name, options.split(","), x)
