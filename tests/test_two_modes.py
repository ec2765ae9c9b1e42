"""Eval mode: by flags on the training graph where that is exact, else a second graph over the same tensors."""

from __future__ import annotations

import copy
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from captured import same, tensors, twins
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import Graph, origin
from lowbit.compiler.text import text
from torch import Tensor, nn


class Auxiliary(nn.Module):
    """Another result in training, as Inception has one, and other computation in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head, self.extra = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Any:
        y = F.relu(self.norm(self.conv(x))).mean((2, 3))
        if self.training:
            return {"out": self.head(y), "aux": self.extra(y)}
        return self.head(y)


class Noise(nn.Module):
    """Noise, and a moving average that is kept in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(y.mean(0), alpha=0.1)
            return y + torch.randn_like(y)
        return y - self.mean


class Swapped(nn.Module):
    """What eval mode alone reads."""

    def __init__(self) -> None:
        super().__init__()
        self.train_only, self.eval_only = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.train_only(x) if self.training else self.eval_only(x)
        return y


class Constants(nn.Module):
    """Other constants in each mode, which torch numbers alike; one of them is written to."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x) * (torch.tensor([1.0, 2, 3, 4]) if self.training else torch.tensor([5.0, 6, 7, 8]))
        shift = torch.tensor([1.0, 2, 3, 4]) if self.training else torch.tensor([5.0, 6, 7, 8])
        shift[0] = x.mean()
        return y + torch.tensor([1, 2, 3, 4]) + shift


class Always(nn.Module):
    """Dropout in eval mode too, as for an estimate of uncertainty."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.lin(x), 0.5, training=True)


MODELS = {
    "auxiliary": (Auxiliary, (3, 6, 6)),
    "noise": (Noise, (4,)),
    "swapped": (Swapped, (4,)),
    "always": (Always, (4,)),
    "constants": (Constants, (4,)),
}
every_model = pytest.mark.parametrize("name", MODELS)


def batches(name: str) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(size, *MODELS[name][1], generator=generator),) for size in (3, 2, 5)]


@every_model
def test_eval_after_training_is_exact(name: str) -> None:
    model, ours = twins(MODELS[name][0](), batches(name)[0])
    assert ours.graph.evaluation is not None
    same(model, ours, *batches(name))
    assert list(ours.state_dict()) == list(model.state_dict())


@every_model
def test_the_mode_of_the_model_is_that_of_the_graph(name: str) -> None:
    ours = lowbit.capture(MODELS[name][0]().eval(), batches(name)[0])
    twin = copy.deepcopy(ours).train()
    assert (ours.training, twin.training) == (False, True)
    assert len(tensors(twin(*batches(name)[1]))) == (2 if name == "auxiliary" else 1)
    assert len(tensors(ours(*batches(name)[1]))) == 1


def test_where_flags_are_exact_there_is_one_graph() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.RReLU())
    assert capture(model, (torch.randn(3, 4),)).evaluation is None


def test_unverified_there_is_one_graph() -> None:
    assert capture(Auxiliary(), batches("auxiliary")[0], verify=False).evaluation is None


def scales(graph: Graph) -> set[str]:
    return {str(node.target) for node in graph.nodes if "scales" in str(node.target)}


def test_passes_put_the_same_grids_on_both() -> None:
    ours = lowbit.prepare(Auxiliary(), batches("auxiliary")[0], "choi2020", steps=10)
    graph = ours.graph
    assert graph.twin is not None
    assert scales(graph.twin) < scales(graph)  # the auxiliary head is in training alone
    assert "lowbit.scales.weights.extra.weight" not in scales(graph.twin)
    assert all("_eval" not in name for name in graph.state)


def test_what_is_trained_is_lowered() -> None:
    (x,), *_ = batches("auxiliary")
    ours = lowbit.prepare(Auxiliary(), (x,), "choi2020", steps=10)
    optimizer = torch.optim.Adam(ours.parameter_groups(1e-2))
    for _ in range(3):
        out = ours.train()(x)
        loss = out["out"].square().mean() + out["aux"].square().mean() + ours.regularization()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.step()
    wanted = ours.eval()(x)
    found = torch.from_numpy(lowbit.lower(ours).run(x.numpy())[0])
    assert (found - wanted).abs().max() <= 0.02 * wanted.abs().max()
    assert found.unique().numel() > 5


def test_what_eval_mode_alone_computes_is_lowered() -> None:
    (x,), *_ = batches("swapped")
    ours = lowbit.prepare(Swapped(), (x,), "choi2020", steps=10)
    assert ours.state_dict().keys() >= {
        "train_only.weight",
        "eval_only.weight",
        "lowbit.scales.weights.eval_only.weight",
    }
    wanted = ours.eval()(x)
    found = torch.from_numpy(lowbit.lower(ours).run(x.numpy())[0])
    assert (found - wanted).abs().max() <= 0.02 * wanted.abs().max()


class Lines(nn.Module):
    """The same function on two lines, one of them in training alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)  # with weights that make zeros of all there is nothing to tell the modes by
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = F.relu(x)
        return F.relu(self.lin(x)) + torch.zeros(x.shape[0], 1, device=x.device)


def test_calls_of_one_line_go_by_one_name() -> None:
    graph = capture(Lines(), (torch.randn(3, 4),))
    assert graph.twin is not None
    lines = [
        {node.name: origin(node).source for node in side.nodes if "relu" in node.name} for side in (graph, graph.twin)
    ]
    assert (len(lines[0]), len(lines[1])) == (2, 1)
    assert lines[1].items() <= lines[0].items()


def test_both_graphs_move() -> None:
    x = torch.randn(3, 4)
    twin = lowbit.capture(Lines(), (x,)).to("meta").graph.twin
    assert twin is not None
    assert twin.module()(x.to("meta"))[0][0].device.type == "meta"


class Fixed(nn.Module):
    """A state of two rows: no other batch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.register_buffer("state", torch.randn(2, 4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y + self.state


def test_a_model_that_fixes_its_batch_says_so() -> None:
    model = Fixed()
    with pytest.warns(UserWarning, match="runs on no other batch") as caught:
        graph = capture(copy.deepcopy(model), (torch.randn(2, 4),))
    assert "y + self.state" in str(caught[0].message)
    assert "[2,4] = input" in text(graph)
    with pytest.warns(UserWarning, match="runs on no other batch"):
        ours = lowbit.capture(model, (torch.randn(2, 4),))
    same(model, ours, (torch.randn(2, 4),))
    with pytest.raises(UserError, match=r"shape \(3, 4\)"):
        ours(torch.randn(3, 4))


class Loop(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([row * 2 for row in x])


class Parity(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[::2] * 2 if x.shape[0] % 2 else x


class Exactly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] == 4 else x


@pytest.mark.parametrize(("model", "line"), [(Loop(), "for row in x"), (Parity(), "% 2"), (Exactly(), "== 4")])
def test_a_model_that_looks_at_its_batch_size_is_refused_with_the_line(model: nn.Module, line: str) -> None:
    with pytest.raises(UserError, match="batch size") as caught:
        capture(model, (torch.randn(4, 4),))
    assert line in caught.value.where
    assert "test_two_modes.py" in caught.value.where
