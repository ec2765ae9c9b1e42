"""Matrix product of the last axis with the weights, into a 32-bit accumulator, without any rounding.

    y[..., o] = bias[o] + sum over c of weight[o, c] * x[..., c]

The weights are centred; the zero point of x is in the bias.
"""

from __future__ import annotations

from ....compiler.arrays import Integers
from ..op import Call, Constraint, Op
from ..sums import dot, partial_dot
from ..types import INT32


def _shapes_agree(call: Call) -> bool:
    if not call.x.shape or len(call.weight.shape) != 2 or call.weight.data.size == 0:
        return False
    outputs, depth = call.weight.shape
    return bool(call.x.shape[-1] == depth and call.bias.shape == (outputs,))


def _value(x: Integers, weight: Integers, bias: Integers) -> Integers:
    product: Integers = x @ weight.T + bias
    return product


OP = Op(
    code=2,
    inputs=("x", "weight", "bias"),
    constants=("weight", "bias"),
    constraints=(
        Constraint(
            "C2", "The weight is (outputs, depth), the bias (outputs,), and the last axis of x is depth.", _shapes_agree
        ),
        Constraint(
            "C3",
            "Every weight and every bias fits a signed 32-bit integer.",
            lambda call: call.weight.range in INT32 and call.bias.range in INT32,
        ),
        Constraint(
            "C1",
            "Every partial sum fits a signed 32-bit accumulator, in any order.",
            lambda call: partial_dot(call.weight.data, call.bias.data, call.x.range) in INT32,
        ),
    ),
    shape=lambda call: (*call.x.shape[:-1], call.weight.shape[0]),
    range=lambda call: dot(call.weight.data, call.bias.data, call.x.range),
    value=_value,
    edges=lambda call: [0, call.x.range.lo, call.x.range.hi],
)
