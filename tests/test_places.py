"""Every refusal names a line: of what a model keeps, of a branch on the size of the batch, of an odd argument."""

from __future__ import annotations

import collections
import dataclasses
import enum
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captured import twins
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from parts import Part, Whole, line_of
from torch import Tensor, nn

X = torch.randn(4, 4)


class Keeping(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.memory: list[Tensor] = []
        self.cache: dict[str, Any] = {"inner": []}

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def appends(m: Any, x: Tensor) -> Tensor:
    y = x.detach().mean(0)
    m.memory.append(y)
    return x + sum(m.memory)


def extends_under_another_name(m: Any, x: Tensor) -> Tensor:
    memory = m.memory
    memory += [x.detach().mean(0)]
    return x + sum(memory)


def puts_within(m: Any, x: Tensor) -> Tensor:
    inner = m.cache["inner"]
    inner.insert(0, x.detach().mean(0))
    return x + sum(inner)


def writes_a_key(m: Any, x: Tensor) -> Tensor:
    before = m.cache.get("mean", 0)
    m.cache["mean"] = x.detach().mean(0) + before
    return x + before


def by_a_helper(m: Any, x: Tensor) -> Tensor:
    appended(m.memory, x)
    return x + sum(m.memory)


def appended(values: list[Tensor], x: Tensor) -> None:
    values.append(x.detach().mean(0))


KEPT = [
    (appends, "memory.append", "memory"),
    (extends_under_another_name, "+=", "memory"),
    (puts_within, "insert", "cache"),
    (writes_a_key, '["mean"] =', "cache"),
]


@pytest.mark.parametrize(("function", "text", "name"), KEPT)
def test_the_line_at_which_a_model_changes_what_it_keeps(function: Any, text: str, name: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Whole(Keeping(function)), (X,))
    assert caught.value.where.startswith(f"parts.1 ({line_of(function, text)})")
    assert f"'parts.1.{name}'" in caught.value.why
    assert "leaves = ['parts.1']" in caught.value.fix


def test_the_line_is_that_of_a_helper() -> None:
    tracing = sys.gettrace()
    with pytest.raises(UserError) as caught:
        capture(Whole(Keeping(by_a_helper)), (X,))
    assert line_of(appended, "append(") in caught.value.where
    assert sys.gettrace() is tracing


def alone(m: nn.Module, x: Tensor) -> Any:
    return x * 2 if x.shape[0] == 1 else x


def halves(m: nn.Module, x: Tensor) -> Any:
    return torch.cat(x.chunk(2)[::-1])


def reflected(m: nn.Module, x: Tensor) -> Any:
    return F.pad(x.t().unsqueeze(0), (3, 3), mode="reflect")


def topmost(m: nn.Module, x: Tensor) -> Any:
    return x.topk(3, 0)[0]


@pytest.mark.parametrize("function", [alone, halves, reflected, topmost])
def test_the_line_that_asks_for_the_size_of_the_batch(function: Any) -> None:
    """Though it is torch that asks in most of them."""
    with pytest.raises(UserError, match="branches on the batch size") as caught:
        capture(Whole(Part(function)), (X,))
    assert line_of(function, "return") in caught.value.where


@dataclasses.dataclass
class Pair:
    left: Tensor


@dataclasses.dataclass
class Registered:
    left: Tensor
    factor: float


torch.export.register_dataclass(Registered)


class Way(enum.Enum):
    UP = 1


class Named(dict[str, Tensor]):
    pass


class Holder:
    pass


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, other: Any) -> Tensor:
        y: Tensor = self.lin(x)
        return y


ODD = [
    (Pair(X), "is a Pair", "torch.export.register_dataclass(Pair)"),
    ([Pair(X)], "holds a Pair", "torch.export.register_dataclass(Pair)"),
    (Way.UP, "is a Way", "Way.UP.value"),
    (Named(a=X), "is a Named", "a plain dict"),
    (np.ones(4), "is a ndarray", "torch.from_numpy"),
    (torch.float64, "is a dtype", "when the model is built"),
    (torch.device("cpu"), "is a device", "when the model is built"),
    (len, "is a builtin_function_or_method", "an attribute of the model"),
    (Holder(), "is a Holder", "arguments of their own"),
]


