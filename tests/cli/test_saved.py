"""A saved .pt2 is a module like the one that it was exported from: names, ties, modes, gradients, lines of code."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from lowbit.cli import source
from lowbit.cli.main import main
from lowbit.compiler.capture import capture
from lowbit.compiler.errors import UserError
from lowbit.compiler.graph import origin
from torch import Tensor, nn

BATCH = torch.export.Dim.DYNAMIC


class Net(nn.Module):
    """Tied weights, a norm, noise, a constant, a keyword, and a nested result."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(9, 4), nn.Linear(4, 9, bias=False)
        self.linear.weight = self.embedding.weight
        self.block = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.constant = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def forward(self, x: Tensor, *, scale: Tensor) -> dict[str, Any]:
        hidden = self.block(self.embedding(x).mean(1) * self.constant)
        return {"scores": self.linear(hidden) * scale, "rest": (hidden, None)}


def example(size: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(size)
    return torch.randint(0, 9, (size, 5)), torch.rand(size, 1)


def saved(model: nn.Module, path: Path, strict: bool = False, dynamic: bool = True) -> Any:
    x, scale = example()
    shapes = {"x": {0: BATCH}, "scale": {0: BATCH}} if dynamic else None
    program = torch.export.export(model, (x,), {"scale": scale}, dynamic_shapes=shapes, strict=strict)
    torch.export.save(program, path)
    return source.model(str(path))


@pytest.fixture
def models(tmp_path: Path) -> tuple[nn.Module, Any]:
    """A model, and the one of its file."""
    model = Net()
    return model, saved(model.train(), tmp_path / "ünïcode.pt2")


def observed(model: nn.Module, train: bool) -> list[Tensor]:
    """Outputs, gradients and buffers of a step on a batch of another size than the exported one."""
    x, scale = example(7)
    torch.manual_seed(0)
    out = model.train(train)(x, scale=scale)
    model.zero_grad()
    (out["scores"].sum() + out["rest"][0].square().sum()).backward()
    assert out["rest"][1] is None
    buffers = [buffer.clone() for name, buffer in sorted(model.named_buffers()) if "block" in name]
    gradients = [p.grad for _, p in sorted(model.named_parameters())]
    return [out["scores"].detach(), *buffers, *(grad for grad in gradients if grad is not None)]


def test_it_computes_what_the_model_computes_in_both_modes(models: tuple[nn.Module, Any]) -> None:
    model, exported = models
    for train in (True, False, True):
        theirs, ours = observed(model, train), observed(exported, train)
        assert len(theirs) == len(ours) == 7
        assert all(torch.equal(one, other) for one, other in zip(theirs, ours, strict=True))


def test_it_has_the_names_the_ties_and_the_classes_of_the_model(models: tuple[nn.Module, Any]) -> None:
    model, exported = models
    assert exported.state_dict().keys() == model.state_dict().keys()
    assert exported.embedding.weight is exported.linear.weight
    assert sum(1 for _ in exported.parameters()) == sum(1 for _ in model.parameters())
    exported.load_state_dict(model.state_dict(), strict=True)
    kinds = {path: type(part).__name__ for path, part in model.named_modules() if path}
    read = {path: kind for path, kind in kinds.items() if path != "block"}  # a Sequential calls nothing of its own
    assert read.items() <= {path: type(part).__name__ for path, part in exported.named_modules()}.items()


def test_a_copy_is_one_of_its_own_and_moves_to_other_types(models: tuple[nn.Module, Any]) -> None:
    _, exported = models
    twin = copy.deepcopy(exported)
    with torch.no_grad():
        twin.embedding.weight.zero_()
    assert twin.linear.weight is twin.embedding.weight
    assert exported.linear.weight.any()
    x, scale = example()
    assert exported.double().eval()(x, scale=scale.double())["scores"].dtype == torch.float64


def test_it_is_captured_with_the_lines_and_paths_of_the_model(models: tuple[nn.Module, Any]) -> None:
    model, exported = models
    x, scale = example()
    graphs = [capture(one, (x,), {"scale": scale}) for one in (model, exported)]
    theirs, ours = (
        [(str(node.target), origin(node)) for node in graph.nodes if node.op == "call_function"] for graph in graphs
    )
    assert len(ours) > 5
    assert ours == theirs
    assert any(where.layer == "block.0" and "hidden = self.block(" in where.source for _, where in ours)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("dynamic", [True, False])
def test_every_way_of_exporting_is_captured(strict: bool, dynamic: bool, tmp_path: Path) -> None:
    exported = saved(Net().train(), tmp_path / "n.pt2", strict, dynamic)
    x, scale = example(3)
    assert capture(exported, (x,), {"scale": scale}).outputs


def test_a_program_of_eval_mode_says_what_training_it_means(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="exported in eval mode"):
        exported = saved(Net().eval(), tmp_path / "n.pt2")
    x, scale = example()
    trained, evaluated = (exported.train(mode)(x, scale=scale)["scores"] for mode in (True, False))
    assert torch.equal(trained, evaluated)
    assert capture(exported, (x,), {"scale": scale}).outputs


@pytest.mark.filterwarnings("default")
def test_the_command_line_tells_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout())
    torch.export.save(torch.export.export(model.eval(), (torch.rand(2, 4),), strict=False), "n.pt2")
    ending = ("--recipe", "choi2020", "--data", "digits", "-o", "out.lowbit")
    assert main(["compile", "n.pt2", *ending]) == 1  # the digits have another shape
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("warning: the program was exported in eval mode")
    assert "warning" not in "".join(rest)


