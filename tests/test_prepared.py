"""What users do with a model: any outputs, any names, arguments in any order; and what is refused, in their words."""

from __future__ import annotations

import copy
import types
from collections.abc import Callable
from typing import Any

import lowbit
import pytest
import torch
from lowbit.api import FLOAT as PLAIN
from lowbit.api import passes
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import origin
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import parse
from torch import Tensor, nn

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


def model(forward: Callable[..., Any], **parts: nn.Module) -> nn.Module:
    """A module of a linear layer `lin` and these parts, with that `forward(self, ...)`."""
    made: nn.Module = type("Model", (nn.Module,), {"forward": forward})()
    for name, part in {"lin": nn.Linear(4, 4), **parts}.items():
        made.add_module(name, part)
    return made


def prepared(module: nn.Module, *args: Any, **kwargs: Any) -> Prepared:
    return Prepared(capture(module, args, kwargs), PLAIN)


def test_conversions_stay_and_change_nothing() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.lin(x.float()).to(torch.float32).to("cpu").type_as(x) + x.to(torch.float64)

    module = model(forward)
    ours = prepared(module, X)
    assert torch.equal(ours(X[:3]), module(X[:3]))
    assert ours(X[:3]).dtype == torch.float64


def test_outputs_that_are_no_tensors() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return 3, {"y": self.lin(x), "none": None, "batch": x.shape[0]}

    module = model(forward)
    ours = prepared(module, X)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(X[:5]), module(X[:5]), rtol=0, atol=0)
    assert len(ours.graph.outputs) == 2


@pytest.mark.parametrize(
    "name",
    [
        "recipe",
        "ledger",
        "lowbit",
        "graph",
        "_graph",
        "_arguments",
        "_train",
        "_measured",
        "step",
        "code",
        "meta",
        "flat",
    ],
)
def test_a_name_that_is_taken(name: str) -> None:
    module = model(lambda self, x: getattr(self, name)(self.lin(x)))
    module._modules[name] = nn.Linear(4, 4)  # past add_module, as `self.graph = nn.Linear(...)` does
    with pytest.raises(UserError, match=f"a part called '{name}'"):
        prepared(module, X)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_named(value: float) -> None:
    module = model(lambda self, x: self.lin(x))
    with pytest.raises(UserError, match="example input 0"):
        prepared(module, X.clone().fill_(value))
    module.lin.weight.data[0, 0] = value  # type: ignore[union-attr,operator]
    with pytest.raises(UserError, match=r"parameter 'lin\.weight'"):
        prepared(module, X)


def test_a_mask_of_infinities_is_compared() -> None:
    module = model(lambda self, x: (self.lin(x) + self.mask).softmax(-1))
    module.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))
    assert torch.equal(prepared(module, X)(X), module(X))


def test_another_type_than_at_capture() -> None:
    ours = prepared(model(lambda self, x: self.lin(x)), X).double()
    assert ours(X.double()).dtype == torch.float64
    with pytest.raises(UserError, match=r"'lin\.weight' has become torch\.float64"):
        _ = ours.graph


def test_named_arguments_in_any_order() -> None:
    def forward(self: Any, a: Tensor, b: Tensor, *, c: float = 1.0) -> Any:
        return self.lin(a) - b * c

    module = model(forward)
    ours = prepared(module, c=0.5, b=X.sin(), a=X)
    assert [node.name for node in ours.graph.inputs] == ["a", "b", "c"]
    expected = module(X, X.cos(), c=0.5)
    for given in (ours(X, X.cos(), c=0.5), ours(c=0.5, a=X, b=X.cos()), ours(X, c=0.5, b=X.cos())):
        assert torch.equal(given, expected)


@pytest.mark.parametrize(
    ("batch", "asked"),
    [
        (8, lambda n: n <= 64),
        (8, lambda n: n > 4),
        (2, lambda n: n > 64),
        (8, lambda n: n % 2 == 0),
        (7, lambda n: n % 2 == 0),
        (8, lambda n: n != 5),
    ],
)
def test_a_branch_on_the_batch_size(batch: int, asked: Callable[[int], bool]) -> None:
    module = model(lambda self, x: self.lin(x) if asked(x.shape[0]) else -x)
    with pytest.raises(UserError, match="branches on the batch size") as caught:
        prepared(module, torch.randn(batch, 4))
    assert "test_prepared.py" in caught.value.where


def checked(self: Any, x: Tensor) -> Any:
    torch._check(x.shape[0] <= 64)
    return self.lin(x)


def test_a_bound_on_the_batch_size() -> None:
    with pytest.raises(UserError, match="branches on the batch size"):
        prepared(model(checked), X)


