"""A failed export names the user's line, the module, the cause and the usual way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.refusal import refusal
from lowbit.compiler.errors import UserError
from parts import Part, Whole, exported, line_of
from torch import Tensor, nn

_library = torch.library.Library("lowbittest", "DEF")
_library.define("blur(Tensor x) -> Tensor")
_library.impl("blur", lambda x: x.clone(), "CPU")


def refused(model: nn.Module) -> UserError:
    with pytest.raises(Exception) as caught:  # noqa: PT011 torch.export raises whatever the model's code raised
        exported(model)
    return refusal(caught.value, model, [(4, 4)])


def branch(m: nn.Module, x: Tensor) -> Any:
    return x if x.sum() > 0 else -x


def checked(m: nn.Module, x: Tensor) -> Any:
    if torch.isnan(x).any():
        raise ValueError("NaN")
    return x


def item_branch(m: nn.Module, x: Tensor) -> Any:
    return x if x.sum().item() > 0 else -x


def list_branch(m: nn.Module, x: Tensor) -> Any:
    return sum(value for value in x[0].tolist() if value > 0)


def whole_number(m: nn.Module, x: Tensor) -> Any:
    return x * int(x.sum())


def real_number(m: nn.Module, x: Tensor) -> Any:
    return x * float(x.sum())


def loop(m: Any, x: Tensor) -> Any:
    for _ in range(int(m.number)):
        x = x + 1
    return x


def masked(m: nn.Module, x: Tensor) -> Any:
    positive = x[x > 0]
    return positive if positive.shape[0] > 2 else x


def to_numpy(m: nn.Module, x: Tensor) -> Any:
    return torch.from_numpy(np.tanh(x.detach().numpy()))


def as_array(m: nn.Module, x: Tensor) -> Any:
    return torch.as_tensor(np.sum(np.asarray(x.detach())))


def pointer(m: nn.Module, x: Tensor) -> Any:
    return x + x.data_ptr() % 2


def elsewhere(m: nn.Module, x: Tensor) -> Any:
    return x + torch.zeros(4, device="cuda")


def sparse(m: nn.Module, x: Tensor) -> Any:
    return x.to_sparse()


def custom(m: nn.Module, x: Tensor) -> Any:
    return torch.ops.lowbittest.blur(x)


def aliased(m: nn.Module, x: Tensor) -> Any:
    return torch.cond(x.sum() > 0, lambda a: a * 2, lambda a: a[:2], (x,))


def other(m: nn.Module, x: Tensor) -> Any:
    raise KeyError("no such thing")


BRANCH = "a Python branch depends on the values of a tensor"
NUMBER = "the value of a tensor becomes a Python number"
AWAY = "values leave torch"
CASES: list[tuple[Callable[..., Any], str, str, str]] = [
    (branch, "if x.sum()", BRANCH, "torch.cond or torch.where"),
    (checked, "isnan", BRANCH, "move the branch out"),
    (item_branch, ".item()", BRANCH, "torch.where"),
    (list_branch, "tolist", BRANCH, "torch.where"),
    (whole_number, "int(", NUMBER, "keep it a tensor"),
    (real_number, "float(", NUMBER, "keep it a tensor"),
    (loop, "range(", NUMBER, "when the model is built"),
    (masked, "shape[0]", "a shape depends on values", "after the model"),
    (to_numpy, "numpy()", AWAY, "torch operators"),
    (as_array, "asarray", AWAY, "torch operators"),
    (pointer, "data_ptr", AWAY, "torch operators"),
    (elsewhere, "cuda", "names a device", "device=x.device"),
    (sparse, "to_sparse", "_to_sparse", "another operator"),
    (custom, "blur(", "lowbittest::blur does not say", "register_fake('lowbittest::blur')"),
    (aliased, "torch.cond", "torch.cond returns", ".clone()"),
    (other, "raise", "KeyError", "torch operators"),
]


def same_screen(error: UserError) -> None:
    lines = str(error).splitlines()
    assert len(lines) <= 8
    assert max(map(len, lines)) < 500


@pytest.mark.parametrize(("function", "text", "why", "fix"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_the_line_the_module_the_cause_and_the_way_round(
    function: Callable[..., Any], text: str, why: str, fix: str
) -> None:
    error = refused(Whole(Part(function)))
    same_screen(error)
    assert error.where.startswith(f"parts.1 ({line_of(function, text)})  ")
    assert why in error.why
    assert fix in error.fix
    assert function is custom or "leaves = ['parts.1']" in error.fix


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(4, 40), nn.Linear(40, 4)

    def forward(self, x: Tensor) -> Any:
        boxes = self.head(self.backbone(x))
        return [box for box in boxes[0] if box > 0.5]


def test_post_processing_names_the_part_to_compile() -> None:
    error = refused(Detector())
    assert error.where.startswith(line_of(Detector.forward, "box > 0.5"))
    assert BRANCH in error.why
    assert "'backbone'" in error.fix or "'head'" in error.fix
    assert "leaves" not in error.fix


def test_a_norm_without_momentum() -> None:
    error = refused(Whole(nn.BatchNorm1d(4, momentum=None)))
    assert error.where.startswith(f"parts.1 ({line_of(Whole.forward, 'self.parts')})")
    assert "momentum=None" in error.why
    assert "momentum=0.1" in error.fix


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_part() -> None:
    error = refused(Whole(torch.jit.script(nn.Linear(4, 4))))
    assert error.where.startswith(f"parts.1 ({line_of(Whole.forward, 'self.parts')})")
    assert "scripted" in error.why
    assert "the module itself" in error.fix
    assert "leaves" not in error.fix  # which would be refused too


def test_a_fixed_batch() -> None:
    error = refused(Whole(Part(lambda m, x: x.view(4, 2, 2))))
    assert error.why == "the model works with a batch of 4 alone"
    assert "x.shape[0]" in error.fix


def test_a_result_without_tensors() -> None:
    error = refused(Whole(Part(lambda m, x: {"a": x, "b": object()})))
    assert "returns a object" in error.why
    assert "tuples" in error.fix


def test_a_model_that_fails_by_itself() -> None:
    model = Whole(Part(other))
    with pytest.raises(KeyError) as alone:
        model(torch.randn(4, 4))
    error = refusal(RuntimeError("what torch.export made of it"), model, [(4, 4)], alone.value)
    assert error.what == "the model itself fails on the example inputs"
    assert error.where.startswith(f"parts.1 ({line_of(other, 'raise')})")
    assert "KeyError" in error.why
    assert "(4, 4)" in error.fix


def gradient(m: Any, x: Tensor) -> Any:
    return torch.func.grad(lambda t: (t.sin() * m.number).sum())(x)


def forward_derivative(m: Any, x: Tensor) -> Any:
    return torch.func.jvp(torch.sin, (x,), (x,))[1]


def rows_of_a_jacobian(m: Any, x: Tensor) -> Any:
    return torch.func.jacrev(lambda t: t.sin().sum(0))(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # of torch, at its first jvp
@pytest.mark.parametrize("function", [gradient, forward_derivative, rows_of_a_jacobian])
def test_a_derivative_within_the_model(function: Callable[..., Any]) -> None:
    with pytest.raises(UserError) as caught:
        capture(Whole(Part(function)), (torch.randn(4, 4),))
    assert caught.value.where.startswith(f"parts.1 ({line_of(function, 'return')})")
    assert "torch.func differentiates" in caught.value.why
    assert "leaves = ['parts.1']" in caught.value.fix
