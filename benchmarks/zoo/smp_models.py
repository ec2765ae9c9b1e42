"""segmentation_models_pytorch: encoders and decoders with skips between them."""

from __future__ import annotations

from functools import partial

from torch import nn

from .row import Given, Row, images

_DECODERS = "Unet UnetPlusPlus MAnet Linknet FPN PSPNet DeepLabV3 DeepLabV3Plus PAN UPerNet Segformer"


def _build(name: str, encoder: str) -> nn.Module:
    import segmentation_models_pytorch as smp

    model: nn.Module = getattr(smp, name)(encoder, encoder_weights=None, classes=3)
    return model


def _inputs(decoder: str, batch: int) -> Given:
    return images(batch, 128 if decoder == "PAN" else 64)


ROWS = [
    *(Row(f"smp/{n}-resnet18", partial(_build, n, "resnet18"), partial(_inputs, n)) for n in _DECODERS.split()),
    Row("smp/Unet-mit_b0", partial(_build, "Unet", "mit_b0"), images),
    Row("smp/FPN-timm-efficientnet-b0", partial(_build, "FPN", "timm-efficientnet-b0"), images),
]
