"""Blocks of autocast in a model, within an autocast of the caller's: captured, it computes what the module does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from blocks import BLOCKS, Program, statements
from captured import twins
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lowbit.api import FLOAT
from lowbit.compiler.capture import capture
from lowbit.compiler.edit import Edit
from lowbit.compiler.engine import Context, rewrite
from lowbit.compiler.graph import origin
from lowbit.compiler.pattern import aten
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.rule import Match, rule
from torch import Tensor, nn

AROUND = ("no_grad", "bfloat16", "full", "elsewhere")


def full(x: Tensor) -> Tensor:
    """In float32, as a tensor of its own: a cast that does nothing while the model is captured returns what it got."""
    return x.clone().float()


OPS: dict[str, Callable[[nn.Linear, Tensor, Tensor], Tensor]] = {
    "linear": lambda m, a, b: m(full(a)),
    "einsum": lambda m, a, b: torch.einsum("bi,ij->bj", full(a), m.weight),
    "matmul": lambda m, a, b: full(a) @ full(b).T @ full(b),
    "softmax": lambda m, a, b: a.softmax(-1),
    "norm": lambda m, a, b: F.layer_norm(full(a), (4,), m.bias),
    "loss": lambda m, a, b: a * F.mse_loss(full(a), full(b)),
    "cat": lambda m, a, b: torch.cat([a, b], 1)[:, 2:6],
    "add": lambda m, a, b: a + b,
}


class Layered(Program):
    """No weight is read twice: of one in a bfloat16 block and outside of it, torch adds up gradients in bfloat16."""

    def __init__(self, statements: Any) -> None:
        super().__init__(statements)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(9))

    def called(self, name: str, first: Tensor, second: Tensor, count: int) -> Tensor:
        return OPS[name](self.layers[count % 9], first, second)  # type: ignore[arg-type]


def seen(module: nn.Module, x: Tensor, call: Callable[..., Any] | None = None, outer: Any = torch.bfloat16) -> Any:
    """Outputs, and gradients of parameters and input, within an autocast to that type; None for one that is off."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    with torch.autocast("cpu", outer, enabled=outer is not None):
        out = (module if call is None else call)(x)
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(out) if leaf.requires_grad]
    sum((leaf.float() * torch.arange(leaf.shape[-1])).sum() for leaf in leaves).backward()
    return out, {name: p.grad for name, p in module.named_parameters()}, x.grad


def same(model: nn.Module, ours: nn.Module, x: Tensor, outers: tuple[Any, ...] = (torch.bfloat16, None)) -> None:
    for outer in outers:
        torch.testing.assert_close(seen(ours, x, outer=outer), seen(model, x, outer=outer), rtol=0, atol=0)


@settings(max_examples=settings().max_examples // 2)
@example([("bfloat16", [("full", [("linear", 0, 0)])]), ("full", [("bfloat16", [("linear", 1, 0)])])])
@given(st.lists(statements(OPS, AROUND, 5), min_size=1, max_size=3))
def test_any_nesting_within_an_autocast_is_the_module(program: Any) -> None:
    same(*twins(Layered(program), (torch.randn(3, 4),)), torch.randn(5, 4))


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("block", AROUND)
def test_each_call_in_each_block(name: str, block: str) -> None:
    program = [("linear", 0, 0), (block, [(name, 1, 0), (name, 2, 1)]), ("linear", 3, 0), ("add", 3, 4)]
    same(*twins(Layered(program), (torch.randn(3, 4),)), torch.randn(5, 4))


class Attention(nn.Module):
    """Logits in float32, as language models compute them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = self.qkv(x).chunk(3, -1)
        with torch.autocast(x.device.type, enabled=False):
            y = (q.float() @ k.float().transpose(-1, -2)).softmax(-1) @ v.float()
        y = self.out(y)
        with torch.autocast(x.device.type, torch.bfloat16):
            z: Tensor = self.head(y)
        return y, z


X = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))


def test_attention_with_logits_in_float32() -> None:
    model, ours = twins(Attention(), (X,))
    same(model, ours, X)
    same(model, copy.deepcopy(ours), X)


def test_under_torch_compile_without_graph_breaks() -> None:
    model, ours = twins(Attention(), (X,))
    torch._dynamo.reset()
    for outer in (torch.bfloat16, None):
        mine = seen(ours, X, torch.compile(ours, backend="eager", fullgraph=True), outer)
        torch.testing.assert_close(mine, seen(model, X, outer=outer), rtol=0, atol=0)


def test_elsewhere_too_the_block_is_that_of_the_model() -> None:
    """No autocast acts on a meta device: the block that named the device of the capture must not be entered there."""
    assert lowbit.capture(Attention(), (X,)).to("meta")(X.to("meta"))[1].dtype == torch.bfloat16


class WithLeaf(nn.Module):
    def __init__(self, block: str) -> None:
        super().__init__()
        self.block, self.before, self.leaf, self.after = block, nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x).clone()
        with BLOCKS[self.block]():
            y = self.leaf(y.float())
        z: Tensor = self.after(y.float())
        return z


@pytest.mark.parametrize("block", [name for name in AROUND if name != "no_grad"])
def test_a_leaf_runs_within_its_block(block: str) -> None:
    outers = (torch.bfloat16, torch.float16, None)
    same(*twins(WithLeaf(block), (torch.randn(3, 4),), ["leaf"]), torch.randn(5, 4), outers)


def nesting() -> int:
    depth = torch.autocast_increment_nesting()
    torch.autocast_decrement_nesting()
    return depth


def test_a_capture_within_an_autocast_is_that_without() -> None:
    model = Attention()
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", torch.bfloat16):
        depth = nesting()
        ours = lowbit.capture(model, (X,))
        assert nesting() == depth
    same(model, ours, X)
    assert ours.training
    with torch.no_grad():
        assert ours(X)[0].dtype == torch.float32


class Normed(nn.Module):
    """A convolution in the caller's autocast, and a norm that a block keeps from it."""

    def __init__(self, together: bool) -> None:
        super().__init__()
        self.together, self.conv, self.norm = together, nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        if not self.together:
            x = self.conv(x)
        with torch.autocast("cpu", enabled=False):
            x = self.conv(x.float()) if self.together else x
            y: Tensor = self.norm(x)
        return y


_conv = aten.conv2d()


@rule(aten.batch_norm(input=_conv))
def fold(match: Match, edit: Edit) -> Any:
    return edit.like(match[_conv])


@pytest.mark.parametrize("together", [True, False])
def test_what_a_rule_makes_stands_in_the_block_if_all_that_it_matched_did(together: bool) -> None:
    """Else a convolution would get bfloat16 from before the block, and weights in float32."""
    x = torch.randn(2, 3, 5, 5)
    graph, _ = rewrite(capture(Normed(together), (x,)), [fold], Context("test", lambda layer: None))
    (conv,) = graph.fx.find_nodes(op="call_function", target=torch.ops.aten.conv2d.default)
    assert [block.enabled for block in origin(conv).autocasts] == ([False] if together else [])
    with torch.autocast("cpu", torch.bfloat16):
        assert Prepared(graph, FLOAT)(x).dtype == (torch.float32 if together else torch.bfloat16)
