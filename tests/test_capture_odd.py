"""Odd models are captured as they are or refused: what hides at first, state in Python, batches of one, kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lowbit
import pytest
import torch
from captured import same, twins
from lowbit import UserError
from lowbit.compiler.capture import capture
from torch import Tensor, nn
from torch.nn.utils import prune

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Odd(nn.Module):
    """A linear, zeros to train and what the function makes of them."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function, self.lin = function, nn.Linear(4, 4)
        self.gate = nn.Parameter(torch.zeros(4))
        self.register_buffer("count", torch.zeros(1))
        self.calls, self.plain, self.seen = 3, torch.zeros(1), list[Any]()

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Backwards(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


def gated_in_training(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.lin(x)
    return y + m.gate * y if m.training else y


def counted_in_place(m: Any, x: Tensor) -> Tensor:
    m.count += 1
    y: Tensor = m.lin(x) * m.count
    return y


def counted_in_training(m: Any, x: Tensor) -> Tensor:
    if m.training:
        m.count += 1
    y: Tensor = m.lin(x)
    return y


def plain_changed(m: Any, x: Tensor) -> Tensor:
    m.plain += 1
    y: Tensor = m.lin(x) * m.plain
    return y


def listed(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.lin(x)
    m.seen.append(y.mean())
    return y


CAPTURED = [gated_in_training, counted_in_place, counted_in_training, plain_changed, listed]


@pytest.mark.parametrize("function", CAPTURED)
def test_captured_as_it_is(function: Callable[..., Any]) -> None:
    model, ours = twins(Odd(function), (X,))
    same(model, ours, (X,), (X[:3],), (X[:1],))


def test_spectral_norm_keeps_its_vectors_in_eval_mode() -> None:
    model = nn.Sequential(torch.nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)))
    same(*twins(model, (X,)), (X,), (X[:3],), (X,))


def test_the_capture_leaves_what_the_model_keeps() -> None:
    for function in (plain_changed, listed):
        model = Odd(function)
        capture(model, (X,))
        assert (model.plain.tolist(), model.seen) == ([0.0], [])


def gated_function(m: Any, x: Tensor) -> Tensor:
    return x + m.gate * Backwards.apply(m.lin(x))


def function_of_the_input(m: Any, x: Tensor) -> Tensor:
    y: Tensor = m.lin(Backwards.apply(x))
    return y


@pytest.mark.parametrize("function", [gated_function, function_of_the_input])
def test_a_gradient_that_hides_at_first_is_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="'Backwards' cannot be captured"):
        lowbit.capture(Odd(function), (X,))