@pytest.mark.parametrize(("value", "what", "fix"), ODD, ids=lambda case: type(case).__name__)
def test_an_argument_that_no_export_takes(value: Any, what: str, fix: str) -> None:
    with pytest.raises(UserError) as caught:
        capture(Two(), (X, value))
    assert caught.value.what == f"the argument 'other' {what}"
    assert caught.value.where == line_of(Two.forward, "def")
    assert fix in caught.value.fix


Point = collections.namedtuple("Point", ["left", "right"])


class Forms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, given: Any) -> Any:
        left = given["left"] if isinstance(given, dict) else given.left
        y = self.lin(left)
        return {"same": type(given)(left=y, right=y) if isinstance(given, Point) else y, "none": None}


@pytest.mark.parametrize("value", [Registered(X, 2.0), Point(X, X), collections.OrderedDict(left=X)])
def test_arguments_that_an_export_takes(value: Any) -> None:
    model, ours = twins(Forms(), (value,))
    theirs, mine = model(value), ours(value)
    assert torch.utils._pytree.tree_structure(theirs) == torch.utils._pytree.tree_structure(mine)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("value", "name"), [(Pair(X), "Pair"), (Way.UP, "Way"), (Named(a=X), "Named")])
def test_a_result_that_no_export_takes(value: Any, name: str) -> None:
    def result(m: nn.Module, x: Tensor) -> Any:
        return x, value

    with pytest.raises(UserError, match=f"returns a .*{name}") as caught:
        capture(Whole(Part(result)), (X,))
    assert f"register_dataclass({name})" in caught.value.fix


class Counting(nn.Module):
    def __init__(self, total: Tensor) -> None:
        super().__init__()
        self.register_buffer("total", total)

    def forward(self, x: Tensor) -> Tensor:
        self.total.add_(x.detach().mean(0))  # type: ignore[operator]
        y: Tensor = x + self.total
        return y


def test_a_buffer_with_two_owners() -> None:
    total = torch.zeros(4)
    model, ours = twins(nn.Sequential(Counting(total), nn.Linear(4, 4), Counting(total)), (X,))
    torch.testing.assert_close(ours(X), model(X), rtol=0, atol=0)
    assert list(ours.state_dict()) == list(model.state_dict())
    torch.testing.assert_close(ours.state_dict(), model.state_dict(), rtol=0, atol=0)


def doubled(x: Tensor) -> Tensor:
    return x * 2


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.double = torch.jit.script(doubled)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.double(x)
        return y


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_scripted_function_is_refused_with_its_path() -> None:
    with pytest.raises(UserError, match="scripted") as caught:
        capture(Whole(Scripted()), (X,))
    assert caught.value.where == "parts.1.double"
    assert "the function itself" in caught.value.fix


def strided(m: nn.Module, x: Tensor) -> Any:
    return x * 2 if x.is_contiguous() else x


def by_stride(m: nn.Module, x: Tensor) -> Any:
    if x.stride(-1) == 1:
        return x
    return x * 2


@pytest.mark.parametrize(("function", "text"), [(strided, "return"), (by_stride, "if x.stride")])
def test_a_branch_on_how_the_inputs_lie_in_memory(function: Any, text: str) -> None:
    with pytest.raises(UserError, match="lie in memory") as caught:
        capture(Part(function), (X,))
    assert caught.value.where.startswith(line_of(function, text))
    assert "x.contiguous()" in caught.value.fix


def drawn_alone(m: Any, x: Tensor) -> Any:
    return x * torch.rand(4, generator=GENERATOR)


def drawn_in_rows(m: Any, x: Tensor) -> Any:
    return x * torch.rand(x.shape[0], 4, generator=GENERATOR)


def decided_alone(m: Any, x: Tensor) -> Any:
    return x * 2 if torch.rand((), generator=GENERATOR) > -1 else x


GENERATOR = torch.Generator()


@pytest.mark.parametrize("function", [drawn_alone, drawn_in_rows, decided_alone])
def test_a_draw_from_another_generator(function: Any) -> None:
    """Though the branch would always go one way."""
    with pytest.raises(UserError) as caught:
        capture(Whole(Part(function)), (X,))
    assert caught.value.where.startswith(f"parts.1 ({line_of(function, 'return')})")
    assert "draw without generator=" in caught.value.fix
