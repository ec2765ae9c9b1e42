"""Decisions of which a graph can hold both sides: those that are drawn, and checks that everything is finite.

While torch.export runs, a Python branch on such a tensor takes the side that this trace is to take, and leaves a mark.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import is_fake
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils.weak import WeakTensorKeyDictionary

_DRAWS = frozenset({"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"}) | frozenset(
    {"uniform_", "normal_", "random_", "exponential_", "geometric_"}
)
"""Calls whose result does not depend on the tensors that they are given."""
_DRAWS_FROM = frozenset({"bernoulli", "bernoulli_", "normal", "multinomial", "poisson"})
_FINITE: Mapping[str, bool] = {"isfinite": True, "isnan": False, "isinf": False, "isposinf": False, "isneginf": False}
"""Checks -> what they say of every number as long as all is well."""
_OF_ONE: Mapping[str, Callable[[bool], bool]] = {
    **dict.fromkeys(("all", "any", "squeeze", "view", "reshape", "flatten", "detach", "bool"), lambda a: a),
    **dict.fromkeys(("logical_not", "bitwise_not", "__invert__"), operator.not_),
}
_OF_TWO: Mapping[str, Callable[[bool, bool], bool]] = {
    **dict.fromkeys(("logical_and", "bitwise_and", "__and__", "__rand__"), operator.and_),
    **dict.fromkeys(("logical_or", "bitwise_or", "__or__", "__ror__"), operator.or_),
}
MOST = 256
"""Decisions in one forward; a loop that ends when a draw says so would have no end."""


# Nobody reads a mark; the tag keeps it in the graph, as it does draws.
@torch.library.custom_op("lowbit::decision", mutates_args=(), tags=(torch.Tag.nondeterministic_seeded,))
def _decision(chosen: Tensor, number: int, ordinary: bool) -> Tensor:
    return chosen.clone()


@_decision.register_fake
def _(chosen: Tensor, number: int, ordinary: bool) -> Tensor:
    return torch.empty_like(chosen)


_MARK = torch.ops.lowbit.decision.default


_NUMBERS = frozenset({"__float__", "__int__", "__index__", "tolist"})
"""Calls that must return what is no tensor; `item` may return one that does as well."""


class TooMany(Exception):
    """A forward that keeps deciding."""


class FrozenDraw(Exception):
    """What was drawn becomes a Python number, which a graph would repeat for ever."""


def is_decision(node: fx.Node) -> bool:
    """Whether a node is the mark of a decision: (what decides, its number, what it says in the ordinary case)."""
    return node.target is _MARK


def number_of(mark: fx.Node) -> int:
    """The number of a decision: how many were met before it."""
    found: Any = mark.args[1]
    return int(found)


class Decisions(TorchFunctionMode):
    """A context around torch.export that takes one side of each decision.

    The ordinary side is the one on which a draw says no and everything is finite.
    others: numbers of the decisions that go the other way.   count: how many decisions were met.
    """

    def __init__(self, *others: int) -> None:
        super().__init__()
        self.others, self.count = others, 0
        self._known: MutableMapping[Tensor, bool] = (
            WeakTensorKeyDictionary()
        )  # what no input, parameter or buffer reaches -> whether it is drawn
        self._checks: MutableMapping[Tensor, bool] = (
            WeakTensorKeyDictionary()
        )  # what tells of finiteness alone -> what it says if all is finite

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is Tensor.__bool__:
            return self._decided(*args)
        operands = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        name = getattr(function, "__name__", "")
        if name in _NUMBERS and self._known.get(operands[0]) and is_fake(operands[0]):
            raise FrozenDraw(f"{name} of what was drawn")
        if name == "item" and is_fake(operands[0]) and (operands[0] in self._known or operands[0] in self._checks):
            function, name = _as_number, "squeeze"  # which it is, to what decides
        drawn, check = self._drawn(name, operands), self._check(name, operands)
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            _note(self._known, result, drawn)
            _note(self._checks, result, check)
        return result

    def _decided(self, chosen: Tensor) -> bool:
        ordinary = False if self._known.get(chosen) else self._checks.get(chosen)
        if ordinary is None or not is_fake(chosen):
            return bool(chosen)
        if self.count >= MOST:
            raise TooMany(f"it comes back more than {MOST} times")
        number, self.count = self.count, self.count + 1
        scalar = chosen if chosen.dtype is torch.bool else chosen != 0
        _MARK(scalar.reshape(()) if scalar.dim() else scalar, number, ordinary)
        return ordinary ^ (number in self.others)

    def _drawn(self, name: str, operands: list[Tensor]) -> bool | None:
        """Whether the result is drawn; None if it depends on more than draws and constants."""
        if name in _DRAWS:
            return True
        given = operands[1:] if name.endswith("_") and name in _DRAWS_FROM else operands
        if any(x not in self._known for x in given):
            return None
        return name in _DRAWS_FROM or any(self._known[x] for x in given)

    def _check(self, name: str, operands: list[Tensor]) -> bool | None:
        """What the result says if everything is finite; None if it tells of more than that."""
        if name in _FINITE:
            return _FINITE[name]
        if not all(x in self._checks for x in operands):
            return None
        values = [self._checks[x] for x in operands]
        if name in _OF_ONE and len(values) == 1:
            return _OF_ONE[name](*values)
        return _OF_TWO[name](*values) if name in _OF_TWO and len(values) == 2 else None


def _as_number(one: Tensor) -> Tensor:
    """What `item` returns, still a tensor; as a Python number it is as precise as a double, and converts nothing."""
    scalar = one.reshape(())
    return scalar.double() if one.is_floating_point() else scalar


def _note(table: MutableMapping[Tensor, bool], result: Tensor, value: bool | None) -> None:
    if value is None:
        table.pop(result, None)
    else:
        table[result] = value
