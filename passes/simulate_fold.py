"""Train the weight that the fold of a batch norm will leave: the grid rounds k w instead of w.

    y = layer(x, Q(k w)) / k + b,   out = bn(y),   k = g / sqrt(running_var + eps)

(Jacob et al. 2018, section 3.2; Krishnamoorthi 2018, section 3.2.2.) Without a grid nothing changes: k cancels, the
norm goes on with the statistics of its batch and updates the running ones. With one, `freeze` and `fold_batch_norm`
leave the very codes that training saw, and one scale a layer stays one.

k is a constant of the step: no gradient passes through it, else a penalty on k w would be lowered by shrinking g. It
keeps 1e-8 away from zero, with the sign of g.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from ..compiler.contract import Close, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.graph import Graph, arguments, shape
from ..compiler.layers import channel_axis, factor_of, groups
from ..compiler.movement import NOBODY
from ..compiler.operators import TRANSPOSED
from ..compiler.pattern import Pattern, aten, either
from ..compiler.rule import Match, rule
from ..compiler.takers import Search, Taker, norms

_aten, _own = torch.ops.aten, torch.ops.lowbit

CHANNELS = "lowbit.channels."
"""Names of the buffers that say which channel of the norm each of a layer's is."""


@dataclass(frozen=True)
class Factor:
    """k of a layer: the names of the norm's weight, if it has one, and of its variance, its eps, and the norm's channel
    for each of the layer's.
    """

    g: str | None
    var: str
    eps: float
    channels: Tensor


@dataclass(frozen=True)
class Plan:
    """By name of a layer: its factor, or why there is none."""

    layers: Mapping[str, Factor]
    reasons: Mapping[str, str]


def plan(graph: Graph, options: OptionsFor) -> Plan:
    """Every norm with running statistics, in training or not, that `fold_batch_norm` will fold into layers."""
    search = Search(graph.constants())
    layers: dict[str, Factor] = {}
    reasons: dict[str, str] = {}
    for norm in norms(graph):
        for taker in search.takers(norm).takers:
            if taker.divisor is not None:
                reasons[taker.node.name] = "its fold is simulated already"
            elif not bool((taker.channels == NOBODY).any()) and (factor := _planned(norm, taker)) is not None:
                layers[taker.node.name] = factor
    return Plan(layers, reasons)


def _planned(norm: fx.Node, taker: Taker) -> Factor | None:
    given = arguments(norm)
    g, var = given["weight"], given["running_var"]
    if var.op != "get_attr" or (g is not None and g.op != "get_attr"):
        return None
    return Factor(None if g is None else str(g.target), str(var.target), given["eps"], taker.channels)


def _layer() -> Pattern:
    plain = (aten.conv1d(), aten.conv2d(), aten.conv3d())
    return either(*plain, aten.conv_transpose1d(), aten.conv_transpose2d(), aten.conv_transpose3d(), aten.linear())


def _feeds_a_norm(match: Match) -> str:
    name, plan = match.root.name, match.plan
    return "" if name in plan.layers else str(plan.reasons.get(name, "no batch norm will be folded into it"))


@rule(_layer(), _feeds_a_norm)
def simulate(match: Match, edit: Edit) -> fx.Node:
    """layer(x, w) + b -> layer(x, k w) / k + b."""
    given, factor = arguments(match.root), match.plan.layers[match.root.name]
    product = _made_before(match.root, given["weight"], factor)
    k = None if product is None else factor_of(product)
    if product is None or k is None:
        k = _factor(match, edit, factor)
        product = edit.call(_aten.mul.Tensor, given["weight"], _along_weight(edit, match.root, k))
    sums = edit.like(match.root, weight=product, bias=None)
    y = edit.call(_aten.div.Tensor, sums, _along_output(edit, match.root, k))
    if given["bias"] is None:
        return y
    return edit.call(_aten.add.Tensor, y, _along_output(edit, match.root, given["bias"]))


def _factor(match: Match, edit: Edit, factor: Factor) -> fx.Node:
    """k for each channel of the layer, (channels,)."""
    g, var = (_read(match, edit, name) for name in (factor.g, factor.var))
    k = edit.call(_own.norm_factor.default, g, var, factor.eps)
    if torch.equal(factor.channels, torch.arange(int(shape(k)[0]))):
        return k
    channels = edit.buffer(f"{CHANNELS}{match.root.name}", factor.channels)
    return edit.call(_aten.index_select.default, k, 0, channels)


def _read(match: Match, edit: Edit, name: str | None) -> fx.Node | None:
    """A tensor of the norm, where the layer, which stands before the norm, may read it."""
    if name is None:
        return None
    before = [node for node in match.graph.fx.find_nodes(op="get_attr", target=name) if node < match.root]
    return before[0] if before else edit.common(name, match.graph.state[name])


def _made_before(call: fx.Node, weight: fx.Node, factor: Factor) -> fx.Node | None:
    """The product that another call of the same module reads already, so that the two have one grid."""
    for reader in weight.users:
        k = factor_of(reader) if reader < call else None
        if k is not None and k.target is _own.norm_factor.default and len(factor.channels) == int(shape(k)[0]):
            given = arguments(k)
            g = None if given["g"] is None else given["g"].target
            if (g, given["var"].target, given["eps"]) == (factor.g, factor.var, factor.eps):
                return reader
    return None


def _along_output(edit: Edit, call: fx.Node, k: fx.Node) -> fx.Node:
    """k, (channels,), shaped so that it meets the channels of the layer's output."""
    behind = len(shape(call)) - 1 - channel_axis(call)
    return edit.call(_aten.reshape.default, k, [-1, *[1] * behind]) if behind else k


def _along_weight(edit: Edit, call: fx.Node, k: fx.Node) -> fx.Node:
    """k, (channels,), shaped so that it meets the output channels of the layer's weight; see `along_outputs`."""
    rows, _, *kernel = shape(arguments(call)["weight"])
    ones = [1] * len(kernel)
    if call.target not in TRANSPOSED:
        return edit.call(_aten.reshape.default, k, [-1, 1, *ones])
    blocks = edit.call(_aten.reshape.default, k, [groups(call), 1, -1])
    spread = edit.call(_aten.expand.default, blocks, [groups(call), int(rows) // groups(call), -1])
    return edit.call(_aten.reshape.default, spread, [int(rows), -1, *ones])


PASS = Pass(
    rules=(simulate,),
    law=Close(1e-9),
    plan=plan,
    fires=(
        "conv(3) bn relu linear(4) | simulate_fold",
        "input(4,8,8) tconv(4,groups=2) bn(eval) tconv(3,nobias) bn(noaffine) | simulate_fold",
        "conv(4) shuffle(2) [ conv(4) ] cat bn(tiny) rows mix(3) swap bn(huge) | simulate_fold",
        "conv(4) bn | schedule_pruning | simulate_fold",
        "[ conv(3) bn ] twice | simulate_fold",
    ),
    refuses={
        "conv(3) | simulate_fold": "no batch norm will be folded into it",
        "conv(3) bn(nostats) | simulate_fold": "no batch norm will be folded into it",
        "conv(4) bn | simulate_fold | simulate_fold": "its fold is simulated already",
    },
)
