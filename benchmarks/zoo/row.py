"""Row: one model of the zoo, with inputs of any batch size and what capture is expected to do with it."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Given = tuple[tuple[Any, ...], dict[str, Any]]
"""What a forward is called with: positional and keyword arguments."""


@dataclass(frozen=True)
class Row:
    """name: family/model.   inputs: batch size -> arguments, the same for the same size.

    refused: a regular expression that the text of the refusal must match; empty where the model must be captured.
    line: a part of the user's source line that the refusal must name.   pieces: whether islands are as good as whole.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[int], Given]
    refused: str = ""
    line: str = ""
    pieces: bool = False

    @property
    def family(self) -> str:
        return self.name.split("/")[0]

    def fresh(self) -> nn.Module:
        """The model in train mode, equal at every call; parameters that start as zeros or ones are moved off them.

        A branch behind a zero weight could compute anything unnoticed.
        """
        seed(0)
        model = self.build().train()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for tensor in [*model.parameters(), *_statistics(model)]:
                if tensor.is_floating_point() and tensor.numel() and bool((tensor == tensor.flatten()[0]).all()):
                    tensor.add_(torch.rand(tensor.shape, generator=generator).to(tensor.dtype), alpha=0.1)
        return model


def seed(value: int) -> None:
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def noise(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7 + key))


def tokens(*shape: int, below: int = 50, key: int = 0) -> Tensor:
    return torch.randint(3, below, shape, generator=torch.Generator().manual_seed(7 + key))


def images(batch: int, size: int = 64, channels: int = 3) -> Given:
    return (noise(batch, channels, size, size),), {}


def _statistics(model: nn.Module) -> Sequence[Tensor]:
    return [buffer for name, buffer in model.named_buffers() if name.endswith(("running_mean", "running_var"))]
