"""Islands: a model that cannot be captured whole trains as ever, its largest parts as graphs of their own."""

from __future__ import annotations

import copy
from typing import Any

import lowbit
import pytest
import torch
import torch.nn.functional as F
from captured import same, tensors
from lowbit.compiler.errors import Unsupported, UserError
from torch import Tensor, nn


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.3)
        self.width = 4

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.drop(F.relu(self.norm(self.conv(x))))
        return {"fine": fine, "coarse": F.interpolate(fine[:, :, ::2, ::2], size=fine.shape[-2:])}


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 2)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        return [self.lin(x.mean((2, 3))) for x in maps]

    def loss(self, scores: list[Tensor]) -> Tensor:
        return torch.stack([score.square().mean() for score in scores]).sum()


class Detector(nn.Module):
    """A branch on values at the top, and a head whose other methods the top calls, as detection models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), Head()
        self.gain = nn.Parameter(torch.ones(1))
        self.register_buffer("shift", torch.zeros(3, 1, 1))

    def forward(self, x: Tensor) -> Any:
        if x.sum() > 0:
            x = x * 2
        maps = self.backbone(x * self.gain + self.shift)
        scores = self.head(list(maps.values()))
        return self.head.loss(scores) * self.backbone.width if self.training else scores


def images(batch: int = 2, height: int = 8, width: int = 8) -> tuple[Tensor]:
    return (torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(height)),)


def test_the_whole_trains_as_ever_at_any_size() -> None:
    model = Detector()
    ours = lowbit.capture_islands(model, images())
    assert set(ours.islands) == {"backbone", "head"}
    assert list(ours.state_dict()) == list(model.state_dict())
    same(model, ours, images(), images(3, 12, 10), images(1, 9, 16))


def test_the_model_is_not_touched() -> None:
    model = Detector()
    before = copy.deepcopy(model.state_dict())
    same(copy.deepcopy(model), lowbit.capture_islands(model, images()), images())
    assert type(model.backbone) is Backbone
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_the_whole_is_refused_with_its_line() -> None:
    with pytest.raises(UserError, match="cannot be captured") as caught:
        lowbit.capture(Detector(), images())
    assert "if x.sum() > 0" in caught.value.where


class Halves(nn.Module):
    """Looks at whether a size is even, of which the batch alone is tried out at capture."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        return y[:, : x.shape[1] // 2] if x.shape[1] % 2 == 0 else y


