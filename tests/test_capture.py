"""Capture: the graph computes what the module computes, and what cannot be captured is refused with the user's line."""

from __future__ import annotations

import copy
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from lowbit.api import FLOAT as PLAIN
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, arguments
from lowbit.compiler.modes import evaluated
from lowbit.compiler.prepared import Prepared
from torch import Tensor, nn

_aten = torch.ops.aten


def twin(model: nn.Module, *args: Any, **kwargs: Any) -> tuple[nn.Module, Prepared]:
    """A copy of the model, and the captured module with no pass applied."""
    torch.manual_seed(0)
    ours = Prepared(capture(copy.deepcopy(model), args, kwargs), PLAIN)
    return copy.deepcopy(model), ours


def images(batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 6, 6, generator=torch.Generator().manual_seed(3))


def same(model: nn.Module, ours: nn.Module, *args: Any, **kwargs: Any) -> None:
    """Outputs, gradients and buffers in train mode, then outputs in eval mode, bit for bit."""
    for training in (True, False):
        seen = []
        for module in (model.train(training), ours.train(training)):
            torch.manual_seed(0)
            out = module(*copy.deepcopy(args), **copy.deepcopy(kwargs))
            leaves = torch.utils._pytree.tree_leaves(out)
            sum((leaf**2).sum() for leaf in leaves).backward()
            grads = {name: p.grad for name, p in module.named_parameters()}
            seen.append((out, grads, module.state_dict()))
        torch.testing.assert_close(seen[1], seen[0], rtol=0, atol=0)


class Layers(nn.Module):
    """A bit of everything that changes with the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(4 * 36, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.drop(self.act(self.norm(self.conv(x)))).flatten(1))
        return y


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_any_batch_from_any_example(batch: int) -> None:
    for example in (1, 4):
        same(*twin(Layers(), images(example)), images(batch))


class Spoken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, *, shift: Tensor, scale: float = 1.0) -> dict[str, Any]:
        y = self.lin(x) * scale + shift
        return {"sum": y, "pair": (y.relu(), x)}


def test_keywords_in_dictionaries_out() -> None:
    x, shift = torch.randn(3, 4), torch.randn(3, 4)
    model, ours = twin(Spoken(), x, shift=shift, scale=0.5)
    same(model, ours, torch.randn(5, 4), shift=torch.randn(5, 4), scale=0.5)
    with pytest.raises(UserError, match="another form"):
        ours(x)
    with pytest.raises(UserError, match=r"input 2 is 0\.25"):
        ours(x, shift=shift, scale=0.25)


class Keywords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, *many: Tensor, **named: Tensor) -> Tensor:
        y: Tensor = self.lin(sum(many) * named["scale"])  # type: ignore[arg-type]
        return y + named["shift"]


def test_any_number_of_arguments_and_keywords() -> None:
    def given(batch: int) -> tuple[list[Tensor], dict[str, Tensor]]:
        x = torch.randn(batch, 4)
        return [x, 2 * x], {"shift": x + 1, "scale": x.square()}

    args, kwargs = given(3)
    model, ours = twin(Keywords(), *args, **kwargs)
    args, kwargs = given(5)
    same(model, ours, *args, **kwargs)
    with pytest.raises(UserError, match="another form"):
        ours(*args)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.net = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.net(x, mask=nn.Transformer.generate_square_subsequent_mask(3), src_key_padding_mask=mask)
        return y


def test_a_transformer_with_masks() -> None:
    mask = torch.tensor([[0.0, 0.0, -float("inf")], [0.0, 0.0, 0.0]])
    with mock.patch.object(torch.backends.mha, "_is_fastpath_enabled", False):  # a fused kernel rounds otherwise
        model, ours = twin(Masked(), torch.randn(2, 3, 8), mask)
        same(model, ours, torch.randn(2, 3, 8), mask)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(self.a(x))
        return y


def test_tied_weights_stay_tied() -> None:
    model, ours = twin(Tied(), torch.randn(3, 4))
    same(model, ours, torch.randn(3, 4))
    assert ours.state_dict().keys() == model.state_dict().keys()
    for module in (ours, copy.deepcopy(ours)):
        with torch.no_grad():
            module.a.weight.zero_()  # type: ignore[union-attr]
        assert not module.b.weight.any()  # type: ignore[union-attr]


class FrozenNorm(Layers):
    def train(self, mode: bool = True) -> FrozenNorm:
        super().train(mode)
        self.norm.eval()
        return self


def test_a_frozen_norm_stays_frozen() -> None:
    model, ours = twin(FrozenNorm(), images())
    before = model.norm.running_mean.clone()
    same(model, ours, images())
    assert torch.equal(ours.norm.running_mean, before)  # type: ignore[union-attr]


def test_a_part_in_eval_mode_stays_frozen() -> None:
    model = Layers()
    model.norm.eval()
    ours = Prepared(capture(copy.deepcopy(model), (images(),)), PLAIN)
    before = model.norm.running_mean.clone()
    for _ in range(2):
        torch.manual_seed(0)
        wanted = model(images())
        torch.manual_seed(0)
        assert torch.equal(ours.train()(images()), wanted)
    assert torch.equal(ours.norm.running_mean, before)  # type: ignore[union-attr]


class Standardised(nn.Module):
    """Weight standardisation written as a batch norm without statistics: always in training, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        w = self.conv.weight
        standard = F.batch_norm(w.reshape(1, 4, -1), None, None, training=True)
        return F.conv2d(x, standard.reshape_as(w), self.conv.bias)


def norms(graph: Graph) -> list[bool]:
    return [arguments(node)["training"] for node in graph.nodes if node.target is _aten.batch_norm.default]


def test_weight_standardisation_is_no_mode() -> None:
    model, ours = twin(Standardised(), images())
    same(model, ours, images())
    assert norms(evaluated(ours.graph)) == [True]


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.part(self.part(x))
        return y


def test_a_module_used_twice() -> None:
    model, ours = twin(Twice(), images())
    same(model, ours, images())
    counters = [node for node in evaluated(ours.graph).nodes if "num_batches" in str(node.target)]
    assert not counters


class Overwritten(nn.Module):
    """x + relu_(x) is twice the rectified value, since relu_ overwrites what the sum reads."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + F.relu_(y)


def test_what_is_overwritten_is_read_overwritten() -> None:
    same(*twin(Overwritten(), images()), images())


class Flipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Flipped.apply(self.lin(x))
        return y


def test_a_custom_gradient_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        capture(Custom(), (torch.randn(3, 4),))
    assert "the gradient of the autograd.Function 'Flipped'" in caught.value.what
    assert "Flipped.apply(self.lin(x))" in caught.value.where
    assert "register_autograd" in caught.value.fix


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


def test_a_branch_on_data_names_its_line() -> None:
    with pytest.raises(UserError) as caught:
        capture(Branching(), (torch.randn(3, 4),))
    assert "test_capture.py" in caught.value.where
    assert "if x.sum() > 0" in caught.value.where
    assert "depends on the values of a tensor" in caught.value.why


def test_capture_leaves_the_model_as_it_was() -> None:
    model = Layers().eval()
    model.norm.train()
    before = copy.deepcopy(model.state_dict())
    capture(model, (images(),))
    assert (model.training, model.norm.training) == (False, True)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
