"""Weights from a file: whole or not at all, from any usual form, and never by running code that is in it."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lowbit.cli import source
from lowbit.cli.main import main
from lowbit.cli.weights import load
from lowbit.compiler.errors import UserError
from safetensors.torch import save_file
from torch import Tensor, nn

SAVE: dict[str, Callable[[Any, Path], None]] = {
    ".pt": torch.save,
    ".pth": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    ".safetensors": lambda state, path: save_file({name: x.clone() for name, x in state.items()}, path),
}


class Tied(nn.Module):
    """An embedding and a layer of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.linear.weight = self.embedding.weight


def net(width: int = 4) -> nn.Module:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(1, width, 3), norm=nn.BatchNorm2d(width), act=nn.ReLU()))


def trained() -> nn.Module:
    made = net()
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.copy_(torch.rand(tensor.shape) * 9 if tensor.is_floating_point() else torch.tensor(7))
    return made


def same(one: nn.Module, other: nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


def refusal(path: Path, model: nn.Module) -> str:
    with pytest.raises(UserError) as caught:
        load(str(path), model)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SAVE)
def test_every_format_gives_the_weights_back(suffix: str, tmp_path: Path) -> None:
    wanted, path = trained(), tmp_path / f"ünïcode{suffix}"
    SAVE[suffix](wanted.state_dict(), path)
    given = net()
    load(str(path), given)
    assert same(given, wanted)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_checkpoints_and_wrappers_are_seen_through(prefix: str, key: str | None, tmp_path: Path) -> None:
    wanted, path = trained(), tmp_path / "n.pt"
    state = {prefix + name: tensor for name, tensor in wanted.state_dict().items()}
    torch.save(state if key is None else {"epoch": 3, key: state, "optimizer": {"lr": 0.1}}, path)
    given = net()
    load(str(path), given)
    assert same(given, wanted)


def test_a_model_whose_own_names_begin_like_a_wrapper_keeps_them(tmp_path: Path) -> None:
    wanted, given = (nn.Sequential(OrderedDict(module=nn.Linear(2, 2))) for _ in range(2))
    torch.save(wanted.state_dict(), tmp_path / "n.pt")
    load(str(tmp_path / "n.pt"), given)
    assert same(given, wanted)


