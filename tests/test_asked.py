"""A model that computes something else for what torch tells of the run is refused, with the line that asks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from captured import PLAIN
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.prepared import Prepared
from parts import Part, Whole, line_of
from torch import Tensor

X = torch.randn(4, 4)


def recorded(m: Any, x: Tensor) -> Any:
    return x * 2 if torch.is_grad_enabled() else x


def recorded_in_training(m: Any, x: Tensor) -> Any:
    if m.training and torch.is_grad_enabled():
        return x * 2
    return x


def recorded_in_eval(m: Any, x: Tensor) -> Any:
    if m.training:
        return x
    return x * 2 if torch.is_grad_enabled() else x * 3


def required(m: Any, x: Tensor) -> Any:
    y = x * m.number
    return y if x.requires_grad else y * 2


def compiled(m: Any, x: Tensor) -> Any:
    return x * 2 if torch.compiler.is_compiling() else x


def exported(m: Any, x: Tensor) -> Any:
    return x * 2 if torch.compiler.is_exporting() else x


ASKED = [
    (recorded, "is_grad", "gradients are recorded", "self.training"),
    (recorded_in_training, "is_grad", "gradients are recorded", "self.training"),
    (recorded_in_eval, "is_grad", "gradients are recorded", "self.training"),
    (required, "requires_grad", "gradients are recorded", "self.training"),
    (compiled, "is_compiling", "exported or compiled", "compute the same"),
    (exported, "is_exporting", "exported or compiled", "compute the same"),
]


@pytest.mark.parametrize(("function", "text", "what", "fix"), ASKED)
def test_a_branch_on_what_torch_is_asked(function: Any, text: str, what: str, fix: str) -> None:
    with pytest.raises(UserError, match=f"branches on whether .*{what}") as caught:
        capture(Whole(Part(function)), (X,))
    assert line_of(function, text) in caught.value.where
    assert fix in caught.value.fix


def test_a_branch_on_gradients_of_an_input() -> None:
    with pytest.raises(UserError, match="branches on whether gradients are recorded"):
        capture(Part(required), (X,))


def test_a_question_that_changes_nothing_is_free() -> None:
    def checkpointed(m: Any, x: Tensor) -> Any:
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return torch.utils.checkpoint.checkpoint(torch.tanh, x, use_reentrant=False)
        return x.tanh()

    capture(Whole(Part(checkpointed)), (X,))


def cast(m: Any, x: Tensor) -> Any:
    return (x.half() if torch.is_autocast_enabled("cpu") else x) * 2


def test_a_question_for_autocast_is_told_where_the_answer_is_another() -> None:
    module = Prepared(capture(Whole(Part(cast)), (X,)), PLAIN)
    module(X)
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match="captured without") as caught:
        module(X)
    assert line_of(cast, "is_autocast") in str(caught[0].message)


def test_a_block_of_autocast_answers_for_good() -> None:
    def kept(m: Any, x: Tensor) -> Any:
        with torch.autocast("cpu", enabled=False):
            return cast(m, x)

    with torch.autocast("cpu", torch.bfloat16):
        Prepared(capture(Whole(Part(kept)), (X,)), PLAIN)(X)


def test_what_is_compiled_behind_the_first_capture_of_a_process_may_ask() -> None:
    """Dynamo makes a table of the functions of torch when it is imported, and a capture may be what imports it."""
    code = (
        "import lowbit, torch; lowbit.capture(torch.nn.Linear(2, 2), (torch.ones(2, 2),)); "
        "ask = lambda x: x + 1 if torch.is_autocast_enabled(x.device.type) else x; "
        "print(torch.compile(ask, backend='eager', fullgraph=True)(torch.ones(1)).item())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1.0\n"), done.stderr
