"""Make activations that are written in pieces the one call that other passes and lowering know.

    max(x, 0) = where(x > 0, x, 0) = x (x > 0) = relu(x),  min(relu(x), 6) = clamp(x, 0, 6) = hardtanh(x, 0, 6)
    where(x > 0, x, a x) = leaky_relu(x, a)
    log(1 + exp x) = softplus(x),  x tanh(softplus x) = mish(x)
    1 / (1 + exp(-x)) = sigmoid(x),  x sigmoid(x) = silu(x)
    relu6(x + 3) / 6 = hardsigmoid(x),  x hardsigmoid(x) = hardswish(x)
    x (1 + erf(x / sqrt 2)) / 2 = gelu(x),  x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = gelu(x, "tanh")
    exp(x - max x) / sum exp(x - max x) = softmax(x)
    (x - mean x) / sqrt(var x + eps) = layer_norm(x)

ReLU6 is the `hardtanh` from 0 to 6, as `torch.export` writes `nn.ReLU6`. Values differ by rounding alone, where those
of the pieces are finite: softplus and softmax in pieces overflow for large x, the calls do not. Gradients are the same
but at a tie: at x = 0 that of `relu` is 0, while `clamp` passes 1 and `maximum` one half; so at the kinks of hardtanh,
leaky_relu, hardsigmoid and hardswish. The gradient of torch's hardsigmoid holds 1 / 6 in single precision alone. A
pattern with a part that is read elsewhere stays: both would be computed.
"""

from __future__ import annotations

import math

import torch
from torch import fx

from ..compiler.canonical import same_sizes
from ..compiler.contract import Close, Pass
from ..compiler.edit import Edit
from ..compiler.graph import arguments
from ..compiler.literals import Item, Number, larger, numbers, plus, product, scaled_product, smaller, times
from ..compiler.pattern import Anything, Either, Pattern, aten, either
from ..compiler.rule import Match, rule

_aten = torch.ops.aten

x = Anything("x")


def _select(then: Pattern, otherwise: Pattern) -> Either:
    """`then` where x is positive, else the other; what x = 0 selects makes no difference."""
    above = either(aten.gt.Scalar(self=x, other=0), aten.ge.Scalar(self=x, other=0))
    below = either(aten.lt.Scalar(self=x, other=0), aten.le.Scalar(self=x, other=0))
    return either(
        aten.where.self(condition=above, self=then, other=otherwise),
        aten.where.ScalarOther(condition=above, self=then, other=otherwise),
        aten.where.self(condition=below, self=otherwise, other=then),
        aten.where.ScalarSelf(condition=below, self=otherwise, other=then),
    )


def _other_type(match: Match) -> str:
    before, after = match.node("x").meta["val"], match.root.meta["val"]
    alike = before.dtype == after.dtype and same_sizes(before) == same_sizes(after)
    return "" if alike else "the result has another type or shape than x"


def _read_elsewhere(match: Match) -> str:
    bound = {node for node in match.bindings.by_pattern.values() if isinstance(node, fx.Node)}
    inner = bound - {match.root, match.node("x")}
    calls = [node for node in inner if node.op == "call_function" and node.name not in match.plan]
    shared = any(reader not in bound for node in calls for reader in node.users)
    return "a part of it is read elsewhere" if shared else ""


GUARDS = (_other_type, _read_elsewhere)

zero, six = Number(value=0.0), Number(value=6.0)
positive = aten.gt.Scalar(self=x, other=0)


@rule(
    either(
        aten.clamp_min.default(self=x, min=0),
        aten.clamp.default(self=x, min=0, max=None),
        aten.threshold.default(self=x, threshold=0, value=0),
        larger(x, zero),
        _select(x, zero),
        product(x, either(positive, aten.to.dtype(self=positive))),
    ),
    *GUARDS,
)
def relu(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.relu.default, match.node("x"))


rectified = aten.relu.default(self=x)


@rule(
    either(
        aten.relu6.default(self=x),
        aten.clamp.default(self=x, min=0, max=6),
        aten.clamp.default(self=rectified, min=None, max=6),
        aten.clamp_max.default(self=rectified, max=6),
        smaller(rectified, six),
    ),
    *GUARDS,
)
def relu6(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.hardtanh.default, match.node("x"), 0.0, 6.0)


