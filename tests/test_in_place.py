"""In-place calls become pure in their usual forms, and stay where others see them or nobody can tell."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from lowbit.compiler.capture.pure import pure_form
from lowbit.compiler.graph import Graph, is_effect
from lowbit.compiler.modes import evaluated
from purified import Function, Model, batch, purified, same
from torch import Tensor

_aten = torch.ops.aten


def effects(graph: Graph) -> list[str]:
    return [str(node.target) for node in graph.nodes if node.op == "call_function" and is_effect(node)]


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


def before_reshape_is_read(m: Model, x: Tensor) -> Tensor:
    y = m.lin(x)
    rows = y.reshape(-1)
    y.relu_()
    return rows + 1


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
    before_reshape_is_read: ["aten.relu_.default"],
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
