"""Scale the channels between two layers until the weights of both are as large (Nagel et al. 2019, arXiv 1906.04721).

    w1' = w1 / s,  b1' = b1 / s,  w2' = w2 s,  s = sqrt(max|w1| / max|w2|) for each channel between two layers

It changes no output where all that stands between is positively homogeneous: relu(s x) = s relu(x), and pooling, zero
padding and reshapes are. A ReLU6 becomes min(relu(x), 6 / s), a limit for each channel, or with clip = "drop", which
does change the function, a ReLU. Chains are swept over until no range moves. Where the weights of a channel are
negligible on one side, no s makes both as large: the other side is scaled down to the largest of its layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.balance import Pair, balanced
from ..compiler.chains import BOUND, CLIPS, Chain, Lay, chain_from, shared, upper
from ..compiler.contract import Close, Options, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import one_graph, weights_in_float
from ..compiler.graph import Graph, arguments, layer, shape
from ..compiler.layers import along_inputs, along_outputs, is_layer
from ..compiler.operators import PRODUCERS
from ..compiler.pattern import Call
from ..compiler.rule import Match, rule

_aten = torch.ops.aten


class Settings(Options, frozen=True):
    """rounds: the most sweeps over the chains.   clip: what becomes of limits from above, as of ReLU6: "keep" moves
    them with the channel, "drop" takes them out, which changes the function."""

    rounds: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    clip: Literal["keep", "drop"] = "keep"

    by_layer = frozenset[str]()


@dataclass(frozen=True)
class Plan:
    """scales: layer -> what its inputs and its outputs are multiplied by, (channels,) each.
    limits: clip between two layers -> its limits, shaped to broadcast; None: it is dropped.
    why: layer -> why its outputs are not scaled.
    """

    scales: Mapping[str, tuple[Tensor | None, Tensor | None]]
    limits: Mapping[str, Tensor | None]
    why: Mapping[str, str] = field(default_factory=dict)


def plan(graph: Graph, options: OptionsFor) -> Plan:
    """Follow every layer to the next one, and sweep over the pairs."""
    chosen, why, chains = options(""), dict[str, str](), list[Chain]()
    for node in filter(is_layer, graph.nodes):
        found = _pair(graph, node)
        if isinstance(found, Chain):
            chains.append(found)
        else:
            why[node.name] = found
    pairs = balanced(graph, chains, chosen.rounds)
    clips = [(pair, clip, lay) for pair in pairs for clip, lay in pair.chain.clips]
    limits = {clip.name: _limit(graph, pair, clip, lay, chosen.clip) for pair, clip, lay in clips}
    return Plan(_scales(pairs), limits, why)


def _pair(graph: Graph, node: fx.Node) -> Chain | str:
    found = chain_from(node)
    if isinstance(found, str):
        return found
    return shared(graph, node, "weight", "bias") or shared(graph, found.second, "weight") or found


def _scales(pairs: Sequence[Pair]) -> dict[str, tuple[Tensor | None, Tensor | None]]:
    ins = {pair.chain.second.name: pair.factor.repeat_interleave(pair.chain.repeat) for pair in pairs}
    outs = {pair.chain.first.name: pair.factor for pair in pairs}
    return {name: (ins.get(name), outs.get(name)) for name in ins.keys() | outs.keys()}


def _limit(graph: Graph, pair: Pair, clip: fx.Node, lay: Lay, mode: str) -> Tensor | None:
    if mode == "drop":
        return None
    along = [-1 if axis == lay.axis else 1 for axis in range(len(shape(clip)))]
    factor = pair.factor.repeat_interleave(lay.repeat).reshape(along)
    before = graph.tensor(arguments(clip)["max"]) if clip.target is BOUND else upper(clip)
    return (factor * before).to(clip.meta["val"].dtype)  # type: ignore[operator]


def _chained(match: Match) -> str:
    if match.root.name in match.plan.scales:
        return ""
    why: str = match.plan.why.get(match.root.name, "its ranges are equal already")
    return why


@rule(Call("", PRODUCERS), _chained)
def scale(match: Match, edit: Edit) -> fx.Node:
    """w -> w * outputs / inputs,  b -> b * outputs."""
    call, given = match.root, arguments(match.root)
    inputs, outputs = match.plan.scales[call.name]
    changed = {}
    weight: Tensor = match.graph.tensor(given["weight"])
    scaled = weight.double()
    if inputs is not None:
        scaled = scaled / along_inputs(call, inputs)
    if outputs is not None:
        scaled = scaled * along_outputs(call, outputs)
        if given["bias"] is not None:
            bias = match.graph.tensor(given["bias"])
            changed["bias"] = edit.parameter(f"{layer(given['bias'])}.equalized_bias", (bias * outputs).to(bias.dtype))
    changed["weight"] = edit.parameter(f"{layer(given['weight'])}.equalized_weight", scaled.to(weight.dtype))
    return edit.like(call, **changed)


def _between(match: Match) -> str:
    return "" if match.root.name in match.plan.limits else "it stands between no two layers to be equalized"


@rule(Call("", CLIPS | {BOUND}), _between)
def limit(match: Match, edit: Edit) -> fx.Node:
    """clip(x) -> min(relu(x), limits), or relu(x) where limits are dropped."""
    bound: Tensor | None = match.plan.limits[match.root.name]
    x: fx.Node = arguments(match.root)["self"]
    if match.root.target is not BOUND:
        x = edit.call(_aten.relu.default, x)
    if bound is None:
        return x
    return edit.call(BOUND, x, edit.buffer(f"{layer(match.root) or 'lowbit'}.equalized_limit", bound))


PASS = Pass(
    rules=(scale, limit),
    law=Close(1e-9),
    options=Settings,
    plan=plan,
    needs=(one_graph, weights_in_float),
    fires=(
        "conv(4) relu conv(4,groups=4) relu maxpool conv(5) | equalize",
        "conv(4) bn relu6 conv(4,groups=4) bn relu6 conv(3,k=1) bn | eval | fold_batch_norm | equalize",
        "conv(4,nobias) leaky pad avgpool tconv(6,groups=2) relu tconv(4,groups=2) relu6 gap linear(3) | equalize",
        "input(3,6) conv(4) relu flatten linear(5) relu linear(2) | equalize",
    ),
    refuses={
        "conv(3) bn conv(3) | equalize": "batch_norm stands behind it",
        "conv(3) relu [ conv(3) ] + conv(3) | equalize": "relu has 2 readers",
        "conv(3) conv(3) tied | equalize": "its weight has 2 readers",
        "conv(3) | equalize": "conv2d is an output",
        "conv(4) relu conv(4) | equalize | equalize": "its ranges are equal already",
        "relu6 | equalize": "it stands between no two layers to be equalized",
    },
)