class Around(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Halves()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.part(x if x.sum() > 0 else -x)
        return y


def test_sizes_that_break_what_was_assumed_are_refused() -> None:
    model = Around()
    ours = lowbit.capture_islands(model, (torch.randn(3, 4, 4),))
    assert set(ours.islands) == {"part"}
    same(model, ours, (torch.randn(5, 6, 4),))
    with pytest.raises(UserError, match="does not hold") as caught:
        ours(torch.randn(3, 5, 4))
    assert "= 5" in caught.value.why


class Modes(nn.Module):
    """A part that is called in another form in eval mode, and one that is given the size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = Spread(), Spread(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x, None) if self.training else self.first(x, x)
        y = self.second(y, x.shape[0])
        z: Tensor = self.last(y * 2 if y.sum() > 0 else y)
        return z


class Spread(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: Tensor, more: Any) -> Tensor:
        y: Tensor = self.lin(x)
        return y if more is None else y + more


class Passing(nn.Module):
    """A part that adds two inputs of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Spread()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z: Tensor = self.part(x, y)
        return z


def test_a_part_that_is_called_in_several_forms_is_left_to_python() -> None:
    model = Modes()
    ours = lowbit.capture_islands(model, (torch.randn(3, 4),))
    assert set(ours.islands) == {"first.lin", "second.lin", "last"}
    same(model, ours, (torch.randn(5, 4),), (torch.randn(2, 4),))
    assert "input 1 is a tensor" in ours.left["first"].what
    assert "input 1 is 4" in ours.left["second"].what


def test_inputs_that_were_alike_must_be() -> None:
    ours = lowbit.capture_islands(Passing(), (torch.randn(3, 4), torch.randn(3, 4)))
    assert ours(torch.randn(5, 4), torch.randn(5, 4)).shape == (5, 4)
    with pytest.raises(UserError, match="does not hold") as caught:
        ours(torch.randn(5, 4), torch.randn(6, 4))
    assert "= 6" in caught.value.why


def test_a_copy_is_independent() -> None:
    ours = lowbit.capture_islands(Detector(), images())
    twin = copy.deepcopy(ours)
    torch.optim.SGD(twin.parameters(), 0.1).zero_grad()
    twin.train()(*images()).backward()
    assert all(parameter.grad is None for parameter in ours.parameters())
    twin.double()
    assert {tensor.dtype for tensor in ours.parameters()} == {torch.float32}
    assert all(tensor.dtype == torch.float64 for tensor in tensors(twin.eval()(images()[0].double())))


def test_modes_reach_the_islands_and_the_python_between() -> None:
    ours = lowbit.capture_islands(Detector().eval(), images())
    assert isinstance(ours(*images()), list)
    assert ours.train()(*images()).dim() == 0
    assert all(island.training for island in ours.islands.values())


class Aside(nn.Module):
    """Keeps what the model reads of it besides its result."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.last = nn.Linear(4, 4), torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin(x)
        self.last = y.mean()
        return y


class Asking(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.part(x if x.sum() > 0 else -x)
        return y + (self.part.last if isinstance(self.part, Aside) else self.part[0](x))  # type: ignore[index]


@pytest.mark.parametrize("part", [Aside(), nn.Sequential(nn.Linear(4, 4), nn.ReLU())])
def test_what_is_asked_of_an_island_beside_its_forward_is_noticed(part: nn.Module) -> None:
    with pytest.raises(UserError, match="the model in islands differs"):
        lowbit.capture_islands(Asking(part), (torch.randn(3, 4),))


def test_nothing_to_capture() -> None:
    with pytest.raises(UserError, match="no part of the model can be captured"):
        lowbit.capture_islands(nn.Sequential(nn.ReLU()), (torch.randn(2, 3),))


class Branching(nn.Module):
    """Two networks that lower, and a branch between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5))
        self.scale = nn.Linear(5, 5)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x * self.gain)
        y = self.second(y * 0.5 if y.mean() > 0.1 else y)
        z: Tensor = self.scale(y)
        return z


def test_each_island_is_lowered_on_its_own() -> None:
    model, (x,) = Branching(), images(4)
    ours = lowbit.prepare_islands(model, (x,), "choi2020", steps=10)
    assert set(ours.islands) == {"first", "second", "scale"}
    optimizer = torch.optim.Adam(ours.parameter_groups(1e-3))
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in ours.parameters())
    for _ in range(3):
        loss = ours.train()(x).square().mean() + ours.regularization()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ours.step()
    assert {int(ours.state_dict()[f"{path}.lowbit.step"]) for path in ours.islands} == {3}
    mean = ours.islands["first"].state_dict()["1.running_mean"].clone()
    lowbit.calibrate(ours, [x])
    assert torch.equal(ours.islands["first"].state_dict()["1.running_mean"], mean)
    program = lowbit.lower(ours.islands["first"])
    with torch.no_grad():
        wanted = ours.eval().islands["first"](x)
    assert abs(torch.from_numpy(program.run(x.numpy())[0]) - wanted).max() < 0.05 * wanted.max()
    with pytest.raises(Unsupported, match="in islands") as caught:
        lowbit.lower(ours)
    assert "first" in caught.value.fix


class Images:
    """What a detector hands from part to part: tensors and their sizes, in a class of its own."""

    def __init__(self, tensors: Tensor) -> None:
        self.tensors = tensors


class Reads(nn.Module):
    """A part that is given such an object."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, images: Images) -> Tensor:
        out: Tensor = self.lin(images.tensors)
        return out


class Hands(nn.Module):
    """Hands an object to a part and branches on values, so that only what is within the part can be captured."""

    def __init__(self) -> None:
        super().__init__()
        self.reads, self.last = Reads(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reads(Images(x))
        out: Tensor = self.last(y if y.sum() > 0 else -y)
        return out


def test_a_part_that_is_given_an_object_is_searched() -> None:
    torch.manual_seed(0)
    ours = lowbit.capture_islands(Hands(), (torch.randn(3, 4),))
    assert set(ours.islands) == {"reads.lin", "last"}
    assert "Images" in str(ours.left["reads"])
