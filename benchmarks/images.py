"""Images for super-resolution: luma or colours in 0..1, pairs of a small image and the large one that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import TensorDataset

Pixels = Callable[[Image.Image], Tensor]


def luma(image: Image.Image) -> Tensor:
    """(1, 1, height, width) of Y as BT.601 has it for 8-bit images, whole numbers in 16..235, over 255."""
    rgb = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32))
    y: Tensor = ((rgb @ torch.tensor([65.481, 128.553, 24.966])) / 255 + 16).round()
    return (y / 255)[None, None]


def rgb(image: Image.Image) -> Tensor:
    """(1, 3, height, width)."""
    pixels = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32))
    return pixels.permute(2, 0, 1)[None] / 255


def set5(folder: Path, scale: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> (small, large) of the five test images."""
    files = sorted((folder / "sr" / "Set5" / f"x{scale}").glob("*_LR.png"))
    if not files:
        raise SystemExit(f"Set5 is not in {folder / 'sr' / 'Set5' / f'x{scale}'}")
    pairs = {}
    for file in files:
        large = file.with_name(file.name.replace("_LR", "_HR"))
        pairs[file.name.removesuffix("_LR.png")] = luma(Image.open(file)), luma(Image.open(large))
    return pairs


def patches(folder: Path, scale: int, side: int = 17, stride: int = 14, pixels: Pixels = luma) -> TensorDataset:
    """Pairs of patches of T91, small ones of `side` pixels: its images at two sizes, turned by 0 and 90 degrees."""
    small, large = zip(*_patches(folder, scale, side, stride, pixels), strict=True)
    return TensorDataset(torch.cat(small), torch.cat(large))


def _patches(folder: Path, scale: int, side: int, stride: int, pixels: Pixels) -> Iterator[tuple[Tensor, Tensor]]:
    for image in _turned(folder):
        width, height = (size // scale * scale for size in image.size)
        image = image.crop((0, 0, width, height))
        shrunk = image.resize((width // scale, height // scale), Image.Resampling.BICUBIC)
        if min(shrunk.size) < side:
            continue
        x, y = pixels(shrunk), pixels(image)
        yield _cut(x, side, stride), _cut(y, side * scale, stride * scale)


def _turned(folder: Path) -> Iterator[Image.Image]:
    files = sorted(file for file in (folder / "sr" / "T91").iterdir() if file.suffix in (".png", ".bmp", ".jpg"))
    for file in files:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        for size in (1.0, 0.7):
            resized = image.resize((round(image.width * size), round(image.height * size)), Image.Resampling.BICUBIC)
            yield resized
            yield resized.transpose(Image.Transpose.ROTATE_90)


def _cut(x: Tensor, side: int, stride: int) -> Tensor:
    """(1, channels, height, width) -> (count, channels, side, side)."""
    pieces = x[0].unfold(1, side, stride).unfold(2, side, stride)
    return pieces.permute(1, 2, 0, 3, 4).reshape(-1, x.shape[1], side, side)
