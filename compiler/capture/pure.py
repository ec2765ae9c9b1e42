"""The pure form of an in-place call, found in the operators' schemas, where it gives the same values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import fx

from ..aliases import written

_aten = torch.ops.aten

_OTHER_GRADIENT = frozenset({"elu_", "celu_", "selu_"})
"""In place they differentiate by the result instead of the input, with another rounding."""
_SAME_DRAWS = frozenset({"dropout_", "feature_dropout_", "alpha_dropout_", "feature_alpha_dropout_"})
"""Random calls whose pure form draws the same numbers; that of the others draws otherwise, or does not exist."""

Emit = Callable[..., fx.Node]
"""Appends a call: (target, *args, **kwargs) -> node."""


def pure(node: fx.Node, args: Any, kwargs: Any, loses_gradients: bool, emit: Emit) -> fx.Node | None:
    """Append the pure form of an in-place call; None if it has none that is exact.

    args, kwargs: what it reads, in the new graph, spelt as by the call.   loses_gradients: whether copying over the
    old value would leave out gradients, which have to be zeros.
    """
    target: Any = node.target
    before = written(node)[0].meta["val"]
    if target is _aten.copy_.default:
        return None if loses_gradients else _copied(args, before, emit)
    form = pure_form(target)
    if form is None:
        return None
    new = emit(form, *args, **kwargs)
    return new if new.meta["val"].dtype == before.dtype else emit(_aten.to.dtype, new, before.dtype)


def is_elementwise(node: fx.Node, new: fx.Node) -> bool:
    """Whether `new`, the pure form of a call in place, surely returns a tensor laid out as that: spares trying it."""
    if len(new.all_input_nodes) != 1 or not written(node) or pure_form(node.target) is not new.target:
        return False
    value = new.all_input_nodes[0].meta["val"]
    return bool(value.is_floating_point() and value.is_contiguous())


@cache
def pure_form(target: Any) -> Any:
    """The operator that returns what this one writes into its first argument, or None: `relu` for `relu_`."""
    schema = target._schema
    name = schema.name.removeprefix("aten::")
    own = [
        argument for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if own != schema.arguments[:1] or len(schema.returns) != 1 or not schema.name.startswith("aten::"):
        return None
    random = torch.Tag.nondeterministic_seeded in target.tags
    if name in _OTHER_GRADIENT or (random and name not in _SAME_DRAWS):
        return None
    packet = getattr(_aten, _pure_name(name), None)
    forms = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    return next((form for form in forms if _takes_alike(form, target)), None)


def _pure_name(name: str) -> str:
    """`relu` for `relu_`, `__or__` for `__ior__`."""
    return f"__{name[3:]}" if name.startswith("__i") else name.removesuffix("_") if name.endswith("_") else ""


def _takes_alike(form: Any, target: Any) -> bool:
    """Whether both take the same arguments; the first goes by the name of `self` or `input`."""
    ours, theirs = (
        [(argument.name if i else "", str(argument.type), argument.kwarg_only) for i, argument in enumerate(given)]
        for given in (form._schema.arguments, target._schema.arguments)
    )
    return ours == theirs and not form._schema.is_mutable and len(form._schema.returns) == 1


def _copied(args: Any, before: torch.Tensor, emit: Emit) -> fx.Node | None:
    """The source in the shape and type of what it is copied over; from elsewhere it is not taken."""
    target, source = args[:2]
    value = source.meta["val"]
    if value.device != before.device or value.is_complex() != before.is_complex():
        return None
    if list(map(str, value.shape)) != list(map(str, before.shape)):
        source = emit(_aten.expand_as.default, source, target)
    if value.dtype != before.dtype:
        return emit(_aten.to.dtype, source, before.dtype)
    return emit(_aten.clone.default, source)
