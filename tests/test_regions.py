"""Blocks of no_grad and autocast: the flat graph computes the module's outputs, buffers and gradients, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from blocks import Program, statements
from hypothesis import given, settings
from hypothesis import strategies as st
from lowbit.compiler.capture.regions import inlined, unsplit
from lowbit.compiler.errors import UserError
from parts import Whole, line_of
from torch import Tensor, fx, nn
from torch._higher_order_ops.map import map as each
from torch._higher_order_ops.while_loop import while_loop

_aten = torch.ops.aten
BATCH = {0: torch.export.Dim.DYNAMIC}


def exported(model: nn.Module, *args: Tensor) -> Any:
    with unsplit():
        program = torch.export.export(model, args, dynamic_shapes=(BATCH,) * len(args), strict=False)
    return program.module(check_guards=False)


def flat(model: nn.Module, *args: Tensor) -> fx.GraphModule:
    """The module exported and inlined, over tensors of its own; it returns flat outputs."""
    whole = exported(copy.deepcopy(model), *args)
    return fx.GraphModule(whole, inlined(whole))


def observed(module: nn.Module, *args: Tensor) -> list[Tensor]:
    """Outputs, buffers, gradients of parameters and inputs."""
    leaves = [x.clone().requires_grad_() for x in args]
    torch.manual_seed(0)
    outs = [x for x in torch.utils._pytree.tree_leaves(module(*(x * 1 for x in leaves))) if isinstance(x, Tensor)]
    sum((out.float() ** 2).sum() for out in outs if out.requires_grad).backward()
    names = sorted(name for name, _ in module.named_parameters())
    grads = [dict(module.named_parameters())[name].grad for name in names] + [x.grad for x in leaves]
    requires = [torch.tensor(out.requires_grad) for out in outs]
    buffers = [buffer for name, buffer in module.named_buffers() if not name.startswith("lifted_tensor")]
    return [*outs, *requires, *buffers, *(torch.tensor(0) if g is None else g for g in grads)]


def same(model: nn.Module, *args: Tensor) -> fx.GraphModule:
    graph = flat(model, *args)
    for batch in (args, tuple(torch.cat([x, x[:1]]) for x in args)):
        pair = [observed(copy.deepcopy(module), *batch) for module in (graph, model)]
        torch.testing.assert_close(*pair, rtol=0, atol=0)
    graph.graph.lint()
    assert not any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in graph.graph.nodes)
    return graph


class Mixed(Program):
    def __init__(self, statements: Any) -> None:
        super().__init__(statements)
        self.lin, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.scale = nn.Parameter(torch.rand(4) + 0.5)
        self.register_buffer("total", torch.zeros(4))

    def called(self, name: str, first: Tensor, second: Tensor, count: int) -> Tensor:
        return OPS[name](self, first, second)


def matched(b: Tensor) -> Tensor:
    return b.float().mean(0)


OPS: dict[str, Callable[[Any, Tensor, Tensor], Tensor]] = {
    "linear": lambda m, a, b: m.lin(a.float() if not torch.is_autocast_enabled("cpu") else a),
    "twice": lambda m, a, b: F.linear(F.linear(a.float(), m.lin.weight).float(), m.lin.weight),
    "norm": lambda m, a, b: m.norm(a.float()),
    "scale": lambda m, a, b: a * m.scale,
    "add": lambda m, a, b: a + b,
    "softmax": lambda m, a, b: a.softmax(-1),
    "einsum": lambda m, a, b: torch.einsum("bi,ij->bj", a.float(), m.lin.weight),
    "cat": lambda m, a, b: torch.cat([a, b], 1)[:, 2:6],
    "split": lambda m, a, b: torch.cat(a.chunk(2, 1)[::-1], 1),
    "loss": lambda m, a, b: a * F.smooth_l1_loss(a.float(), b.float()),
    "drop": lambda m, a, b: F.dropout(a, 0.5),
    "detach": lambda m, a, b: a.detach() * 2,
    "view": lambda m, a, b: a.view(-1, 2, 2).transpose(1, 2).reshape(-1, 4),
    "count": lambda m, a, b: a + m.total.add_(b.detach().float().mean(0)),
    "constant": lambda m, a, b: a + torch.tensor([1.0, 2.0, 3.0, 4.0]),
    "same": lambda m, a, b: a,
}


# Not float16 within bfloat16: there torch itself reads the cast of a weight that the outer block made.
MIXED = ("no_grad", "enable_grad", "bfloat16", "full")


@settings(max_examples=settings().max_examples // 2)
@given(st.lists(statements(OPS, MIXED, 8), min_size=1, max_size=6))
def test_any_nesting_is_the_module(program: Any) -> None:
    same(Mixed(program), torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("block", [*MIXED, "half"])
def test_each_call_in_each_block(name: str, block: str) -> None:
    inner = (block, [("linear", 0, 0), (name, 1, 0)])
    same(Mixed([("scale", 0, 0), inner, ("linear", 3, 1), ("add", 2, 4)]), torch.randn(3, 4))


@pytest.mark.parametrize("outer", MIXED)
@pytest.mark.parametrize("block", MIXED)
def test_each_block_in_each_block(outer: str, block: str) -> None:
    inner = (outer, [(block, [("linear", 0, 0), ("scale", 1, 0)])])
    same(Mixed([("scale", 0, 0), inner, ("linear", 3, 1), ("add", 2, 4)]), torch.randn(3, 4))


def test_an_activation_is_cast_for_each_reader() -> None:
    """So that its gradients add up in float32, as in the module; those of a weight do so in the lower type."""
    same(
        Mixed([("scale", 0, 0), ("bfloat16", [("linear", 1, 0), ("linear", 1, 0), ("einsum", 1, 0)])]),
        torch.randn(9, 4),
    )


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.out = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.utils.checkpoint.checkpoint(lambda a: self.lin(a).relu(), x, use_reentrant=False)
        z: Tensor = self.out(y) * y
        return z


def test_a_checkpoint_is_the_plain_calls() -> None:
    same(Checkpointed(), torch.randn(3, 4))


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y: Tensor = self.layer(x)
        return y


def test_a_transformer_under_autocast() -> None:
    same(Attended(), torch.randn(2, 5, 8))


class Normalised(nn.Module):
    """Writes its buffers in place, without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y