@given(
    dropped=st.lists(st.sampled_from(sorted(net().state_dict())), unique=True, max_size=3),
    added=st.integers(0, 2),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_nothing_is_loaded_in_part(dropped: list[str], added: int, tmp_path: Path) -> None:
    """Without some names and with others, a file is refused, but for counters that old files do not have."""
    state = {name: x for name, x in trained().state_dict().items() if name not in dropped}
    state |= {f"stranger.{i}": torch.zeros(1) for i in range(added)}
    torch.save(state, tmp_path / "n.pt")
    if set(dropped) <= {"norm.num_batches_tracked"} and not added:
        load(str(tmp_path / "n.pt"), net())
        return
    said = refusal(tmp_path / "n.pt", net())
    named = {*dropped, *(f"stranger.{i}" for i in range(added))} - {"norm.num_batches_tracked"}
    assert all(name in said for name in named)


def test_what_does_not_fit_is_listed_with_what_resembles_it(tmp_path: Path) -> None:
    path, state = tmp_path / "n.pt", dict(trained().state_dict())
    torch.save(dict(net(5).state_dict()), path)
    said = refusal(path, net())
    assert "conv.weight is (5, 1, 3, 3), the model has (4, 1, 3, 3)" in said
    assert "and 0 more" not in said
    torch.save({name.replace("conv", "convs"): tensor for name, tensor in state.items()}, path)
    said = refusal(path, net())
    assert "lacks 2 of 7: conv.weight (there is convs.weight)" in said
    assert "lacks 2 of the file: convs.weight (there is conv.weight)" in said
    torch.save({**state, **{f"layer{i}": torch.zeros(1) for i in range(99)}}, path)
    assert "and 94 more" in refusal(path, net())
    torch.save({**state, "conv.bias": torch.zeros(4, dtype=torch.complex64)}, path)
    assert "conv.bias is torch.complex64" in refusal(path, net())
    torch.save({**state, "norm.num_batches_tracked": torch.tensor(0.5)}, path)
    assert "num_batches_tracked is torch.float32" in refusal(path, net())


def test_one_name_of_tied_weights_is_enough_and_two_must_agree(tmp_path: Path) -> None:
    wanted, given, path = Tied(), Tied(), tmp_path / "n.safetensors"
    save_file({"embedding.weight": wanted.embedding.weight.detach()}, path)
    load(str(path), given)
    assert torch.equal(given.linear.weight, wanted.linear.weight)
    assert given.linear.weight is given.embedding.weight
    twice: dict[str, Tensor] = {"embedding.weight": torch.ones(5, 3), "linear.weight": torch.zeros(5, 3)}
    save_file(twice, path)
    assert "ties 'embedding.weight' and 'linear.weight'" in refusal(path, given)


class Attack:
    """A pickle of this runs a command when it is loaded as pickles usually are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_that_attacks_is_refused_and_not_run(new: bool, tmp_path: Path) -> None:
    done, path = tmp_path / "done", tmp_path / "n.pt"
    torch.save({**net().state_dict(), "x": Attack(done)}, path, _use_new_zipfile_serialization=new)
    said = refusal(path, net())
    assert "more than weights" in said
    assert "mkdir" in said
    assert "weights_only" not in said  # torch's own message tells how to run the code
    assert not done.exists()
    path.write_bytes(pickle.dumps(Attack(done)))
    refusal(path, net())
    assert not done.exists()
    pickle.loads(path.read_bytes())
    assert done.exists()  # so the attack is a real one


def test_a_whole_model_is_refused_with_the_way_to_save_its_weights(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "n.pt")
    said = refusal(tmp_path / "n.pt", net())
    assert "torch.nn.modules" in said
    assert "torch.save(model.state_dict(), FILE)" in said


@pytest.mark.parametrize("suffix", SAVE)
def test_a_damaged_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"n{suffix}"
    SAVE[suffix](trained().state_dict(), path)
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 64, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "cannot be read" in refusal(path, net()), length
    path.write_bytes(b"no weights at all, and longer than any header\n" * 99)
    refusal(path, net())


@pytest.mark.parametrize(
    "held", [torch.zeros(3), [torch.zeros(3)], 7, {"epoch": 3}, {1: torch.zeros(3)}, {"a": {"b": torch.zeros(3)}}]
)
def test_a_file_of_anything_else_is_refused(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "n.pt")
    assert "no state_dict" in refusal(tmp_path / "n.pt", net())


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.pt", net())
    (tmp_path / "folder.pt").mkdir()
    assert "Is a directory" in refusal(tmp_path / "folder.pt", net())
    assert "name one of .safetensors" in refusal(tmp_path / "n.npy", net())
    assert "as the SOURCE" in refusal(tmp_path / "n.pt2", net())
    with zipfile.ZipFile(tmp_path / "n.pth", "w") as archive:
        archive.writestr("n/hello", "no weights")
    refusal(tmp_path / "n.pth", net())


def test_the_command_line_takes_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text("from torch import nn\ndef make(width=2):\n    return nn.Linear(width, 2)\n")
    wanted = nn.Linear(3, 2)
    torch.save(wanted.state_dict(), "n.pt")
    assert same(source.model("net.py:make?width=3", weights="n.pt"), wanted)
    ending = ("--weights", "n.pt", "--recipe", "choi2020", "--data", "digits", "-o", "out.lowbit")
    assert main(["compile", "net.py:make", *ending]) == 1
    assert "weight is (2, 3), the model has (2, 2)" in capsys.readouterr().err
    assert not Path("out.lowbit").exists()
