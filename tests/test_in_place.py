"""In-place calls become pure: drawn programs of views and in-place calls keep every bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, reject
from hypothesis import strategies as st
from lowbit.compiler.capture import capture
from lowbit.compiler.capture.in_place import functional
from lowbit.compiler.capture.pure import pure_form
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, is_effect
from lowbit.compiler.modes import evaluated
from lowbit.compiler.text import text
from lowbit.compiler.verify import verify
from torch import Tensor, nn

_aten = torch.ops.aten
Function = Callable[["Model", Tensor], Any]


class Model(nn.Module):
    """A linear layer, two buffers, and a given function of (model, x)."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function
        self.lin = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))
        self.register_buffer("mask", torch.tensor([True, False, True, True]), persistent=False)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def batch(size: int = 3) -> Tensor:
    return torch.randn(size, 4, generator=torch.Generator().manual_seed(size))


def purified(function: Function) -> tuple[Model, Graph]:
    torch.manual_seed(0)
    model = Model(function)
    graph = capture(model, (batch(),), verify=False)
    before = text(graph)
    pure = functional(graph)
    verify(pure, "functional")
    assert text(graph) == before
    assert text(functional(pure)) == text(pure)
    return model, pure


def effects(graph: Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op == "call_function" and is_effect(node)]


def observed(module: nn.Module, x: Tensor) -> list[Any]:
    """Outputs, gradients of parameters and of the input, buffers, and the input itself afterwards."""
    leaf = x.clone().requires_grad_()
    given = leaf * 1
    torch.manual_seed(0)
    out = module(given)
    flat = torch.utils._pytree.tree_leaves(out)
    real = [y for y in flat if isinstance(y, Tensor) and y.requires_grad]
    if real:
        sum((y * torch.arange(1, y.numel() + 1).reshape(y.shape)).sum() for y in real).backward()  # type: ignore[union-attr]
    grads = {name: parameter.grad for name, parameter in module.named_parameters()}
    return [[y.detach() for y in flat], grads, leaf.grad, dict(module.named_buffers()), given.detach()]


def same(model: Model, graph: Graph) -> None:
    for size in (1, 2, 5):
        theirs = observed(copy.deepcopy(model), batch(size))
        ours = observed(copy.deepcopy(graph.module()), batch(size))
        for named in (1, 3):  # the module of a graph holds only what it reads
            both = theirs[named].keys() & ours[named].keys()
            theirs[named], ours[named] = ({name: seen[named][name] for name in both} for seen in (theirs, ours))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


# Each word takes the tensors made so far and one of them, and makes another or changes it.
VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "first row": lambda t: t[:1],
    "last column": lambda t: t[..., -1],
    "every other": lambda t: t[..., ::2],
    "transposed": lambda t: t.transpose(0, -1),
    "turned": lambda t: t.permute(*range(t.dim())[::-1]),
    "unsqueezed": lambda t: t.unsqueeze(-1),
    "squeezed": lambda t: t.squeeze(-1),
    "flat": lambda t: t.view(-1),
    "reshaped": lambda t: t.reshape(-1),
    "flattened": lambda t: t.flatten(),
    "half": lambda t: t.chunk(2, -1)[-1],
    "narrowed": lambda t: t.narrow(-1, 0, 1),
    "unbound": lambda t: t.unbind(-1)[0],
    "detached": lambda t: t.detach(),
    "contiguous": lambda t: t.contiguous(),
    "diagonal": lambda t: t.diagonal(),
    "same": lambda t: t.view_as(t),
    "expanded": lambda t: t.unsqueeze(0).expand(2, *t.shape),
}
NEW: dict[str, Callable[[Tensor], Tensor]] = {
    "twice": lambda t: t * 2,
    "sine": lambda t: t.sin(),
    "zeros": torch.zeros_like,
    "copied": lambda t: t.clone(),
    "doubles": lambda t: t.double(),
    "dropped": lambda t: F.dropout(t, 0.5),
}
CHANGES: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "relu_": lambda t, u: t.relu_(),
    "add_": lambda t, u: t.add_(u),
    "add one": lambda t, u: t.add_(1),
    "mul_": lambda t, u: t.mul_(u),
    "scaled": lambda t, u: t.mul_(0.5),
    "copy_": lambda t, u: t.copy_(u),
    "zero_": lambda t, u: t.zero_(),
    "fill_": lambda t, u: t.fill_(0.25),
    "masked_fill_": lambda t, u: t.masked_fill_(t > 0.5, 0.1),
    "index_put_": lambda t, u: t.__setitem__(t < 0, 0.3),
    "set rows": lambda t, u: t.__setitem__(slice(0, 1), 0.7),
    "set columns": lambda t, u: t.__setitem__((..., 0), u.sum()),
    "clamp_": lambda t, u: t.clamp_(-1, 1),
    "hardtanh_": lambda t, u: F.hardtanh(t, inplace=True),
    "leaky_relu_": lambda t, u: F.leaky_relu(t, inplace=True),
    "silu_": lambda t, u: F.silu(t, inplace=True),
    "elu_": lambda t, u: F.elu(t, inplace=True),
    "sigmoid_": lambda t, u: t.sigmoid_(),
    "dropout_": lambda t, u: F.dropout(t, 0.5, inplace=True),
    "bernoulli_": lambda t, u: t.bernoulli_(0.5),
    "t_": lambda t, u: t.transpose_(0, -1),
}


