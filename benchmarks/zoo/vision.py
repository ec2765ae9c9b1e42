"""torchvision beside a torch for CPUs: its wheel's C++ library wants CUDA, and its operators are missing.

Import this before anything that imports torchvision; timm, transformers and segmentation_models_pytorch do.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch
from torch import Tensor

_LIBRARIES: list[torch.library.Library] = []  # a library's operators vanish when it is collected


def repair() -> bool:
    """Import torchvision, with Python kernels where its own did not load. Tells whether there is a torchvision."""
    if importlib.util.find_spec("torchvision") is None:
        return False
    if "torchvision" in sys.modules or _imports():
        return True
    library = torch.library.Library("torchvision", "FRAGMENT")
    _LIBRARIES.append(library)
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # of integers; only has to exist
    library.impl("nms", _nms, "CPU")
    extension: Any = importlib.import_module("torchvision.extension")
    importlib.import_module("torchvision")
    extension._has_ops = lambda: True  # after the import, which would register kernels of operators that are missing
    align: Any = sys.modules["torchvision.ops.roi_align"]  # bound `_has_ops` before: it takes its Python form
    align._roi_align = align._roi_align.__wrapped__  # as it is, not under torch.compile
    return True


def _imports() -> bool:
    """Whether torchvision imports as it is; if it does not, every trace of the attempt is removed."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        return False
    return True


def _nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes (x1, y1, x2, y2) that no better-scored kept box overlaps by more than the threshold."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    inner = (torch.minimum(high, boxes[:, 2:]) - torch.maximum(low, boxes[:, :2])).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    overlap = inner / (area[:, None] + area - inner) > threshold
    kept: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not bool(overlap[i, kept].any()):
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)