def test_buffers_written_without_gradients() -> None:
    same(Normalised(), torch.randn(3, 4))


class Decayed(nn.Module):
    """Writes a value that carries gradients where none are recorded, and goes on with what the write returned."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        with torch.no_grad():
            z = y.mul_(0.5)
        return z + y


def test_a_value_written_without_gradients_keeps_its_own() -> None:
    same(Decayed(), torch.randn(3, 4))


def test_nodes_know_their_module_line_and_value() -> None:
    graph = flat(Attended(), torch.randn(2, 5, 8)).graph
    linear = next(node for node in graph.nodes if node.target is _aten.linear.default)
    cast = linear.args[1]
    assert cast.target is _aten.to.dtype
    assert cast.meta["val"].dtype == torch.bfloat16
    assert [path for path, _ in cast.meta["nn_module_stack"].values()][-1] == "layer.self_attn"
    assert "test_regions.py" in linear.meta["stack_trace"]


def test_torchs_own_subgraphs_are_inlined_too() -> None:
    """As in a program that was saved."""
    model = Mixed([("no_grad", [("linear", 0, 0)]), ("bfloat16", [("linear", 1, 0), ("full", [("linear", 2, 0)])])])
    program = torch.export.export(model, (torch.randn(3, 4),), strict=False)
    whole = program.module(check_guards=False)
    graph = fx.GraphModule(whole, inlined(whole))
    assert not any(isinstance(node.target, torch._ops.HigherOrderOperator) for node in graph.graph.nodes)
    x = torch.randn(3, 4)
    torch.testing.assert_close(observed(copy.deepcopy(graph), x), observed(copy.deepcopy(model), x), rtol=0, atol=0)


class Mapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.vmap(lambda a: a * 2)(x)


class Looped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = while_loop(lambda a: a.sum() > 100, lambda a: (a * 0.5,), (x,))[0]
        return y


class Rows(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = each(lambda a: a.relu() * 2, x)
        return y


FUNCTIONS = [
    (Mapped(), r"torch\.vmap or torch\.func"),
    (Looped(), "while_loop"),
    (Rows(), "map"),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own tensors
@pytest.mark.parametrize(("part", "what"), FUNCTIONS)
def test_calls_of_functions_are_refused(part: nn.Module, what: str) -> None:
    with pytest.raises(UserError, match=f"^{what} cannot be captured") as caught:
        flat(Whole(part), torch.randn(3, 4))
    assert caught.value.where.startswith(f"parts.1 ({line_of(type(part).forward, 'a:')})")
    assert "leaves = ['parts.1']" in caught.value.fix
    assert "capture_islands" in caught.value.fix