def test_what_shapes_ask_of_the_batch_is_no_branch() -> None:
    def forward(self: Any, a: Tensor, b: Tensor) -> Any:
        assert a.shape[0] == b.shape[0]
        heads = self.lin(a).reshape(a.shape[0], 2, 2).flatten(1).view(-1, 4)
        return torch.cat([heads, b.expand(a.shape[0], 4)]).chunk(2)[0] + torch.einsum("ni,nj->nj", a, b)

    module = model(forward)
    ours = prepared(module, X, X)
    for batch in (2, 9):
        a, b = torch.randn(2, batch, 4)
        torch.testing.assert_close(ours(a, b), module(a, b))


def test_examples_that_are_one_tensor_or_need_a_gradient() -> None:
    module = model(lambda self, a, b: self.lin(a) - b)
    example = X.sin().requires_grad_() * 2
    ours = prepared(module, example, example)
    assert torch.equal(ours(X, X.cos()), module(X, X.cos()))


def test_a_forward_of_its_own_stays_with_the_model() -> None:
    def forward(self: Any, x: Tensor, **named: Tensor) -> Any:
        return self.lin(x) + named["shift"]

    module = model(forward)
    own = module.forward = types.MethodType(forward, module)
    ours = prepared(module, X, shift=X)
    assert module.forward is own
    assert torch.equal(ours(X[:3], shift=X[:3]), module(X[:3], shift=X[:3]))


def test_a_mask_that_is_not_causal() -> None:
    layer, x = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), torch.randn(3, 5, 4)
    mask = torch.ones(5, 5, dtype=torch.bool).tril(-2)
    module = model(lambda self, x: self.layers(x, mask), layers=nn.TransformerEncoder(layer, 1))
    assert torch.equal(prepared(module, x)(x), module(x))


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid() * 2


def test_the_line_of_a_call_is_the_innermost() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.lin(self.inner(x))

    graph = capture(model(forward, inner=Inner()), (X,))
    lines = {node.name: origin(node).source for node in graph.nodes}
    assert "return x.sigmoid() * 2" in lines["sigmoid"]
    assert "self.lin(self.inner(x))" in lines["linear"]


PTQ = parse('name = "one"\n[[prepare]]\nuse = "insert_fake_quant"\n', passes())


def test_tied_weights_get_one_grid() -> None:
    tied = model(lambda self, x: self.other(self.lin(x)), other=nn.Linear(4, 4))
    tied.other.weight = tied.lin.weight  # type: ignore[union-attr,assignment]
    names = [str(node.target) for node in lowbit.prepare(tied, (X,), PTQ).graph.nodes]
    assert [name for name in names if "scales.weights" in name] == ["lowbit.scales.weights.lin.weight"]


class Total(nn.Module):
    """A wide input and a narrow one: scales that are mixed up show."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_named_examples_calibrate_the_input_they_name(names: tuple[str, str]) -> None:
    x = {"a": torch.full((2, 3), 100.0), "b": torch.full((2, 3), 0.01)}
    named = {name: x[name] for name in names}
    prepared = lowbit.prepare(Total(), (), PTQ, kwargs=named)
    for _ in range(2):
        scales = [port.scale for port in lowbit.lower(prepared).program.inputs]
        assert scales[0] > 1000 * scales[1]
        lowbit.calibrate(prepared, [named])


def test_an_example_of_another_shape_does_not_calibrate() -> None:
    prepared = lowbit.prepare(nn.Linear(3, 2), (torch.randn(2, 3),), "choi2020", steps=1)
    with pytest.raises(lowbit.UserError, match="shape"):
        lowbit.calibrate(prepared, [torch.randn(2, 4)])


class Second(nn.Linear):
    """A module whose second version took another shape, as torchvision's MNASNet did."""

    _version = 2

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        assert metadata.get("version") == 2
        super()._load_from_state_dict(state, prefix, metadata, *rest)


def test_the_versions_of_modules_are_in_the_state() -> None:
    module = nn.Sequential(Second(4, 4), nn.BatchNorm1d(4))
    ours = Prepared(capture(copy.deepcopy(module), (X,)), PLAIN)
    module.load_state_dict(ours.state_dict())
    assert ours.state_dict()._metadata == module.state_dict()._metadata  # type: ignore[attr-defined]


class Float(nn.Module):
    """Computes in float32 whatever it is given, as norms of language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.lin(x).float()
        return y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)


def test_a_conversion_that_did_nothing_at_capture_stays() -> None:
    module, x = Float(), X.bfloat16()
    ours = prepared(copy.deepcopy(module), X)
    assert torch.equal(ours.bfloat16()(x), module.bfloat16()(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours.float()(X), module.float()(X))
