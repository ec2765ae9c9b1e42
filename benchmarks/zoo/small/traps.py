"""Traps: programs that torch.export records wrongly or not at all. Each must be refused, by its cause and its line.

Some are the whole model, so that there is no part to capture beside them. Those in a part are in `pieces`.
"""

from __future__ import annotations

import enum
import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop

from ..row import noise
from .made import made, vectors, whole

BRANCH = r"branch|value of a tensor"


class Round(torch.autograd.Function):
    """Rounds; its gradient passes straight through, which export loses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


@made(
    vectors,
    lambda: {"lin": nn.Linear(8, 8)},
    refused=r"autograd\.Function.*Round|Round.*autograd\.Function",
    line="Round.apply",
)
def a_custom_backward(self: Any, x: Tensor) -> Tensor:
    return Round.apply(self.lin(x))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"(?i)random", line="random.random()")
def a_layer_dropped_by_python(self: Any, x: Tensor) -> Tensor:
    if self.training and random.random() < 0.5:
        return x
    return self.lin(x)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"(?i)random", line="random.uniform")
def a_number_drawn_by_python(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) * random.uniform(0.5, 1.5) if self.training else self.lin(x)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=BRANCH, line="if y.sum() > 0")
def a_branch_on_data(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    if y.sum() > 0:
        return y
    return -y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=BRANCH, line="isnan(y).any()")
def a_check_for_nan(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    if torch.isnan(y).any():
        raise ValueError("not a number")
    return y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=BRANCH, line="while")
def a_loop_on_data(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    while y.abs().max() > 1:
        y = y / 2
    return y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=BRANCH, line=".item()")
def a_size_from_data(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    count = int((y > 0).sum().item()) % 8 + 1
    return y[:, :count] * 2


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"(?i)batch", line="% 2")
def odd_and_even_batches(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y if x.shape[0] % 2 == 0 else -y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"(?i)batch", line="> 2")
def another_way_for_large_batches(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y - y.mean(0) if x.shape[0] > 2 else y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"(?i)numpy|leaves torch|tensor", line=".numpy()")
def a_detour_through_numpy(self: Any, x: Tensor) -> Tensor:
    return self.lin(torch.from_numpy(x.detach().numpy().copy()))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=BRANCH, line="tolist")
def a_list_of_values(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return torch.tensor([v * 2 for v in y.flatten().tolist()]).view_as(y) + y


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "calls": 0}, refused=r"(?i)state|attribute|count|calls", line="calls")
def a_counter_in_python(self: Any, x: Tensor) -> Tensor:
    self.calls += 1
    return self.lin(x) / self.calls


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "memory": []}, refused=r"memory", line="self.memory.append")
def a_memory_of_tensors(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    self.memory.append(y.detach().mean(0))
    return y + sum(self.memory)


def scripted_submodule() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 4))


class Guarded(nn.Module):
    """A part that branches on its data, in the middle of parts that do not."""

    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > 1e6:
            raise ValueError("too large")
        return x


def a_branch_in_one_part() -> nn.Module:
    before = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
    return nn.Sequential(before, Guarded(), nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 4)))


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Round.apply(x)
        return y


def a_custom_backward_in_one_part() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), Rounded(), nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)))


class Dropped(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            if not self.training or random.random() < 0.7:
                x = layer(x)
        return x


def layers_dropped_by_python() -> nn.Module:
    part = [nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(3)]
    return nn.Sequential(nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)), Dropped(*part), nn.Linear(8, 4))


whole(scripted_submodule, refused="scripted", line="1")
whole(a_branch_in_one_part, pieces=True)
whole(a_custom_backward_in_one_part, pieces=True)
whole(layers_dropped_by_python, pieces=True)


@made(
    vectors,
    lambda: {"lin": nn.Linear(8, 8), "memory": torch.zeros(8)},
    refused=r"(?i)state|attribute|memory|buffer",
    line="memory",
)
def a_tensor_attribute_assigned(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    self.memory = (0.9 * self.memory + 0.1 * y.mean(0)).detach()
    return y + self.memory


@made(vectors, lambda: {"lin": nn.Linear(8, 8)})
def gumbel_noise(self: Any, x: Tensor) -> Tensor:
    return F.gumbel_softmax(self.lin(x), hard=True) if self.training else self.lin(x).softmax(1)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="draws random", line="torch.cond")
def a_choice_that_draws(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return torch.cond(y.sum() > 0, lambda t: F.dropout(t, 0.5, self.training), lambda t: t * 2, (y,))


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="while_loop", line="while_loop")
def a_loop_by_torch(self: Any, x: Tensor) -> Tensor:
    return while_loop(lambda t: t.abs().sum() > 1, lambda t: (t / 2,), (self.lin(x),))[0]


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="vmap", line="vmap")
def a_function_of_a_row(self: Any, x: Tensor) -> Tensor:
    return torch.vmap(lambda t: self.lin(t).softmax(0))(x)


@made(
    vectors,
    lambda: {"lin": nn.Linear(8, 8), "one": nn.Linear(8, 8)},
    refused="on a size.*only one side reads",
    line="torch.cond",
)
def a_layer_for_large_batches(self: Any, x: Tensor) -> Tensor:
    return torch.cond(x.shape[0] > 4, lambda t: self.one(t), lambda t: t.tanh(), (self.lin(x),))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "cache": {"rows": []}}, refused="cache", line="rows.insert")
def a_memory_within_a_memory(self: Any, x: Tensor) -> Tensor:
    y, rows = self.lin(x), self.cache["rows"]
    rows.insert(0, y.detach().mean(0))
    return y + sum(rows)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="batch size", line="== 1")
def another_way_for_a_single_row(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y * 2 if x.shape[0] == 1 else y


class Way(enum.Enum):
    UP = 1


@made(lambda batch: ((noise(batch, 8), Way.UP), {}), lambda: {"lin": nn.Linear(8, 8)}, refused="Way", line="traps.py")
def an_enumeration_as_argument(self: Any, x: Tensor, way: Way) -> Tensor:
    return self.lin(x) if way is Way.UP else x


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="lie in memory", line="is_contiguous")
def another_way_for_strides(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) if x.is_contiguous() else self.lin(x) * 2


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "own": torch.Generator()}, refused="Generator", line="generator=")
def a_generator_of_its_own(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) * torch.rand(8, generator=self.own)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="number that is drawn", line="float(")
def a_draw_made_a_number(self: Any, x: Tensor) -> Tensor:
    return x if self.training and float(torch.rand(1)) < 0.5 else self.lin(x)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused=r"torch\.manual_seed", line="torch.manual_seed")
def a_seed_in_the_forward(self: Any, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return self.lin(x) + torch.rand(8)


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="gradients are recorded", line="is_grad_enabled")
def another_way_without_gradients(self: Any, x: Tensor) -> Tensor:
    y = self.lin(x)
    return y * 2 if self.training and torch.is_grad_enabled() else y


@made(vectors, lambda: {"lin": nn.Linear(8, 8)}, refused="exported or compiled", line="is_compiling")
def another_way_for_compilers(self: Any, x: Tensor) -> Tensor:
    return self.lin(x) * 2 if torch.compiler.is_compiling() else self.lin(x)