slope = Number("slope")
steep = aten.mul.Tensor(self=x, other=slope)


def _too_steep(match: Match) -> str:
    a = match.bindings.by_name["slope"]
    chosen = match.root.target in (_aten.where.self, _aten.where.ScalarSelf, _aten.where.ScalarOther)
    return "" if chosen or 0 <= a <= 1 else f"the larger of x and {a} x is no leaky_relu"


@rule(either(_select(x, steep), larger(x, steep)), *GUARDS, _too_steep)
def leaky_relu(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.leaky_relu.default, match.node("x"), match.bindings.by_name["slope"])


growth = aten.exp.default(self=x)


@rule(either(aten.log.default(self=plus(growth, 1)), aten.log1p.default(self=growth)), *GUARDS)
def softplus(match: Match, edit: Edit) -> fx.Node:
    """From 40 on softplus(x) is x to the last bit; the usual threshold of 20 would show in gradients."""
    return edit.call(_aten.softplus.default, match.node("x"), 1, 40)


decay = plus(aten.exp.default(self=aten.neg.default(self=x)), 1)


@rule(aten.reciprocal.default(self=decay), *GUARDS)
def sigmoid(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.sigmoid.default, match.node("x"))


@rule(either(product(x, aten.sigmoid.default(self=x)), aten.div.Tensor(self=x, other=decay)), *GUARDS)
def silu(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.silu.default, match.node("x"))


@rule(product(x, aten.tanh.default(self=aten.softplus.default(self=x, beta=1))), *GUARDS)
def mish(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.mish.default, match.node("x"))


shifted = aten.hardtanh.default(self=plus(x, 3), min_val=0, max_val=6)


unshifted = aten.clamp.default(self=plus(times(x, 1 / 6), 0.5), min=0, max=1)


@rule(either(times(shifted, 1 / 6), unshifted), *GUARDS)
def hardsigmoid(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.hardsigmoid.default, match.node("x"))


@rule(either(product(x, aten.hardsigmoid.default(self=x)), scaled_product(x, shifted, 1 / 6)), *GUARDS)
def hardswish(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.hardswish.default, match.node("x"))


normal = plus(aten.erf.default(self=times(x, math.sqrt(0.5))), 1)


@rule(scaled_product(x, normal, 0.5), *GUARDS)
def gelu(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.gelu.default, match.node("x"))


cube = either(aten.pow.Tensor_Scalar(self=x, exponent=3), product(x, product(x, x)))
bent = aten.add.Tensor(self=x, other=times(cube, 0.044715), alpha=1).either_way()
square = either(aten.pow.Tensor_Scalar(self=x, exponent=2), product(x, x))
stretch = plus(either(times(square, 0.044715), product(x, times(x, 0.044715))), 1)
steepness = math.sqrt(2 / math.pi)
inside = either(times(bent, steepness), scaled_product(x, stretch, steepness))


@rule(scaled_product(x, plus(aten.tanh.default(self=inside), 1), 0.5), *GUARDS)
def gelu_tanh(match: Match, edit: Edit) -> fx.Node:
    return edit.call(_aten.gelu.default, match.node("x"), approximate="tanh")


largest = either(
    aten.amax.default("largest", self=x, keepdim=True),
    Item(call=aten.max.dim("largest", self=x, keepdim=True)),
)
below = aten.sub.Tensor(self=x, other=either(largest, aten.detach.default(self=largest)), alpha=1)
odds = aten.exp.default(self=either(below, x))
total = aten.sum.dim_IntList("total", self=odds, keepdim=True, dtype=None)


def _axes(match: Match) -> set[tuple[int, ...]]:
    """The axes that the sum and the maximum go over, counted from 0."""
    rank = match.node("x").meta["val"].dim()
    over = [
        arguments(match.bindings.by_name[name])["dim"]
        for name in ("total", "largest")
        if name in match.bindings.by_name
    ]
    return {tuple(sorted(axis % rank for axis in ([dim] if isinstance(dim, int) else dim or []))) for dim in over}


def _several_axes(match: Match) -> str:
    axes = _axes(match)
    return "" if len(axes) == 1 and len(*axes) == 1 else "its sum and maximum are not over the same single axis"