def program(words: list[tuple[str, int, int]]) -> Function:
    """A forward that runs the words; each reads two of the tensors there are."""

    def forward(model: Model, x: Tensor) -> list[Tensor]:
        made = [x, model.lin(x), torch.zeros(x.shape[0], 4)]
        for word, i, j in words:
            t, u = made[i % len(made)], made[j % len(made)]
            if word in CHANGES:
                CHANGES[word](t, u)
            else:
                made.append({**VIEWS, **NEW}[word](t))
        return [y.sin() for y in made[1:]]

    return forward


words = st.sampled_from([*VIEWS, *NEW, *CHANGES, *CHANGES])


@given(st.lists(st.tuples(words, st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7))
def test_drawn_programs_keep_every_bit(drawn: list[tuple[str, int, int]]) -> None:
    legal: list[tuple[str, int, int]] = []
    torch.manual_seed(0)
    for word in drawn:  # a word that torch refuses where it stands is left out
        try:
            for size in (1, 2, 5):
                observed(Model(program([*legal, word])), batch(size))
        except (RuntimeError, IndexError, UserWarning):
            continue
        legal.append(word)
    try:
        capture(Model(program(legal)), (batch(),), verify=False)
    except UserError:  # it holds for some batches only
        reject()
    same(*purified(program(legal)))


def rectified(m: Model, x: Tensor) -> Tensor:
    return F.relu_(m.lin(x))


def read_under_the_old_name(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.relu_()
    return y + y.sum()


def column_set(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y[:, 0] = 1.5
    return y


def part_scaled(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y[:, ::2].mul_(2)
    return y


def flat_view(m: Model, x: Tensor) -> tuple[Tensor, Tensor]:
    y = m.lin(x)
    rows = y.unsqueeze(1)
    y.view(-1).add_(1)
    return y, rows


def flattened_alone(m: Model, x: Tensor) -> Tensor:
    return m.lin(x).flatten(1).relu_()


def chunks(m: Model, x: Tensor) -> Tensor:
    y = x * 2
    z = y.detach() + 1
    z.chunk(2, 1)[1].zero_()
    z.split([1, 3], 1)[1].add_(1)
    z.unbind(1)[2].mul_(3)
    return m.lin(z)


def masked(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y[y > 0.2] = 0.1
    return y.masked_fill_(m.mask, 3.0).clamp_(-1, 1)


def filled_from_nothing(m: Model, x: Tensor) -> Tensor:
    z = torch.empty(x.shape[0], 4)
    z[:] = m.lin(x)
    z[:, 1:3] = torch.tensor(2.0)
    return z


def promoted(m: Model, x: Tensor) -> Tensor:
    return m.lin(x).add_(x.double().sum(0)).mul_(torch.arange(4))


def transposed(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.t()[1].add_(y.t()[0])
    y.transpose(0, 1).mul_(0.5)
    return y


def several(m: Model, x: Tensor) -> Tensor:
    values, indices = m.lin(x).topk(2, 1)
    values.mul_(2)
    return values + indices


def dropped(m: Model, x: Tensor) -> Tensor:
    return F.dropout(m.lin(x), 0.5, inplace=True)


@pytest.mark.parametrize(
    "function",
    [
        rectified, read_under_the_old_name, column_set, part_scaled, flat_view, flattened_alone, chunks, masked,
        filled_from_nothing, promoted, transposed, several, dropped,
    ],
)  # fmt: skip
def test_the_usual_forms_become_pure(function: Function) -> None:
    model, graph = purified(function)
    assert effects(graph) == []
    same(model, graph)


def averages(m: Model, x: Tensor) -> Tensor:
    m.seen.mul_(0.9).add_(x.mean(0).detach(), alpha=0.1)
    return m.lin(x) + m.seen


def input_changed(m: Model, x: Tensor) -> Tensor:
    x[:, 0] = 1.0
    return m.lin(x)


def behind_flatten(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.flatten(0).relu_()  # of other strides it would be a copy
    return y + 1


def behind_dropout(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    return F.dropout(y, 0.5).relu_() + y  # in eval mode it is y itself


def under_the_gradient(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    y.detach().mul_(2)
    return y * y


def copied_over(m: Model, x: Tensor) -> Tensor:
    return m.lin(x).copy_(x)  # the gradient of the layer is zero, and not none


def other_rounding(m: Model, x: Tensor) -> Tensor:
    return F.elu_(m.lin(x))


def drawn_in_place(m: Model, x: Tensor) -> Tensor:
    return m.lin(x) * x.new_empty(x.shape).bernoulli_(0.5).div_(0.5)


KEPT: dict[Function, list[str]] = {
    averages: ["aten.mul_.Tensor", "aten.add_.Tensor"],
    input_changed: ["aten.fill_.Tensor"],
    behind_flatten: ["aten.relu_.default"],
    behind_dropout: ["aten.relu_.default"],
    under_the_gradient: ["aten.mul_.Tensor"],
    copied_over: ["aten.copy_.default"],
    other_rounding: ["aten.elu_.default"],
    drawn_in_place: ["aten.bernoulli_.float"],
}


@pytest.mark.parametrize("function", KEPT)
def test_what_others_see_or_nobody_can_tell_is_kept(function: Function) -> None:
    model, graph = purified(function)
    assert effects(graph) == KEPT[function]
    same(model, graph)


def test_one_tensor_that_is_kept_keeps_no_other() -> None:
    def both(m: Model, x: Tensor) -> Tensor:
        return behind_flatten(m, x) + F.relu_(m.lin(x))

    model, graph = purified(both)
    assert effects(graph) == ["aten.relu_.default"]
    same(model, graph)


def test_pure_forms_are_found_by_schema() -> None:
    assert pure_form(_aten.relu_.default) is _aten.relu.default
    assert pure_form(_aten.__ior__.Tensor) is _aten.__or__.Tensor
    assert pure_form(_aten.index_put_.default) is _aten.index_put.default
    assert pure_form(_aten.dropout_.default) is _aten.dropout.default
    assert pure_form(_aten.bernoulli_.float) is None
    assert pure_form(_aten.add.out) is None
    assert pure_form(_aten._foreach_add_.Scalar) is None


def path_dropped(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    if not m.training:
        return y + x
    kept = 0.9 + torch.rand(x.shape[0], 1)
    return y.div(0.9) * kept.floor_() + x


def path_drawn(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    return y * x.new_empty(x.shape[0], 1).bernoulli_(0.9).div_(0.9) + x if m.training else y + x


@pytest.mark.parametrize("function", [path_dropped, path_drawn])
def test_stochastic_depth_keeps_every_path_in_eval_mode(function: Function) -> None:
    model, graph = purified(function)
    same(model, graph)
    x = batch(5)
    torch.testing.assert_close(evaluated(graph).module()(x)[0][0], model.eval()(x), rtol=0, atol=0)
