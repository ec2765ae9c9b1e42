"""ESPCN (Shi et al. 2016): three convolutions at the small size, whose channels become pixels; with rectifiers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ESPCN(nn.Module):
    """(N, 1, H, W) of luma in 0..1 -> (N, 1, scale H, scale W). 22,729 parameters for scale 3."""

    def __init__(self, scale: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, scale * scale, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.pixel_shuffle(self.conv3(x), self.scale)
