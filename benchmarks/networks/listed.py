"""Networks that are given as a list of calls, with their weights, in an `.npz` of the data folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RECTIFIERS: Mapping[int, type[nn.Module]] = {0: nn.Identity, 1: nn.ReLU, 3: nn.ReLU6}


class Listed(nn.Module):
    """A network given as a list of convolutions, sums, poolings and linears (`_Step`); exits where it is not there."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        if not file.is_file():
            raise SystemExit(f"the network is not at {file}")
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
    """One of the list. "Same" padding of a stride of 2 puts the odd row and column at the right and the bottom."""

    def __init__(self, step: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        super().__init__()
        self.out, self.ins, self.kind = step["out"], step["ins"], step["op"]
        self.act = RECTIFIERS[step.get("act") or 0]()
        if self.kind == "avgpool":
            self.part: nn.Module = nn.AdaptiveAvgPool2d(1)  # the window is the whole image in all of these graphs
        elif self.kind == "conv":
            self.part = _convolution(step, arrays)
        elif self.kind == "fc":
            self.part = _linear(step, arrays)

    def forward(self, *values: Tensor) -> Tensor:
        y: Tensor = self.act(self._linear(*values))
        return y

    def _linear(self, x: Tensor, *more: Tensor) -> Tensor:
        """What comes before the rectifier."""
        if self.kind == "add":
            return x + more[0]
        if self.kind == "conv" and self.part.stride[0] > 1:  # type: ignore[index]
            x = F.pad(x, self.part.border(x.shape[-1]))  # type: ignore[operator]
        y: Tensor = self.part(x.flatten(1) if self.kind == "fc" else x)
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
    weight = _weight(key, arrays)
    outputs, inputs, kernel, _ = weight.shape
    groups = outputs if step["depthwise"] else 1
    padding = kernel // 2 if stride == 1 else 0
    return _filled(_Convolution(inputs * groups, outputs, kernel, stride, padding, groups=groups), weight, key, arrays)


def _linear(step: Mapping[str, Any], arrays: Mapping[str, Any]) -> nn.Linear:
    weight = _weight(step["key"], arrays)
    weight = weight.reshape(len(weight), -1)
    return _filled(nn.Linear(weight.shape[1], len(weight)), weight, step["key"], arrays)


def _weight(key: str, arrays: Mapping[str, Any]) -> Any:
    """The weights as floats; those of uint8 with a scale and a zero point become the floats that they stand for."""
    held = arrays[f"{key}.weight"].astype(np.float32)
    if f"{key}.zero" not in arrays:
        return held
    return (held - arrays[f"{key}.zero"].astype(np.float32)) * arrays[f"{key}.scale"].astype(np.float32)


def _filled(part: Any, weight: Any, key: str, arrays: Mapping[str, Any]) -> Any:
    with torch.no_grad():
        part.weight.copy_(torch.from_numpy(weight))
        part.bias.copy_(torch.from_numpy(arrays[f"{key}.bias"]))
    return part
