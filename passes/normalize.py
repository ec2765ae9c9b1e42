"""Bring the graph into the one form that later passes and lowering match: what does nothing goes, spellings become one.

    dropout(x, 0) = to(x, its own type) = clone(x) = x * 1 = x - 0 = x
    view, flatten, squeeze, unsqueeze, ... = reshape(x, sizes), -1 for the batch
    reshape(reshape(x, sizes), others) = reshape(x, others)
    conv(x, w, padding="same") = conv(pad(x, d (k - 1) mod 2 behind), w, padding=floor(d (k - 1) / 2))
    x @ w.t() = linear(x, w),   addmm(b, x, w.t()) = linear(x, w, b)

Exact to the last bit, gradients too: where a rewrite would sum three or more gradients in another order, it is not
made. In-place calls are pure since capture, but for those that cannot be. Casts of floating values stay, unless it is
certain what they cast, since autocast gives what they read another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from ..compiler.canonical import (
    SHAPED,
    contiguous,
    drops_batch,
    memory,
    same_padding,
    same_sizes,
    sizes,
    summands,
    sums_alike,
)
from ..compiler.contract import Exact, Pass
from ..compiler.edit import Edit
from ..compiler.facts import normal
from ..compiler.graph import arguments
from ..compiler.operators import CONVERSIONS
from ..compiler.pattern import Call, Planned, Weight, aten, either
from ..compiler.rule import Match, rule

_aten = torch.ops.aten
_CASTS = CONVERSIONS - {_aten.detach.default}
_OF_CASTS = _CASTS | {_aten._to_copy.default}


def _calls(targets: Any) -> Call:
    return Call("", frozenset(targets))


def _first_of(call: fx.Node) -> fx.Node:
    node: fx.Node = next(iter(arguments(call).values()))
    return node


def _first(match: Match) -> fx.Node:
    """What the root reads first."""
    return _first_of(match.root)


def _unwritten(match: Match) -> str:
    return "its memory is changed in place" if match.root.name in match.plan.written else ""


def _same_sums(match: Match) -> str:
    alike = sums_alike(_first(match), match.root)
    return "" if alike else "gradients would be summed in another order"


def _drops(match: Match) -> str:
    given = arguments(match.root)
    return f"it drops with probability {given['p']} in training" if given["train"] and given["p"] > 0 else ""


@rule(
    either(
        *(maker.default() for maker in (aten.dropout, aten.feature_dropout, aten.alpha_dropout)),
        aten.feature_alpha_dropout.default(),
    ),
    _drops,
)
def dropout(match: Match, edit: Edit) -> fx.Node:
    return _first(match)


def _converts(match: Match) -> str:
    source, result = _first(match).meta["val"], match.root.meta["val"]
    if source.dtype != result.dtype:
        return f"it converts {str(source.dtype)[6:]} to {str(result.dtype)[6:]}"
    given = arguments(match.root)
    if given.get("copy"):
        return "it makes a copy"
    form = given.get("memory_format")
    ordered = form in (None, torch.preserve_format) or contiguous(source, form)
    return "" if ordered and source.device == result.device else "it moves the values"


def _may_differ(match: Match) -> str:
    source = _first(match)
    if match.plan.devices and match.root.target not in (_aten.to.dtype, _aten.type_as.default):
        return "the inputs may come from several devices"
    certain = source.op == "get_attr" or source.target in _OF_CASTS or not source.meta["val"].is_floating_point()
    return "" if certain else "what it casts may be of another type under autocast"


@rule(_calls(_CASTS), _converts, _may_differ)
def cast(match: Match, edit: Edit) -> fx.Node:
    return _first(match)


def _cuts(match: Match) -> str:
    source = _first(match)
    if source.op == "get_attr":
        return "" if not isinstance(match.graph.tensor(source), torch.nn.Parameter) else "it cuts a gradient"
    cut = source.target is _aten.detach.default or not source.meta["val"].is_floating_point()
    return "" if cut else "it cuts a gradient"


@rule(aten.detach.default(), _unwritten, _cuts)
def detached(match: Match, edit: Edit) -> fx.Node:
    return _first(match)


def _needed(match: Match) -> str:
    reason: str = match.plan.copies[match.root.name]
    return reason


@rule(Planned(), _needed, _same_sums)
def copy(match: Match, edit: Edit) -> fx.Node:
    return _first(match)


def _resizes(match: Match) -> str:
    before, after = (same_sizes(node.meta["val"]) for node in (_first(match), match.root))
    return "" if before == after else "it gives another shape"


@rule(
    either(aten.alias.default(), aten.expand.default(), aten.slice.Tensor(step=1), aten.reshape.default()),
    _resizes,
    _unwritten,
    _same_sums,
)
def whole(match: Match, edit: Edit) -> fx.Node:
    return _first(match)


def _normal_already(match: Match) -> str:
    normal = match.root.target is _aten.reshape.default and arguments(match.root)["shape"] == sizes(
        match.root.meta["val"]
    )
    return "it is a reshape to numbers already" if normal else ""


def _open_sizes(match: Match) -> str:
    if sizes(match.root.meta["val"]) is None:
        return "more than one of its sizes depend on the input"
    return "a batch of one would lose its axis" if drops_batch(match.root) else ""


def _strides(match: Match) -> str:
    squeezed = "squeeze" in str(match.root.target)
    kept = not squeezed or contiguous(_first(match).meta["val"])
    return "" if kept else "its axes lie in another order in memory"


@rule(_calls(SHAPED), _normal_already, _unwritten, _open_sizes, _strides)
def reshape(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.reshape.default, _first(match), sizes(match.root.meta["val"]))


inner = aten.reshape.default()


def _moves(match: Match) -> str:
    return "" if contiguous(_first_of(match[inner]).meta["val"]) else "the first of two reshapes may copy"


def _read_between(match: Match) -> str:
    within = match[inner]
    alone = not within.meta["val"].is_floating_point() or summands(within, 1) == 1
    return "" if alone and sums_alike(_first_of(within), within) else "gradients would be summed in another order"


@rule(aten.reshape.default(self=inner), _unwritten, _moves, _read_between)
def merge(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.reshape.default, _first_of(match[inner]), arguments(match.root)["shape"])


_NUMBERED: Mapping[Any, Any] = {
    _aten.conv1d.padding: _aten.conv1d.default,
    _aten.conv2d.padding: _aten.conv2d.default,
    _aten.conv3d.padding: _aten.conv3d.default,
}


@rule(either(aten.conv1d.padding(), aten.conv2d.padding(), aten.conv3d.padding()))
def padding(match: Match, edit: Edit) -> fx.Node:
    behind, both = same_padding(match.root)
    given = arguments(match.root)
    x = given.pop("input")
    if any(behind):
        x = edit.call(_aten.constant_pad_nd.default, x, [n for last in reversed(behind) for n in (0, last)], 0)
    return edit.call(_NUMBERED[match.root.target], x, **{**given, "padding": both})


turned = either(
    aten.t.default(self=Weight("w")),
    aten.numpy_T.default(self=Weight("w")),
    aten.permute.default(self=Weight("w"), dims=[1, 0]),
    aten.transpose.int(self=Weight("w")),
)


def _not_a_matrix(match: Match) -> str:
    turn = match[turned]
    axes = {arguments(turn).get(name, i) % 2 for i, name in enumerate(("dim0", "dim1"))}
    return "" if match.tensor("w").dim() == 2 and axes == {0, 1} else "the weight is no transposed matrix"


def _tied(match: Match) -> str:
    return "" if sums_alike(match.node("w"), match[turned]) else "gradients would be summed in another order"


@rule(either(aten.matmul.default(other=turned), aten.mm.default(mat2=turned)), _not_a_matrix, _tied)
def linear(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.linear.default, _first(match), match.node("w"), None)


def _scaled(match: Match) -> str:
    given = arguments(match.root)
    plain = given["beta"] == given["alpha"] == 1 and given["self"].meta["val"].dim() == 1
    return "" if plain else "its bias is no vector, or something is scaled"


@rule(aten.addmm.default(self=Weight("b"), mat2=turned), _scaled, _not_a_matrix, _tied)
def linear_with_bias(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.linear.default, arguments(match.root)["mat1"], match.node("w"), match.node("b"))


PASS = Pass(
    rules=(dropout, cast, detached, copy, reshape, merge, whole, padding, linear, linear_with_bias),
    law=Exact(),
    plan=memory,
    leaves=(normal,),
    repeatable=True,
    fires=(
        "conv(4) spelt(idle dropout) bn(eval) dropout relu | normalize",
        "conv(4) dropout view relu linear(3) | eval | normalize",
        "conv(3) spelt(cast twice) spelt(cast codes) spelt(detach twice) | normalize",
        "conv(3) spelt(clone) spelt(times one) spelt(over one) spelt(minus zero) spelt(plus zero) relu | normalize",
        "conv(3) spelt(plus zero codes) [ spelt(times one) ] + spelt(clone) | normalize",
        "conv(3) spelt(clone) [ [ spelt(times one) ] + spelt(alias) ] + | normalize",
        "conv(3) spelt(whole) spelt(expand) spelt(alias) spelt(first) spelt(steps) relu | normalize",
        "conv(3) rows view flatten spelt(column) linear(3) | normalize",
        "conv(3) rows spelt(squeeze) spelt(swapped column) spelt(read twice) | normalize",
        "conv(3) spelt(read thrice) bn spelt(clone) relu | normalize",
        "conv(3) spelt(turned) spelt(gram) | normalize",
        "conv(3) rows spelt(elu in place) | normalize",
        "conv(3,same) conv(3,valid) conv(4,k=4,same) conv(2,k=2,same) relu | normalize",
        "input(3,9) conv(4,k=4,same) conv(2,valid) | normalize",
        "input(2,4,5,6) conv(4,k=2,same) conv(2,k=1,valid) | normalize",
        "spelt(matmul) bn relu spelt(matmul swapped) spelt(mm) spelt(addmm) | normalize",
        "spelt(addmm scaled) spelt(matmul of a weight read thrice) spelt(matmul of a row) | normalize",
    ),
    refuses={
        "dropout | normalize": "it drops with probability 0.5 in training",
        "conv(3) spelt(cast) relu | normalize": "what it casts may be of another type under autocast",
        "conv(3) spelt(cast codes) relu | normalize": "it converts bool to int64",
        "conv(3) spelt(detach) relu | normalize": "it cuts a gradient",
        "conv(3) spelt(plus zero) relu | normalize": "adding 0 makes 0.0 of -0.0",
        "conv(3) swap spelt(ordered clone) | normalize": "its result has another type or lies otherwise in memory",
        "conv(3) spelt(elu in place) | normalize": "its memory is changed in place",
        "spelt(clone) | normalize": "the copy is an output, which the caller may change",
        "conv(3) [ [ spelt(times one) ] + ] + | normalize": "gradients would be summed in another order",
        "conv(3) spelt(read twice) relu | normalize": "gradients would be summed in another order",
        "conv(3) flatten | normalize": "it is a reshape to numbers already",
        "conv(3) spelt(gram) | normalize": "more than one of its sizes depend on the input",
        "conv(3) spelt(squeeze) | normalize": "a batch of one would lose its axis",
        "conv(3) spelt(swapped column) | normalize": "its axes lie in another order in memory",
        "conv(3) spelt(turned) | normalize": "the first of two reshapes may copy",
        "conv(3) spelt(first) | normalize": "it gives another shape",
        "spelt(matmul of a row) | normalize": "the weight is no transposed matrix",
        "spelt(matmul of a weight read thrice) | normalize": "gradients would be summed in another order",
        "spelt(addmm scaled) | normalize": "its bias is no vector, or something is scaled",
    },
)
