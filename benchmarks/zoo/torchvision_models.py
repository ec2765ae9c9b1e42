"""torchvision: classifiers, segmentation, video, optical flow, and detectors."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from .row import Given, Row, images, noise

_CLASSIFIERS = """
alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d shufflenet_v2_x0_5
squeezenet1_0 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16 wide_resnet50_2
"""
_SIDES = {"inception_v3": 299, "maxvit_t": 224, "vit_b_16": 224}
_SEGMENTATION = "deeplabv3_mobilenet_v3_large deeplabv3_resnet50 fcn_resnet50 lraspp_mobilenet_v3_large"
_VIDEO = "r3d_18 mc3_18 r2plus1d_18 swin3d_t"
_DETECTORS = (
    "fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn ssdlite320_mobilenet_v3_large fcos_resnet50_fpn"
)


def _build(name: str, **settings: Any) -> nn.Module:
    import torchvision

    model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=5, **settings)
    return model


def _detector(name: str) -> nn.Module:
    """On its own scale of images, which is the slow part, only where the constructor fixes it."""
    scale = {} if name.startswith("ssdlite") else {"min_size": 64, "max_size": 128}
    return _build(name, weights_backbone=None, **scale)


def _of_side(side: int, batch: int) -> Given:
    return images(batch, side)


def _clips(frames: int, side: int, batch: int) -> Given:
    return (noise(batch, 3, frames, side, side),), {}


def _scenes(batch: int) -> Given:
    """A list of images, and of boxes to be found in them."""
    import torch

    boxes = torch.tensor([[4.0, 6.0, 40.0, 44.0], [20.0, 10.0, 60.0, 50.0]])
    return (
        [noise(3, 64, 64, key=i) for i in range(batch)],
        [{"boxes": boxes, "labels": torch.tensor([1, 2])}] * batch,
    ), {}


ROWS = [
    *(Row(f"torchvision/{n}", partial(_build, n), partial(_of_side, _SIDES.get(n, 64))) for n in _CLASSIFIERS.split()),
    *(Row(f"torchvision/{n}", partial(_build, n, weights_backbone=None), images) for n in _SEGMENTATION.split()),
    *(Row(f"torchvision/{n}", partial(_build, n), partial(_clips, 8, 64)) for n in _VIDEO.split()),
    *(Row(f"torchvision/{n}", partial(_detector, n), _scenes) for n in _DETECTORS.split()),
]