@rule(aten.div.Tensor(self=odds, other=total), *GUARDS, _several_axes)
def softmax(match: Match, edit: Edit) -> fx.Node:
    ((axis,),) = _axes(match)
    return edit.call(_aten.softmax.int, match.node("x"), axis)


mean = aten.mean.dim(self=x, dim=[-1], keepdim=True, dtype=None)
centred = aten.sub.Tensor(self=x, other=mean, alpha=1)
variance = either(
    aten.var.dim(self=x, dim=[-1], unbiased=False, keepdim=True),
    aten.var.correction(self=x, dim=[-1], correction=0, keepdim=True),
    aten.mean.dim(
        self=either(
            aten.pow.Tensor_Scalar(self=centred, exponent=2),
            aten.square.default(self=centred),
            product(centred, centred),
        ),
        dim=[-1],
        keepdim=True,
        dtype=None,
    ),
)
with_eps = aten.add.Tensor(self=variance, other=Number("eps"), alpha=1)


@rule(
    either(
        aten.div.Tensor(self=centred, other=aten.sqrt.default(self=with_eps)),
        product(centred, aten.rsqrt.default(self=with_eps)),
    ),
    *GUARDS,
)
def layer_norm(match: Match, edit: Edit) -> fx.Node:
    features = match.node("x").meta["val"].shape[-1]
    return edit.call(_aten.layer_norm.default, match.node("x"), [features], None, None, match.bindings.by_name["eps"])


PASS = Pass(
    rules=(
        *(relu, relu6, leaky_relu, softplus, sigmoid, silu, mish, hardsigmoid, hardswish),
        *(gelu, gelu_tanh, softmax, layer_norm),
    ),
    law=Close(1e-9),
    plan=numbers,
    repeatable=True,
    fires=(
        "conv(3) spelt(relu clamp_min) bn spelt(relu clamp) bn spelt(relu threshold) | fuse_activation",
        "conv(3) spelt(relu maximum) bn spelt(relu max) bn spelt(relu where) | fuse_activation",
        "conv(3) spelt(relu where number) bn spelt(relu mask) bn spelt(relu cast mask) | fuse_activation",
        "conv(3) spelt(relu6) bn spelt(relu6 clamp) bn spelt(relu6 max) | fuse_activation",
        "conv(3) spelt(relu6 clamp_max) bn spelt(relu6 min) | fuse_activation",
        "conv(3) spelt(leaky where) bn spelt(leaky where below) bn spelt(leaky maximum) | fuse_activation",
        "conv(3) spelt(softplus) bn spelt(softplus log1p) bn spelt(sigmoid) | fuse_activation",
        "conv(3) spelt(silu) bn spelt(silu quotient) | fuse_activation",
        "conv(3) spelt(mish) bn spelt(mish logarithm) | fuse_activation",
        "conv(3) spelt(hardsigmoid) bn spelt(hardsigmoid clamp) | fuse_activation",
        "conv(3) spelt(hardswish) bn spelt(hardswish factor) | fuse_activation",
        "conv(3) spelt(gelu) bn spelt(gelu half) | fuse_activation",
        "conv(3) spelt(gelu tanh) bn spelt(gelu tanh product) | fuse_activation",
        "conv(3) spelt(softmax) bn spelt(softmax shifted) bn spelt(softmax detached) | fuse_activation",
        "conv(3) spelt(layer norm) conv(3) spelt(layer norm squares) | fuse_activation",
        "conv(3) spelt(silu of a shared sigmoid) bn spelt(steep maximum) spelt(relu clamp) | fuse_activation",
        "conv(3) spelt(softmax of two axes) spelt(wider maximum) spelt(relu clamp) | fuse_activation",
        "conv(3) spelt(relu mask) bn dropout spelt(silu) | eval | fuse_activation",
    ),
    refuses={
        "conv(3) spelt(silu of a shared sigmoid) | fuse_activation": "a part of it is read elsewhere",
        "conv(3) spelt(steep maximum) | fuse_activation": "the larger of x and 1.5 x is no leaky_relu",
        "conv(3) spelt(softmax of two axes) | fuse_activation": "its sum and maximum are not over the same single axis",
        "conv(3) spelt(wider maximum) | fuse_activation": "the result has another type or shape than x",
    },
)
