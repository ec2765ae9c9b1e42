"""Arguments: how those of a forward become the graph's flat inputs, checked against what was captured."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from .errors import UserError
from .graph import Graph, fixed, shape

FORM = "the arguments have another form than at capture"
FIX = "give what the forward of the model takes, without labels: one input, a tuple, or a dict of them by name"


class Arguments:
    """The arguments that a captured model takes."""

    def __init__(self, graph: Graph) -> None:
        self._signature, self._assumptions = graph.signature, graph.assumptions
        self._wanted = [_expected(node) for node in graph.inputs]
        in_order = pytree.tree_structure(((0,) * len(self._wanted), {})) == graph.signature.inputs
        plain = not graph.assumptions.conditions and all(isinstance(wanted, Sizes) for wanted in self._wanted)
        self._tensors_in_order = in_order and plain

    def flat(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """The values of the graph's inputs for the arguments of a forward, in whichever order they are named.

        Raises UserError for arguments of another form or shape.
        """
        if self._tensors_in_order and not kwargs and self._fit(args):
            return list(args)  # the usual call, which need not pay for binding names
        try:
            bound = self._signature.forward.bind(*args, **kwargs)
        except TypeError as error:
            raise UserError(FORM, why=str(error), fix=FIX) from None
        flat, spec = pytree.tree_flatten((bound.args, bound.kwargs))
        if spec != self._signature.inputs:
            bound = without_defaults(bound)
            flat, spec = pytree.tree_flatten((bound.args, bound.kwargs))
        self._check(flat, spec)
        return flat

    def _fit(self, args: Sequence[Any]) -> bool:
        if len(args) != len(self._wanted):
            return False
        return all(
            isinstance(x, Tensor) and wanted.fit(x.shape) and _kind(x) == wanted.kind
            for x, wanted in zip(args, self._wanted, strict=True)
        )

    def _check(self, flat: list[Any], spec: pytree.TreeSpec) -> None:
        if spec != self._signature.inputs:
            why = f"given {_shown(spec)}; captured with {_shown(self._signature.inputs)}"
            raise UserError(FORM, why=why, fix=FIX)
        for i, (value, wanted) in enumerate(zip(flat, self._wanted, strict=True)):
            if not isinstance(wanted, Sizes):
                if isinstance(value, Tensor) or value != wanted:
                    given = "a tensor" if isinstance(value, Tensor) else repr(value)
                    raise UserError(f"input {i} is {given}", why=f"the model was captured with {wanted!r} for good")
            elif not isinstance(value, Tensor):
                raise UserError(f"input {i} is a {type(value).__name__}, not a tensor", fix="give a torch.Tensor")
            elif not wanted.fit(sizes := tuple(value.shape)):
                why, fix = f"the model was captured with {wanted}", "resize it, or capture the model with such an input"
                raise UserError(f"input {i} has shape {sizes}", why=why, fix=fix)
            elif (kind := _kind(value)) != wanted.kind:
                fix = "convert it, or capture the model with such an input"
                raise UserError(f"input {i} is of {kind} numbers", why=f"those at capture were {wanted.kind}", fix=fix)
        if not self._assumptions.conditions:
            return
        if broken := self._assumptions.broken([x.shape for x in flat if isinstance(x, Tensor)]):
            raise UserError("the inputs have sizes for which the graph does not hold", why=f"capture assumed {broken}")


def without_defaults(bound: inspect.BoundArguments) -> inspect.BoundArguments:
    """The arguments but for those that are their defaults: to give one is the same as to leave it out."""
    parameters = bound.signature.parameters
    if any(parameter.kind is parameter.POSITIONAL_ONLY for parameter in parameters.values()):
        return bound
    given = {name: x for name, x in bound.arguments.items() if not _is_default(x, parameters[name].default)}
    return inspect.BoundArguments(bound.signature, OrderedDict(given))


def _is_default(value: Any, default: Any) -> bool:
    return value is default or (
        isinstance(value, bool | int | float | str) and type(value) is type(default) and value == default
    )


def _shown(spec: pytree.TreeSpec) -> str:
    """The form of arguments, a dot for each value."""
    args, kwargs = pytree.tree_unflatten(["·"] * spec.num_leaves, spec)
    return (
        ", ".join([*(str(x) for x in args), *(f"{name}={x}" for name, x in kwargs.items())]).replace("'·'", "·")
        or "nothing"
    )


class Sizes(tuple[int | None, ...]):
    """The shape that an input must have; None is the batch.   kind: of its numbers, which a model may ask for."""

    kind: str

    def fit(self, given: Sequence[int]) -> bool:
        """Whether a tensor of that shape may be given."""
        return len(given) == len(self) and all(own in (None, size) for own, size in zip(self, given, strict=True))

    def __str__(self) -> str:
        return f"({', '.join('N' if size is None else str(size) for size in self)})"


def _expected(node: fx.Node) -> Any:
    """The shape of a tensor input; of another the value itself, which capture made part of the graph."""
    if not isinstance(node.meta["val"], Tensor):
        return node.meta["val"]
    sizes = Sizes(map(fixed, shape(node)))
    sizes.kind = _kind(node.meta["val"])
    return sizes


def _kind(tensor: Tensor) -> str:
    """Within a kind the type may change, as conversions of the model and autocast change it."""
    if tensor.is_floating_point():
        return "floating-point"
    return "complex" if tensor.is_complex() else "boolean" if tensor.dtype == torch.bool else "whole"
