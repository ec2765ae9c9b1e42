"""Passes that each break one law, for the test that the laws can fail."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from lowbit.compiler.contract import Close, Exact, Law, Pass
from lowbit.compiler.edit import Edit
from lowbit.compiler.graph import Origin, stamp
from lowbit.compiler.pattern import Weight, aten
from lowbit.compiler.rule import Match, Rule, rule
from torch import fx

_aten = torch.ops.aten
relu, conv = aten.relu.default(), aten.conv2d.default(weight=Weight("w"))
EXACT = Exact()
_counter = count(2)


def once(build: Callable[[Match, Edit], fx.Node]) -> Rule:
    """A rule for the rectifiers of convolutions; what it makes is no such thing."""
    return Rule("change", aten.relu.default(self=conv), (), build)


def scaled(by: Callable[[], float]) -> Rule:
    return once(lambda match, edit: edit.call(_aten.mul.Tensor, edit.call(_aten.clamp_min.default, _x(match), 0), by()))


def _x(match: Match) -> fx.Node:
    return match[conv]


def breaking(name: str, build: Rule, line: str = "conv(3) relu", law: Law = EXACT, costs: str = "") -> Pass:
    return Pass(rules=(build,), law=law, costs=costs, fires=(f"{line} | {name}",))


@once
def writes(match: Match, edit: Edit) -> fx.Node:
    match.tensor("w").add_(1)
    return edit.call(_aten.clamp_min.default, _x(match), 0)


@once
def writes_unread(match: Match, edit: Edit) -> fx.Node:
    """The batch counter of a frozen norm, which no text of a graph shows."""
    for name in match.graph.state.keys() - match.graph.read():
        match.graph.state[name].add_(1)
    return edit.call(_aten.clamp_min.default, _x(match), 0)


@once
def twice(match: Match, edit: Edit) -> fx.Node:
    both = edit.call(_aten.add.Tensor, edit.like(_x(match)), _x(match))
    return edit.call(_aten.clamp_min.default, edit.call(_aten.div.Tensor, both, 2), 0)


@rule(conv, lambda match: "" if len(match.node("w").users) > 1 else "it is read once")
def apart(match: Match, edit: Edit) -> fx.Node:
    return edit.like(match.root, weight=edit.parameter("own", match.tensor("w")))


@once
def elsewhere(match: Match, edit: Edit) -> fx.Node:
    made = edit.call(_aten.clamp_min.default, _x(match), 0)
    stamp(made, Origin("nowhere", "nobody.py:1", ("wrong:provenance/change",)), made.meta["val"])
    return made


@once
def padded(match: Match, edit: Edit) -> fx.Node:
    """A padding in words again."""
    same = edit.call(_aten.conv2d.padding, match.argument(conv, "input"), match.node("w"), None, padding="same")
    return edit.call(_aten.clamp_min.default, same, 0)


@once
def steep(match: Match, edit: Edit) -> fx.Node:
    """The same value, twice the gradient."""
    y = edit.call(_aten.clamp_min.default, _x(match), 0)
    return edit.call(_aten.sub.Tensor, edit.call(_aten.mul.Tensor, y, 2), edit.call(_aten.detach.default, y))


@rule(conv, lambda match: "" if match.root.name in match.plan else "it is new")
def more(match: Match, edit: Edit) -> fx.Node:
    """What it makes has another name, until it runs again."""
    return edit.call(_aten.add.Tensor, edit.like(match.root), 0)


pure = breaking("pure", writes)
pure_of_unread = breaking("pure_of_unread", writes_unread, "conv(3) relu bn(eval)")
deterministic = breaking("deterministic", scaled(lambda: float(next(_counter))))
idempotent = Pass(
    rules=(more,),
    law=Exact(),
    plan=lambda graph, options: {node.name for node in graph.nodes},
    fires=("conv(3) | idempotent",),
)
multiplications = breaking("multiplications", twice)
bytes_of_weights = breaking("bytes_of_weights", apart, "conv(3) conv(3) tied")
needless = breaking(
    "needless", once(lambda match, edit: edit.call(_aten.clamp_min.default, _x(match), 0)), costs="it says so"
)
provenance = breaking("provenance", elsewhere)
order = breaking("order", padded, "conv(3,nobias) relu | normalize")
exact = breaking("exact", scaled(lambda: 1 + 2.0**-40))
close = breaking("close", scaled(lambda: 1 + 2.0**-20), law=Close(1e-9))
slope = breaking("slope", steep)
trained = breaking("trained", steep, law=Close(1e-9, trained=True))


quiet = breaking("quiet", scaled(lambda: 1.0), "conv(3) tanh")
mute = Pass(
    rules=(Rule("change", relu, (lambda match: "", lambda match: "not now"), more.build),),
    law=Exact(),
    refuses={"conv(3) relu | mute": "another reason"},
)
