"""IMDN (Hui et al. 2019): blocks hand a quarter of their channels on and refine the rest, with contrast attention."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, KEPT, BLOCKS = 64, 16, 6


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.05)


class Attention(nn.Module):
    """Each channel times a factor in 0..1 that its deviation and its mean over the image decide."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(nn.Conv2d(WIDTH, 4, 1), nn.ReLU(), nn.Conv2d(4, WIDTH, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std((2, 3), unbiased=False, keepdim=True)  # as one call: its squares need no grid of their own
        factor: Tensor = self.conv_du(deviation + x.mean((2, 3), keepdim=True))
        return x * factor


class Block(nn.Module):
    """Three times a quarter of the channels is kept; what is kept is joined, weighed and mixed."""

    def __init__(self) -> None:
        super().__init__()
        rest = WIDTH - KEPT
        self.c1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.c2, self.c3 = (nn.Conv2d(rest, WIDTH, 3, padding=1) for _ in range(2))
        self.c4, self.c5 = nn.Conv2d(rest, KEPT, 3, padding=1), nn.Conv2d(WIDTH, WIDTH, 1)
        self.cca = Attention()

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = [], x
        for layer in (self.c1, self.c2, self.c3):
            part, rest = torch.split(_act(layer(rest)), (KEPT, WIDTH - KEPT), dim=1)
            kept.append(part)
        mixed: Tensor = self.c5(self.cca(torch.cat([*kept, self.c4(rest)], dim=1)))
        return mixed + x


class IMDN(nn.Module):
    """(N, 3, H, W) of RGB in 0..1 -> (N, 3, scale H, scale W). 694,404 parameters for scale 2."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.fea_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        for number in range(1, BLOCKS + 1):
            self.add_module(f"IMDB{number}", Block())
        self.c = nn.Sequential(nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1), nn.LeakyReLU(0.05))
        self.LR_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        first = self.fea_conv(x)
        found = [first]
        for number in range(1, BLOCKS + 1):
            found.append(self.get_submodule(f"IMDB{number}")(found[-1]))
        image: Tensor = self.upsampler(self.LR_conv(self.c(torch.cat(found[1:], dim=1))) + first)
        return image


def trained(folder: Path) -> IMDN:
    """With the x2 weights of the data folder, in eval mode. Exits where there are none."""
    file = folder / "weights" / "imdn" / "IMDN_x2.pth"
    if not file.exists():
        raise SystemExit(f"the weights of IMDN are not at {file}")
    state = torch.load(file, weights_only=True, map_location="cpu")
    model = IMDN()
    model.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return model.eval()
