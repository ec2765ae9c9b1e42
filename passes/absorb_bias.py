"""Move what an activation never goes below into the next bias, so that its grid need not hold it (Nagel et al. 2019).

    W relu(bn(x)) + b = W relu(bn(x) - c) + (b + W c),   c = max(0, beta - n |gamma|)

beta and gamma are the shift and the scale of the batch norm, and so the mean and deviation of what it gives: for n = 3
one value in 740 lies below c, if they are normal. It is exact where none does; where one does, c is seen in its place.
It stands before `fold_batch_norm`, which takes the norm away. A limit from above moves along: min(relu(x), 6) becomes
min(relu(x - c), 6 - c). Where the layer behind pads with zeros it is not done: they would have to become -c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.chains import BOUND, CLIPS, Chain, chain_from, shared, upper
from ..compiler.contract import CloseAbove, Options, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import one_graph, weights_in_float
from ..compiler.graph import Graph, arguments, layer, shape
from ..compiler.layers import along_inputs, per_output
from ..compiler.operators import AVERAGES, CONVOLUTIONS, LINEAR, MAX_POOLS, PRODUCERS, RECTIFIERS, RESHAPES
from ..compiler.pattern import Call, Weight, aten
from ..compiler.rule import Match, rule

_aten = torch.ops.aten
_SHIFTED = RESHAPES | MAX_POOLS | AVERAGES | {_aten.dropout.default, _aten.contiguous.default, _aten.clone.default}
"""Calls that pass on a number added to a whole channel, if they pad nothing."""
ROUNDING = 2.0**-20
"""What is left of beta - n |gamma| once c has been moved, beside its terms."""


class Settings(Options, frozen=True):
    """deviations: n, how many deviations below its mean a channel is taken to reach."""

    deviations: Annotated[float, Meta(ge=0, le=100)] = 3.0


@dataclass(frozen=True)
class Absorbed:
    """What moves from a norm to a layer.   c: (channels,).   inputs: c for each input of the layer."""

    chain: Chain
    c: Tensor

    @property
    def inputs(self) -> Tensor:
        return self.c.repeat_interleave(self.chain.repeat)


@dataclass(frozen=True)
class Plan:
    """By node name: norms, the layers behind them, what rectifies between them, and why other norms keep theirs."""

    norms: Mapping[str, Absorbed]
    layers: Mapping[str, Absorbed]
    activations: Mapping[str, Absorbed]
    why: Mapping[str, str] = field(default_factory=dict)


def plan(graph: Graph, options: OptionsFor) -> Plan:
    """Follow every norm through its activation to the next layer."""
    found, why = dict[str, Absorbed](), dict[str, str]()
    for node in graph.nodes:
        if node.target is _aten.batch_norm.default:
            absorbed = _absorbed(graph, node, options(layer(node)).deviations)
            if isinstance(absorbed, Absorbed):
                found[node.name] = absorbed
            else:
                why[node.name] = absorbed
    layers = {absorbed.chain.second.name: absorbed for absorbed in found.values()}
    return Plan(found, layers, {absorbed.chain.path[0].name: absorbed for absorbed in found.values()}, why)


def _absorbed(graph: Graph, norm: fx.Node, deviations: float) -> Absorbed | str:
    if arguments(norm)["training"]:
        return "it takes the statistics of its batch"
    chain = chain_from(norm)
    if isinstance(chain, str):
        return chain
    if not chain.path or chain.path[0].target not in RECTIFIERS | CLIPS:
        return "no ReLU stands behind it"
    if any(node.target not in _SHIFTED or _pads(node) for node in chain.path[1:]):
        return "what stands behind its ReLU does not pass on a shift"
    if chain.second.target not in CONVOLUTIONS | {LINEAR} or _pads(chain.second):
        return "the layer behind it pads, and its border would not be shifted"
    if reason := shared(graph, chain.second, "bias"):
        return reason
    if arguments(chain.second)["weight"].op != "get_attr":
        return "the weight behind it is computed from other values"
    c = _least(graph, norm, deviations)
    limit = upper(chain.path[0]) if chain.path[0].target in CLIPS else None
    if c is not None and limit is not None:
        c = c.clamp_max(limit)
    return "no channel of it stays above zero" if c is None or not bool(c.any()) else Absorbed(chain, c)


def _pads(node: fx.Node) -> bool:
    """Whether a call puts zeros around its input; the border of a maximum is never chosen."""
    padding = arguments(node).get("padding", 0) if node.target not in MAX_POOLS else 0
    return isinstance(padding, str) or any(padding if isinstance(padding, (list, tuple)) else [padding])


def _least(graph: Graph, norm: fx.Node, deviations: float) -> Tensor | None:
    """c, (channels,) in float64; None without beta or gamma."""
    given = arguments(norm)
    if given["weight"] is None or given["bias"] is None:
        return None
    beta, gamma = (graph.evaluate(given[name]).double() for name in ("bias", "weight"))
    c = (beta - deviations * gamma.abs()).clamp_min(0)
    return torch.where(c > ROUNDING * beta.abs(), c, 0.0)


def _floors(planned: Plan) -> dict[str, Tensor]:
    """Activation -> c, shaped to broadcast."""
    found = planned.activations.items()
    return {name: a.c.reshape(-1, *[1] * (len(shape(a.chain.path[0])) - 2)) for name, a in found}


def _stays_above(match: Match) -> str:
    name = match.root.name
    return "" if name in match.plan.norms else str(match.plan.why.get(name, "it has given away what it can"))


@rule(aten.batch_norm(training=False, bias=Weight("beta")), _stays_above)
def lower(match: Match, edit: Edit) -> fx.Node:
    """beta -> beta - c."""
    beta = match.tensor("beta")
    less = (beta.double() - match.plan.norms[match.root.name].c).to(beta.dtype)
    return edit.like(match.root, bias=edit.parameter(f"{layer(match.node('beta'))}.absorbed_bias", less))


def _limited(match: Match) -> str:
    return "" if match.root.name in match.plan.activations else "nothing is absorbed behind it"


@rule(Call("", CLIPS), _limited)
def lower_limit(match: Match, edit: Edit) -> fx.Node:
    """min(relu(x), m) -> min(relu(x), m - c)."""
    limit: float = upper(match.root)  # type: ignore[assignment]  # the chain goes through it
    room = limit - _floors(match.plan)[match.root.name]
    rectified = edit.call(_aten.relu.default, arguments(match.root)["self"])
    bound = room.to(match.root.meta["val"].dtype).unsqueeze(0)
    return edit.call(BOUND, rectified, edit.buffer(f"{layer(match.root) or 'lowbit'}.absorbed_limit", bound))


def _takes(match: Match) -> str:
    return "" if match.root.name in match.plan.layers else "no norm before it gives anything away"


@rule(Call("", PRODUCERS), _takes)
def absorb(match: Match, edit: Edit) -> fx.Node:
    """b -> b + W c."""
    call, given = match.root, arguments(match.root)
    weight = match.graph.tensor(given["weight"]).double()
    moved = per_output(call, weight * along_inputs(call, match.plan.layers[call.name].inputs)).sum(1)
    bias = moved if given["bias"] is None else match.graph.tensor(given["bias"]).double() + moved
    name = f"{layer(given['weight'])}.absorbing_bias"
    return edit.like(call, bias=edit.parameter(name, bias.to(call.meta["val"].dtype)))


PASS = Pass(
    rules=(lower, lower_limit, absorb),
    law=CloseAbove(1e-9, _floors),
    options=Settings,
    plan=plan,
    needs=(one_graph, weights_in_float),
    fires=(
        "conv(8) bn relu conv(4,k=1) | eval | absorb_bias(deviations=0.5)",
        "conv(8) bn(large) relu6 maxpool conv(8,k=1,groups=2,nobias) bn relu avgpool flatten linear(3) relu6 | eval"
        " | absorb_bias(deviations=0.25)",
        "linear(8) bn relu linear(5) | eval | absorb_bias(deviations=0)",
    ),
    refuses={
        "conv(8) bn relu conv(4,k=1) | absorb_bias(deviations=0)": "training is True",
        "conv(8) bn relu conv(4) | eval | absorb_bias(deviations=0)": "the layer behind it pads, and its border would"
        " not be shifted",
        "conv(8) bn conv(4,k=1) | eval | absorb_bias": "no ReLU stands behind it",
        "conv(8) bn relu pad conv(4,k=1) | eval | absorb_bias": "what stands behind its ReLU does not pass on a shift",
        "conv(8) bn(noaffine) relu conv(4,k=1) | eval | absorb_bias": "'beta' is not a parameter or buffer",
        "conv(8) bn relu conv(4,k=1) | eval | absorb_bias(deviations=100)": "no channel of it stays above zero",
        "conv(3) bn relu [ conv(3,k=1) ] + | eval | absorb_bias": "relu has 2 readers",
    },
)
