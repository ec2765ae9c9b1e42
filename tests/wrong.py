"""Passes that each break one law, for the test that the laws can fail."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from lowbit.compiler.contract import Close, CloseAbove, Exact, ExactIntegers, Law, OnGrid, Pass, WithinSteps
from lowbit.compiler.edit import Edit
from lowbit.compiler.graph import Origin, stamp
from lowbit.compiler.pattern import Weight, aten, own
from lowbit.compiler.rule import Match, Rule, rule
from torch import Tensor, fx

_aten, _own = torch.ops.aten, torch.ops.lowbit
relu, conv = aten.relu.default(), aten.conv2d.default(weight=Weight("w"))
dequantize = own.dequantize(codes=Weight("codes"))
EXACT = Exact()
HIGH = 1000
"""A code that no grid of a trial has."""
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


@once
def vector(match: Match, edit: Edit) -> fx.Node:
    """A penalty that is no scalar."""
    edit.penalty("vector", match.node("w"))
    return edit.call(_aten.clamp_min.default, _x(match), 0)


@torch.library.custom_op("lowbit_wrong::squares", mutates_args=())
def squares(w: Tensor) -> Tensor:
    return w.square().sum()


@squares.register_fake
def _(w: Tensor) -> Tensor:
    return w.new_empty(())


squares.register_autograd(
    lambda ctx, grad: grad * ctx.saved_tensors[0],  # half of what it is
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


@once
def halved(match: Match, edit: Edit) -> fx.Node:
    """A penalty with a gradient that is not its slope."""
    edit.penalty("halved", edit.call(torch.ops.lowbit_wrong.squares.default, match.node("w")))
    return edit.call(_aten.clamp_min.default, _x(match), 0)


def _grid(edit: Edit, x: fx.Node, lo: int) -> fx.Node:
    scale = edit.buffer("lowbit.wrong", torch.tensor(0.25, dtype=torch.float64))
    return edit.call(_own.fake_quantize.default, x, scale, 0, lo, 127, -1, False)


def _free(match: Match) -> str:
    return "it is on a grid" if any(reader.target is _own.fake_quantize.default for reader in match.root.users) else ""


@rule(relu, _free, lambda match: "" if len(match.root.users) > 1 else "it is read once")
def bypassed(match: Match, edit: Edit) -> fx.Node:
    """One reader goes on reading what no grid has rounded."""
    edit.keep(next(iter(match.root.users)))
    return _grid(edit, match.root, 0)


@rule(conv, _free)
def unsigned(match: Match, edit: Edit) -> fx.Node:
    return _grid(edit, match.root, 0)


def raised_to(floor: float, name: str) -> Pass:
    """Raises rectified values to a floor, and says that the floor is 1/2."""
    return Pass(
        rules=(once(lambda match, edit: edit.call(_aten.clamp_min.default, _x(match), floor)),),
        law=CloseAbove(1e-9, lambda names: dict.fromkeys(names, torch.tensor(0.5, dtype=torch.float64))),
        plan=lambda graph, options: [node.name for node in graph.nodes if node.target is _aten.relu.default],
        fires=(f"conv(3) relu | {name}",),
    )


@rule(dequantize, lambda match: "" if int(match.tensor("codes").max()) < HIGH else "it is turned already")
def turned(match: Match, edit: Edit) -> fx.Node:
    """One code of a weight moves, by less than the tolerance of floats sees."""
    codes = match.tensor("codes").clone()
    codes.view(-1)[0] = HIGH
    return edit.like(match.root, codes=edit.buffer("turned_codes", codes))


@rule(relu)
def spelt_out(match: Match, edit: Edit) -> fx.Node:
    """relu(x) = (x + |x|) / 2, of which no integer program knows."""
    x = match.argument(relu, "self")
    return edit.call(_aten.div.Tensor, edit.call(_aten.add.Tensor, x, edit.call(_aten.abs.default, x)), 2)


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
legal = breaking("legal", vector)
gradient = breaking("gradient", halved)
on_grid = breaking("on_grid", bypassed, "conv(3) relu [ conv(3) ] +", OnGrid())
unsigned_grid = breaking("unsigned_grid", unsigned, "conv(3) relu", OnGrid())
raised, raised_by_half = raised_to(0.25, "raised"), raised_to(0.5, "raised_by_half")
FROZEN = "conv(3) relu conv(2) | insert_fake_quant | eval | freeze"
integers = breaking("integers", turned, FROZEN, ExactIntegers(1e6))
no_integers = breaking("no_integers", spelt_out, FROZEN, ExactIntegers(1e-9))
steps = breaking("steps", turned, FROZEN, WithinSteps(lambda options: 1e-6))


quiet = breaking("quiet", scaled(lambda: 1.0), "conv(3) tanh")
mute = Pass(
    rules=(Rule("change", relu, (lambda match: "", lambda match: "not now"), more.build),),
    law=Exact(),
    refuses={"conv(3) relu | mute": "another reason"},
)
