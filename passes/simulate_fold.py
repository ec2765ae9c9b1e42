"""Train the weight that the fold of a batch norm will leave: the grid rounds k w instead of w.

    y = layer(x, Q(k w)) / k + b,   out = bn(y),   k = g / sqrt(running_var + eps)

(Jacob et al. 2018, section 3.2; Krishnamoorthi 2018, section 3.2.2.) Without a grid nothing changes: k cancels, the
norm goes on with the statistics of its batch and updates the running ones. With one, `freeze` and `fold_batch_norm`
leave the very codes that training saw, and one scale a layer stays one.

k is a constant of the step: no gradient passes through it, else a penalty on k w would be lowered by shrinking g. The
g in it keeps 1/32 away from zero: a norm that begins at zero would give its layer a grid too fine for later weights.

After a share of the training norms may freeze: from that step on they use their running statistics, which then stand
still, and with them k; the network learns to do with what it will have in inference (Krishnamoorthi 2018, section
3.2.2).

    out = where(step >= n, bn(y) with running statistics, bn(y) with those of the batch)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, fx

from ..compiler.clock import steps_done
from ..compiler.contract import Close, Options, OptionsFor, Pass
from ..compiler.edit import Edit
from ..compiler.facts import weights_in_float
from ..compiler.graph import Graph, arguments, shape
from ..compiler.layers import channel_axis, factor_of, output_axis, weight_of
from ..compiler.norms.movement import NOBODY
from ..compiler.norms.norm import forms
from ..compiler.norms.takers import Search, Taker, norms
from ..compiler.pattern import Anything, Pattern, aten, either
from ..compiler.rule import Match, rule

_aten, _own = torch.ops.aten, torch.ops.lowbit

CHANNELS = "lowbit.channels."
"""Names of the buffers that say which channel of the norm each of a layer's is."""


class Settings(Options, frozen=True):
    """freeze_statistics: the share of the training after which norms use their running statistics; 1: never."""

    freeze_statistics: Annotated[float, Meta(ge=0, le=1)] = 1.0


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
            elif output_axis(taker.node) is None:
                reasons[taker.node.name] = "its weight has no axis of output channels"
            elif not bool((taker.channels == NOBODY).any()) and (factor := _planned(norm, taker)) is not None:
                layers[taker.node.name] = factor
    return Plan(layers, reasons)


def _planned(norm: fx.Node, taker: Taker) -> Factor | None:
    given = arguments(norm)
    g, var = weight_of(given["weight"]), given["running_var"]  # k cancels, so a mask on g need not be in it
    if var.op != "get_attr" or (g is None) != (given["weight"] is None):
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
    """k, (channels,), shaped so that it meets the output channels of the layer's weight."""
    rank = len(shape(arguments(call)["weight"]))
    sizes = [-1 if axis == output_axis(call) else 1 for axis in range(rank)]
    return edit.call(_aten.reshape.default, k, sizes)


norm = aten.batch_norm(training=True, running_mean=Anything("mean"), running_var=Anything("var"))


def _freezes(match: Match) -> str:
    return "" if match.options.freeze_statistics < 1 else "its statistics are never frozen"


def _keeps_statistics(match: Match) -> str:
    if any(forms(reader) is not None for reader in match.root.users):
        return "its statistics are frozen by steps already"
    held = all(getattr(match.node(name), "op", "") == "get_attr" for name in ("mean", "var"))
    return "" if held else "it holds no running statistics"


@rule(norm, _freezes, _keeps_statistics)
def freeze_statistics(match: Match, edit: Edit) -> fx.Node:
    """bn(y) -> where(step >= n, bn(y) in inference, bn(y)), and the statistics are set to what they then shall be.

    Both norms have copies of their own: for its gradient each keeps the statistics, which must not change behind it.
    """
    at = match.step_at(match.options.freeze_statistics, "simulate_fold.freeze_statistics")
    frozen = edit.call(_aten.ge.Scalar, steps_done(edit), at)
    old, new = ([edit.call(_aten.clone.default, match.node(name)) for name in ("mean", "var")] for _ in range(2))
    still = edit.like(match.root, running_mean=old[0], running_var=old[1], training=False)
    moving = edit.like(match.root, running_mean=new[0], running_var=new[1])
    for name, before, after in zip(("mean", "var"), old, new, strict=True):
        edit.call(_aten.copy_.default, match.node(name), edit.call(_aten.where.self, frozen, before, after))
    return edit.call(_aten.where.self, frozen, still, moving)


PASS = Pass(
    rules=(simulate, freeze_statistics),
    law=Close(1e-9, trained=True),
    options=Settings,
    plan=plan,
    needs=(weights_in_float,),
    fires=(
        "conv(3) bn relu linear(4) | simulate_fold",
        "input(4,8,8) tconv(4,groups=2) bn(eval) tconv(3,nobias) bn(noaffine) | simulate_fold",
        "conv(4) shuffle(2) [ conv(4) ] cat bn(tiny) rows mix(3) swap bn(huge) | simulate_fold",
        "conv(4) bn | schedule_pruning | simulate_fold",
        "conv(4) bn relu conv(3) bn | prune_units | simulate_fold",
        "[ conv(3) bn ] twice | simulate_fold",
        "conv(3) bn relu [ conv(3) bn ] twice linear(2) bn(noaffine) | simulate_fold(freeze_statistics=0.5)",
    ),
    refuses={
        "conv(3) | simulate_fold": "no batch norm will be folded into it",
        "conv(3) bn(nostats) | simulate_fold": "no batch norm will be folded into it",
        "input(4,8,8) tconv(4,groups=2) bn | simulate_fold": "its weight has no axis of output channels",
        "conv(4) bn | simulate_fold | simulate_fold": "its fold is simulated already",
        "conv(4) bn | simulate_fold": "its statistics are never frozen",
        "conv(4) bn | simulate_fold(freeze_statistics=0.5) | simulate_fold(freeze_statistics=0.25)": (
            "its statistics are frozen by steps already"
        ),
        "conv(3) bn(nostats) | simulate_fold(freeze_statistics=0)": "it holds no running statistics",
    },
)