def counted_in_python(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    y: Tensor = m.lin(x) * m.calls
    return y


def appended(m: Any, x: Tensor) -> Tensor:
    m.seen.append(1)
    y: Tensor = m.lin(x) * len(m.seen)
    return y


@pytest.mark.parametrize(("function", "name"), [(counted_in_python, "'calls' at "), (appended, "'seen'")])
def test_state_in_python_is_named(function: Callable[..., Any], name: str) -> None:
    with pytest.raises(UserError, match="keeps something from one call to the next") as refused:
        lowbit.capture(Odd(function), (X,))
    assert name in refused.value.why


def late(m: Any, x: Tensor) -> Tensor:
    m.calls += 1
    y: Tensor = m.lin(x) * (2 if m.calls > 100 else 1)
    return y


def test_a_counter_that_may_matter_later_is_told() -> None:
    with pytest.warns(UserWarning, match=r"changes its attribute 'calls'(?s:.*)test_capture_odd.py"):
        lowbit.capture(Odd(late), (X,))


@pytest.mark.parametrize(
    "branch",
    [
        lambda n: n == 1,
        lambda n: n == 777,
        lambda n: 2 * n + 1 == 1001,
        lambda n: n % 1009 == 3,
        lambda n: n * n > 10**10,
    ],
)
def test_a_branch_on_any_batch_size_is_refused(branch: Callable[[int], bool]) -> None:
    def function(m: Any, x: Tensor) -> Any:
        return m.lin(x) * 2 if branch(x.shape[0]) else m.lin(x)

    with pytest.raises(UserError, match="branches on the batch size"):
        lowbit.capture(Odd(function), (X,))


def scaled_bytes(m: Any, x: Tensor) -> Any:
    return m.lin(x if x.is_floating_point() else x / 255)


def test_another_kind_of_numbers_is_refused() -> None:
    ours = lowbit.capture(Odd(scaled_bytes), (X,))
    with pytest.raises(UserError, match="input 0 is of whole numbers"):
        ours(torch.ones(6, 4, dtype=torch.uint8))


def test_sparse_gradients_and_complex_numbers_are_compared() -> None:
    lowbit.capture(nn.Embedding(5, 4, sparse=True), (torch.tensor([[1, 2], [3, 4]]),))
    lowbit.capture(nn.Linear(4, 4, dtype=torch.complex64), (X.to(torch.complex64),))


def fails_backward(m: Any, x: Tensor) -> Any:
    y = m.lin(x).exp()
    z = y * y
    y.add_(1)
    return z


def test_a_model_that_fails_backward_is_told_so() -> None:
    with pytest.raises(UserError, match="the model itself fails"):
        lowbit.capture(Odd(fails_backward), (X,))


class Named(nn.Module):
    """Returns a number that follows the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return self.part(x), float(x.shape[0])


def drawn(m: Any, x: Tensor) -> Any:
    return m.lin(x) + torch.rand(4, generator=torch.Generator())


def hidden(m: Any, x: Tensor) -> Any:
    y = m.lin(x)
    y.data.mul_(2)
    return y


def nothing(m: Any, x: Tensor) -> None:
    m.lin(x)


def keyword() -> nn.Module:
    return nn.Sequential(nn.ModuleDict({"class": nn.Linear(4, 4)}))


REFUSED: list[tuple[Callable[[], nn.Module], list[str], str]] = [
    (lambda: Odd(drawn), [], "torch.Generator"),
    (lambda: Odd(hidden), [], "through .data"),
    (lambda: Odd(nothing), [], "returns no tensor"),
    (keyword, [], "a part called 'class'"),
    (lambda: nn.LazyLinear(4), [], "the model is lazy"),
    (lambda: nn.Sequential(nn.Linear(4, 4), Named()), ["1"], "the leaf '1' returns"),
    (lambda: nn.Sequential(nn.Linear(4, 4)), [0], "not a list of patterns"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("build", "leaves", "said"), REFUSED)
def test_refused_with_the_cause(build: Callable[[], nn.Module], leaves: list[str], said: str) -> None:
    with pytest.raises(UserError) as refused:
        lowbit.capture(build(), (X,), leaves=leaves)
    assert said in str(refused.value)


def clamped(m: Any, x: Tensor) -> Any:
    return m.lin(x) / max(1, x.shape[0] - 1) * min(x.shape[0], 3)


def test_the_larger_of_two_sizes() -> None:
    same(*twins(Odd(clamped), (X,)), (X,), (X[:2],), (X[:5],))


def test_a_pruned_model_is_captured() -> None:
    model = nn.Linear(4, 4)
    prune.l1_unstructured(model, "weight", 0.5)  # type: ignore[no-untyped-call]
    ours = lowbit.capture(model, (torch.randn(3, 4),))
    x = torch.randn(5, 4)
    assert torch.equal(ours(x), model(x))
    assert ours.state_dict().keys() == model.state_dict().keys()


class Waiting(nn.Module):
    """A buffer that gets its size from the first input."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("index", torch.zeros(1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.index.shape[1] != x.shape[1]:
            self.index = torch.arange(x.shape[1], dtype=torch.float32).unsqueeze(0)
        y: Tensor = self.lin(x)
        return y * self.index


class Hooking(nn.Module):
    """Installs a hook in its first forward, as transformers does to collect hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.hooked = nn.Linear(4, 4), False

    def forward(self, x: Tensor) -> Tensor:
        if not self.hooked:
            self.lin.register_forward_hook(lambda module, given, result: result * 2)
            self.hooked = True
        y: Tensor = self.lin(x)
        return y


@pytest.mark.parametrize("model", [Waiting(), Hooking()])
def test_what_the_first_forward_sets_up_is_as_in_the_model(model: nn.Module) -> None:
    ours = lowbit.capture(model, (torch.randn(3, 4),))
    for _ in range(2):
        x = torch.randn(5, 4)
        assert torch.equal(ours(x), model(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
def test_a_scripted_part_is_refused_with_its_path() -> None:
    model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))
    for front in (lowbit.capture, lowbit.capture_islands):
        with pytest.raises(UserError, match="scripted") as caught:
            front(model, (torch.randn(3, 4),))
        assert caught.value.where == "1"