class Attention(nn.Module):
    """Attention without dropout, and a norm without statistics: alike in both modes."""

    def forward(self, x: Tensor) -> Tensor:
        normed = nn.functional.batch_norm(x, None, None, training=True)
        return nn.functional.scaled_dot_product_attention(normed, normed, normed)


@pytest.mark.parametrize(("model", "shape"), [(nn.Linear(3, 2), (2, 3)), (Attention(), (2, 3, 4))])
def test_a_program_without_modes_is_taken_in_silence(model: nn.Module, shape: tuple[int, ...], tmp_path: Path) -> None:
    x = torch.rand(shape)
    torch.export.save(torch.export.export(model, (x,), strict=False), tmp_path / "n.pt2")
    assert torch.equal(source.model(str(tmp_path / "n.pt2"))(x), model(x))


def test_weights_of_the_model_load_into_it(tmp_path: Path) -> None:
    wanted = Net()
    saved(Net().train(), tmp_path / "n.pt2")
    torch.save(wanted.state_dict(), tmp_path / "w.pt")
    exported: Any = source.model(str(tmp_path / "n.pt2"), weights=str(tmp_path / "w.pt"))
    assert torch.equal(exported.linear.weight, wanted.linear.weight)


class Block(nn.Module):
    """A linear layer within no_grad, and what else is given within the same block."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.linear, self.inner = nn.Linear(3, 3), inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            fixed = self.inner(self.linear(x))
        return fixed + self.linear(x)


@pytest.mark.parametrize("inner", [nn.ReLU(), nn.Dropout(), nn.BatchNorm1d(3)])
def test_what_is_in_a_block_trains_and_flips(inner: nn.Module, tmp_path: Path) -> None:
    model, x = Block(inner), torch.rand(4, 3)
    torch.export.save(torch.export.export(model, (x,), strict=False), tmp_path / "n.pt2")
    exported = source.model(str(tmp_path / "n.pt2"))
    for one in (model, exported):
        torch.manual_seed(0)
        one.train()(x).sum().backward()
    assert torch.equal(exported.eval()(x), model.eval()(x))
    assert torch.equal(exported.get_parameter("linear.weight").grad, model.linear.weight.grad)  # type: ignore[arg-type]
    capture(exported, (x,))


def refusal(path: Path | str) -> str:
    with pytest.raises(UserError) as caught:
        source.model(str(path))
    return str(caught.value)


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.pt2"
    assert "no such file" in refusal(path)
    saved(Net().train(), path)
    assert "no such file" in refusal(f"{path}?width=3")
    whole = path.read_bytes()
    for damaged in [b"", b"PK", b"no archive", whole[: len(whole) // 2], whole[:-30]]:
        path.write_bytes(damaged)
        assert "no program of torch.export.save, or is damaged" in refusal(path)
    torch.save({"weight": torch.zeros(2)}, path)
    assert "no program of torch.export.save" in refusal(path)
