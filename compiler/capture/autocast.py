"""What torch.autocast does to one call, seen by running it on fake values: no table of its policies is kept here."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch._dispatch.python import enable_python_dispatcher
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ..autocast import Autocast, innermost

_INSIDE = -1
"""Stands for a tensor that is no input of the call."""


@dataclass(frozen=True)
class Casts:
    """inputs: position among the flat arguments -> the type it is cast to.   arguments: those to add to the call."""

    inputs: Mapping[int, torch.dtype] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def active(blocks: Sequence[Autocast]) -> bool:
    """Whether any cast can happen within these nested blocks; for each device the innermost one counts."""
    return any(block.enabled for block in innermost(blocks))


def casts_of(target: Any, flat: Sequence[Any], spec: pytree.TreeSpec, blocks: Sequence[Autocast]) -> Casts | None:
    """What to add to a call so that without autocast it computes what it did within the blocks.

    flat, spec: its (args, kwargs), with fake tensors.   Returns None where autocast acts on tensors that the call
    makes inside, as it does on the bmm of an einsum: see `unfolded`.
    """
    alone, within = _watched(target, flat, spec), _watched(target, flat, spec, blocks)
    added = within.casts - alone.casts
    if not added and alone.types == within.types:
        return Casts()
    inputs = {position: dtype for position, dtype in added if position != _INSIDE}
    if len(inputs) < len(added):
        return None
    cast = [x.to(inputs[i]) if i in inputs else x for i, x in enumerate(flat)]
    if _watched(target, cast, spec).types == within.types:
        return Casts(inputs)
    return _typed(target, cast, spec, within, inputs)


def unfolded(
    target: Any, flat: Sequence[Any], spec: pytree.TreeSpec, blocks: Sequence[Autocast], tracked: Sequence[bool]
) -> fx.Graph:
    """The calls that an operator is made of within the blocks, casts among them; its inputs are the tensors and sizes.

    tracked: for each flat argument, whether it carries gradients, since some operators choose by that what to run.
    """
    places = [i for i, x in enumerate(flat) if isinstance(x, Tensor | torch.SymInt | torch.SymFloat | torch.SymBool)]

    def run(*values: Any) -> Any:
        given = [*flat]
        for place, value in zip(places, values, strict=True):
            given[place] = value
        args, kwargs = pytree.tree_unflatten(given, spec)
        with _under(blocks):
            return target(*args, **kwargs)

    fresh = [x.detach().requires_grad_(tracked[i]) if isinstance(x, Tensor) else x for i, x in enumerate(flat)]
    with torch.set_grad_enabled(any(tracked)):
        return make_fx(run)(*(fresh[place] for place in places)).graph


def returned(target: Any, flat: Sequence[Any], spec: pytree.TreeSpec) -> tuple[int | None, ...]:
    """Of each result of a call, the position of the argument that it is, as when that has the type asked for already.

    Empty for an operator with a kernel of its own, which always returns tensors of its own.
    """
    if not isinstance(target, torch._ops.OpOverload) or not target._can_decompose():
        return ()
    fresh, result = _run(target, flat, spec)
    positions = {id(x): i for i, x in enumerate(fresh) if isinstance(x, Tensor)}
    return tuple(positions.get(id(x)) for x in pytree.tree_leaves(result))


def _typed(target: Any, flat: Sequence[Any], spec: pytree.TreeSpec, goal: _Seen, inputs: Any) -> Casts | None:
    """With the `dtype` argument that autocast gives to a sum on a GPU, if that yields the type seen."""
    args, kwargs = pytree.tree_unflatten([*flat], spec)
    names = [argument.name for argument in target._schema.arguments][len(args) :]
    if len(set(goal.types)) != 1 or "dtype" not in names or kwargs.get("dtype") is not None:
        return None
    extra = {"dtype": goal.types[0]}
    leaves, typed = pytree.tree_flatten((args, {**kwargs, **extra}))
    return Casts(inputs, extra) if _watched(target, leaves, typed).types == goal.types else None


@dataclass(frozen=True)
class _Seen:
    """casts: how often the flat argument of a position was cast to a type.   types: those of the results."""

    casts: Counter[tuple[int, torch.dtype]]
    types: tuple[torch.dtype, ...]


def _watched(target: Any, flat: Sequence[Any], spec: pytree.TreeSpec, blocks: Sequence[Autocast] = ()) -> _Seen:
    watch = _Watch()
    with _under(blocks), watch:
        fresh, result = _run(target, flat, spec)
    positions = {id(x): i for i, x in enumerate(fresh) if isinstance(x, Tensor)}
    casts = Counter((positions.get(id(x), _INSIDE), dtype) for x, dtype in watch.casts)
    return _Seen(casts, tuple(x.dtype for x in pytree.tree_leaves(result) if isinstance(x, Tensor)))


def _run(target: Any, flat: Sequence[Any], spec: pytree.TreeSpec) -> tuple[list[Any], Any]:
    """The arguments given and the result. They are fresh: a call may change the shape of an argument in place.

    Under torch's Python dispatcher, as in torch.export: some kernels in C++ take no symbolic size in torch 2.11.
    """
    fresh = [x.detach() if isinstance(x, Tensor) else x for x in flat]
    args, kwargs = pytree.tree_unflatten(fresh, spec)
    with torch.no_grad(), enable_python_dispatcher():
        return fresh, target(*args, **kwargs)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps each tensor that is cast, and the type."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.casts: list[tuple[Any, torch.dtype]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default and kwargs.get("dtype") is not None:
            self.casts.append((args[0], kwargs["dtype"]))
        return func(*args, **kwargs)


@contextlib.contextmanager
def _under(blocks: Sequence[Autocast]) -> Iterator[None]:
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a device that is not here: then nothing is cast, as in the module
        for block in blocks:
            stack.enter_context(torch.autocast(block.device, block.dtype, block.enabled, cache_enabled=False))
        yield
