"""The example inputs of a capture: in the order of the model's signature, and never a batch of one."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..arguments import without_defaults
from ..errors import UserError


@dataclass(frozen=True)
class Example:
    """Arguments of one forward. The first axis of every tensor is the batch."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @classmethod
    def of(cls, model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Example:
        """Own copies of the arguments, by position where the signature allows that, a batch of one doubled.

        Beside tensors of more rows one of a single row has no batch: it is broadcast, or its first axis is another.
        Raises UserError when they are not what `forward` takes.
        """
        rows = {x.shape[0] for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor) and x.dim()}

        def own(x: Tensor) -> Tensor:
            copied = x.detach().clone()  # export takes one tensor given twice for one
            return torch.cat([copied, copied]) if rows == {1} and x.dim() else copied

        given: tuple[Any, Any] = pytree.tree_map_only(Tensor, own, (tuple(args), dict(kwargs)))
        return cls.bound(model, *given)

    @classmethod
    def bound(cls, model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Example:
        """The arguments themselves, by position where the signature allows that. Raises UserError likewise."""
        try:
            bound = inspect.signature(model.forward).bind(*args, **kwargs)
        except TypeError as error:
            what, fix = "the model takes other arguments", "give what `forward` takes"
            raise UserError(what, why=str(error), fix=fix) from None
        bound = without_defaults(bound)
        return cls(bound.args, bound.kwargs)

    @property
    def flat(self) -> list[Any]:
        """All values in order."""
        return pytree.tree_leaves((self.args, self.kwargs))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the tensors among them."""
        return [tuple(x.shape) for x in self.flat if isinstance(x, Tensor)]

    def grown(self) -> Example:
        """The same with one row more in every tensor that has a batch."""

        def more(x: Tensor) -> Tensor:
            return torch.cat([x, x[:1]]) if _has_batch(x) else x

        args, kwargs = pytree.tree_map_only(Tensor, more, (self.args, self.kwargs))
        return Example(args, kwargs)

    def first(self) -> Example:
        """The first row alone of every tensor."""
        args, kwargs = pytree.tree_map_only(Tensor, lambda x: x[:1] if x.dim() else x, (self.args, self.kwargs))
        return Example(args, kwargs)

    def strided(self) -> Example | None:
        """The same values laid out otherwise in memory; None if none of the tensors has two axes."""

        def turned(x: Tensor) -> Tensor:
            return x.transpose(0, -1).contiguous().transpose(0, -1) if x.dim() > 1 else x

        args, kwargs = pytree.tree_map_only(Tensor, turned, (self.args, self.kwargs))
        return Example(args, kwargs) if any(len(shape) > 1 for shape in self.shapes) else None

    def run(self, model: nn.Module) -> Any:
        """What the model returns for copies of the arguments, which it may change in place."""
        args, kwargs = copy.deepcopy((self.args, self.kwargs))
        return model(*args, **kwargs)

    def tried(self, model: nn.Module, tracked: bool = False) -> Any:
        """What a copy made to try things on returns; random numbers stay as they were.   tracked: with gradients."""
        with torch.set_grad_enabled(tracked), torch.random.fork_rng(devices=[]):
            return (self._tracked() if tracked else self).run(model)

    def _tracked(self) -> Example:
        """The same with gradients that go on to the inputs."""

        def own(x: Tensor) -> Tensor:
            return x.detach().clone().requires_grad_(x.is_floating_point())

        return Example(*pytree.tree_map_only(Tensor, own, (self.args, self.kwargs)))

    def __str__(self) -> str:
        return ", ".join(f"({', '.join(map(str, shape))})" for shape in self.shapes)

    def dynamic_shapes(self, model: nn.Module, dim: Any, every_axis: bool = False) -> dict[str, Any]:
        """The batch axis, or every axis, of every tensor marked as `dim`, in the form that torch.export asks for."""

        def marked(x: Any) -> dict[int, Any] | None:
            if not isinstance(x, Tensor) or not ((x.dim() and every_axis) or _has_batch(x)):
                return None
            return dict.fromkeys(range(x.dim() if every_axis else 1), dim)

        def shaped(x: Any) -> Any:
            kind = pytree._get_node_type(x)
            if kind not in pytree.SUPPORTED_NODES:
                return marked(x)
            parts, _ = pytree.SUPPORTED_NODES[kind].flatten_fn(x)  # of a registered class, torch asks for a list
            return pytree.tree_map(shaped, parts, is_leaf=_is_no_builtin)

        bound = inspect.signature(model.forward).bind(*self.args, **self.kwargs).arguments
        shapes: dict[str, Any] = pytree.tree_map(shaped, dict(bound), is_leaf=_is_no_builtin)
        return shapes

    @contextlib.contextmanager
    def spelled_out(self, model: nn.Module) -> Iterator[None]:
        """The model with a keyword for each that `**kwargs` takes: torch.export fails on dynamic ones there."""
        signature = inspect.signature(model.forward)
        kinds = {parameter.kind: parameter for parameter in signature.parameters.values()}
        many = kinds.get(inspect.Parameter.VAR_KEYWORD)
        named = signature.bind(*self.args, **self.kwargs).arguments.get(many.name) if many else None
        if not named:
            yield
            return
        own, kept = model.__dict__.get("forward"), model.forward
        others = [parameter for parameter in signature.parameters.values() if parameter is not many]
        extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in named]

        def forward(*args: Any, **kwargs: Any) -> Any:
            return kept(*args, **kwargs)

        forward.__signature__ = signature.replace(parameters=[*others, *extra])  # type: ignore[attr-defined]
        model.forward = forward
        try:
            yield
        finally:
            del model.__dict__["forward"]
            if own is not None:
                model.forward = own


def _is_no_builtin(x: Any) -> bool:
    return pytree._get_node_type(x) not in pytree.BUILTIN_TYPES


def _has_batch(x: Tensor) -> bool:
    return bool(x.dim()) and x.shape[0] != 1
