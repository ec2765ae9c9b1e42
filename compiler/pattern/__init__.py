"""Patterns written as the call they match; a miss carries its reason.

    conv = aten.conv2d(weight=Weight("w"))
    norm = aten.batch_norm(input=conv, training=False)

Arguments go by ATen schema name; what is left out matches anything; a plain value must be equal. A pattern, or a
capture name, that stands at two places must find the same node at both.

    aten.add.Tensor(self=conv, other=x).either_way()      operands in either order, where the call commutes
    either(aten.conv2d(), aten.linear())                  any of these producers
    optional(aten.mul.Tensor())                           an argument that may be absent
    aten.cat(tensors=every(conv)), ...=some(conv)         of a variable number of inputs: all of them, or those that fit
    aten.cat(tensors=[conv, x])                           exactly these, in order
"""

from .base import Anything, Bindings, Miss, Pattern, Planned, Weight, Whole
from .calls import Call, Namespace, aten, own
from .choices import Either, either, optional
from .lists import Every, Listed, Some, every, some

__all__ = [
    "Anything",
    "Bindings",
    "Call",
    "Either",
    "Every",
    "Listed",
    "Miss",
    "Namespace",
    "Pattern",
    "Planned",
    "Some",
    "Weight",
    "Whole",
    "aten",
    "either",
    "every",
    "optional",
    "own",
    "some",
]
