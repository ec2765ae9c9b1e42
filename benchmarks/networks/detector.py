"""A detector like those of the YOLO family, up to its head: joins of partial paths, pools in a row, two ways through a
pyramid; a box, an objectness and classes for each cell of three sizes.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv(nn.Sequential):
    """Convolution, batch norm and SiLU."""

    def __init__(self, channels: int, width: int, kernel: int = 1, stride: int = 1) -> None:
        layer = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        super().__init__(layer, nn.BatchNorm2d(width), nn.SiLU())


class Partial(nn.Module):
    """Half of the channels goes through bottlenecks, each of which is kept; all that was made is joined and mixed."""

    def __init__(self, channels: int, width: int, count: int, shortcut: bool) -> None:
        super().__init__()
        half = width // 2
        self.first, self.last = Conv(channels, width), Conv((2 + count) * half, width)
        self.steps = nn.ModuleList(nn.Sequential(Conv(half, half, 3), Conv(half, half, 3)) for _ in range(count))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        found = list(self.first(x).chunk(2, 1))
        for step in self.steps:
            found.append(step(found[-1]) + found[-1] if self.shortcut else step(found[-1]))
        y: Tensor = self.last(torch.cat(found, 1))
        return y


class Pools(nn.Module):
    """Three maximum pools behind one another, joined with what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = Conv(width, width // 2), Conv(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        found = [self.first(x)]
        for _ in range(3):
            found.append(F.max_pool2d(found[-1], 5, 1, 2))
        y: Tensor = self.last(torch.cat(found, 1))
        return y


class Detector(nn.Module):
    """(N, 3, H, W), H and W multiples of 32 -> for strides of 8, 16 and 32, (N, 5 + classes, H / stride, W / stride).

    What the head says is left as it is: logits, and boxes that no grid of cells has moved yet.
    """

    def __init__(self, classes: int = 20, width: int = 16) -> None:
        super().__init__()
        sizes = [width * 2**i for i in range(5)]
        self.stem = Conv(3, sizes[0], 3, 2)
        self.downs = nn.ModuleList(Conv(a, b, 3, 2) for a, b in pairwise(sizes))
        self.blocks = nn.ModuleList(Partial(size, size, 1, True) for size in sizes[1:])
        self.pools = Pools(sizes[4])
        small, middle, large = sizes[2:]
        self.up = nn.ModuleList([Partial(large + middle, middle, 1, False), Partial(middle + small, small, 1, False)])
        self.shrink = nn.ModuleList([Conv(small, small, 3, 2), Conv(middle, middle, 3, 2)])
        self.down = nn.ModuleList([Partial(small + middle, middle, 1, False), Partial(middle + large, large, 1, False)])
        self.heads = nn.ModuleList(
            nn.Sequential(Conv(size, size, 3), nn.Conv2d(size, 5 + classes, 1)) for size in (small, middle, large)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x, found = self.stem(x), []
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = block(down(x))
            found.append(x)
        small, middle, large = found[1], found[2], self.pools(found[3])
        middle = self.up[0](torch.cat([F.interpolate(large, scale_factor=2.0), middle], 1))
        small = self.up[1](torch.cat([F.interpolate(middle, scale_factor=2.0), small], 1))
        middle = self.down[0](torch.cat([self.shrink[0](small), middle], 1))
        large = self.down[1](torch.cat([self.shrink[1](middle), large], 1))
        return tuple(head(y) for head, y in zip(self.heads, (small, middle, large), strict=True))
