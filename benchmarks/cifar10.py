"""CIFAR-10 of the data folder: mosaics of 1,000 images each, and their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def cifar10(folder: Path, split: str, count: int | None = None) -> TensorDataset:
    """The first images of "train" or "test", (count, 3, 32, 32), with mean 0 and deviation 1; they come shuffled."""
    folder = folder / "cifar10"
    files = sorted(folder.glob(f"{split}_*.webp"))
    if not files:
        raise SystemExit(f"CIFAR-10 is not in {folder}")
    files = files[: None if count is None else -(-count // 1000)]
    x = torch.from_numpy(np.concatenate([_mosaic(file) for file in files])[:count])
    classes = np.load(folder / f"{split}_labels.npy")[: len(x)].astype(np.int64)
    pixels = x.permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(numbers).reshape(3, 1, 1) for numbers in (MEAN, DEVIATION))
    return TensorDataset(((pixels - mean) / deviation).contiguous(), torch.from_numpy(classes))


def _mosaic(file: Path) -> np.ndarray[Any, Any]:
    with Image.open(file) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    return pixels.reshape(40, 32, 25, 32, 3).transpose(0, 2, 1, 3, 4).reshape(1000, 32, 32, 3)


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """Each image mirrored by chance, and moved by up to four pixels over a black border."""

    def __init__(self, images: TensorDataset) -> None:
        x, self.classes = images.tensors
        self.padded = F.pad(x, (4, 4, 4, 4))

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        down, across, mirrored = (int(n) for n in torch.randint(0, 18, (3,)))
        image = self.padded[i, :, down // 2 : down // 2 + 32, across // 2 : across // 2 + 32]
        return image.flip(2) if mirrored % 2 else image, self.classes[i]
