"""MobileNet-v2 1.0 (Sandler et al. 2018, table 2)."""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks, and the stride of the first block."""


def _step(channels: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU6()]


class Inverted(nn.Module):
    """A 1x1 convolution to more channels, a depthwise 3x3, and a linear 1x1; a shortcut where the shape stays."""

    def __init__(self, channels: int, width: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        steps = _step(channels, inner, 1) if expansion > 1 else []
        steps += _step(inner, inner, 3, stride, groups=inner)
        self.steps = nn.Sequential(*steps, nn.Conv2d(inner, width, 1, bias=False), nn.BatchNorm2d(width))
        self.shortcut = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.steps(x)
        return x + y if self.shortcut else y


class MobileNetV2(nn.Module):
    """3,504,872 parameters with 1,000 classes."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = _step(3, 32, 3, 2)
        channels = 32
        for expansion, width, count, stride in STAGES:
            for i in range(count):
                blocks.append(Inverted(channels, width, stride if i == 0 else 1, expansion))
                channels = width
        self.features = nn.Sequential(*blocks, *_step(channels, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return scores
