"""Super-resolution: the mean distance of two images, judged by their PSNR.

    loss = mean |x - y| or mean (x - y)^2      imitation = the same, of a teacher's image in place of y
    score = 10 log10(peak^2 / mean (x - y)^2), in dB, each image on its own, of what is left inside the border

A model gives images (N, channels, height, width) of the shape of the targets, both in 0..peak. With `luma` the score
is of the Y channel of BT.601, as papers report it: with 8-bit images Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255,
of which the offset cancels; peak stays. The measure is the mean over images. Two equal images count 100 dB.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor

from ..contract import Options
from ..errors import UserError
from ..task import Task

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Weights of red, green and blue in Y; they sum to 219/255."""
MOST = 100.0
"""PSNR of two equal images, where the formula has infinity: a mean of several must stay a number."""


class Settings(Options, frozen=True):
    """loss: mean absolute or mean square error.   peak: the value of white.
    luma: judge the Y channel of images with three channels.   border: pixels left out at each edge when judging."""

    loss: Literal["l1", "mse"] = "l1"
    peak: Annotated[float, Meta(gt=0)] = 1.0
    luma: bool = False
    border: Annotated[int, Meta(ge=0)] = 0


def _loss(images: Tensor, y: Tensor, options: Settings) -> Tensor:
    return F.l1_loss(images, y) if options.loss == "l1" else F.mse_loss(images, y)


def _psnr(images: Tensor, y: Tensor, options: Settings) -> Tensor:
    difference = images.double() - y.double()
    if options.luma:
        weights = difference.new_tensor(LUMA).reshape(1, 3, 1, 1)
        difference = (difference * weights).sum(1, keepdim=True)
    height, width, cut = *difference.shape[2:], options.border
    error = difference[:, :, cut : height - cut, cut : width - cut].square().flatten(1).mean(1)
    return (10 * torch.log10(options.peak**2 / error)).clamp(max=MOST)


def _check_images(images: Any, y: Tensor, name: str, options: Settings) -> None:
    given = f"shape {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
    if not isinstance(images, Tensor) or images.shape != y.shape or images.dim() != 4:
        what = f"the model gives {given}, the {name} data has targets of shape {tuple(y.shape)}"
        raise UserError(what, fix="both must be images (samples, channels, height, width) of one shape")
    if options.luma and images.shape[1] != 3:
        what = f"luma is of red, green and blue, and the images have {images.shape[1]} channels"
        raise UserError(what, where="task.luma", fix="leave luma out")
    if 2 * options.border >= min(images.shape[2:]):
        what = f"a border of {options.border} leaves nothing of images of {images.shape[2]}x{images.shape[3]}"
        raise UserError(what, where="task.border", fix="take a smaller one")


def _check_targets(y: Tensor, images: Tensor, name: str, options: Settings) -> None:
    if not y.is_floating_point():
        raise UserError(f"the targets of the {name} data are {y.dtype}", fix="give float images in 0..peak")
    if len(y) and not (float(y.min()) >= 0 and float(y.max()) <= options.peak):
        what = f"the {name} data has targets in [{float(y.min()):g}, {float(y.max()):g}], white is {options.peak:g}"
        raise UserError(what, fix="scale the images into 0..peak, or set peak, such as super_resolution?peak=255")


TASK = Task(
    measure="PSNR",
    target="the image that it shall become, a float tensor",
    loss=_loss,
    imitation=_loss,
    score=_psnr,
    shown=lambda decibel: f"{decibel:.2f} dB",
    check_outputs=_check_images,
    check_targets=_check_targets,
    options=Settings(),
)
