"""Networks that people know by name: whether each lowers completely, and every value of its program on every target.

    pip install timm segmentation_models_pytorch torchvision
    python benchmarks/named_networks.py [--data DIR] [--only NAME] [--compiled 3e6]

Weights are random, norms have the statistics of one batch, the recipe is `ptq8`; small images. ResNet-8 is a file of
the data folder and left out without it. The interpreter and compiled C run what is small enough (`lowering_zoo.py`).
Results are lines of OUT/named.jsonl; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from lowering_zoo import judged, table
from networks.detector import Detector
from networks.espcn import ESPCN
from networks.imdn import IMDN
from networks.listed import Listed
from networks.mobilenet_v2 import MobileNetV2
from networks.resnet20 import ResNet20
from torch import nn
from zoo.row import Row, images
from zoo.vision import repair

FROM_ZOO = {
    "ResNet-18": "torchvision/resnet18",
    "ResNet-50": "torchvision/resnet50",
    "MobileNet-v3 small": "torchvision/mobilenet_v3_small",
    "EfficientNet-Lite0": "timm/efficientnet_lite0",
    "EfficientNet-B0": "torchvision/efficientnet_b0",
    "ShuffleNet-v2 0.5": "torchvision/shufflenet_v2_x0_5",
    "SqueezeNet 1.0": "torchvision/squeezenet1_0",
    "DenseNet-121": "torchvision/densenet121",
    "Inception-v3": "timm/inception_v3",
    "VGG-11": "torchvision/vgg11_bn",
    "RegNet-X 400MF": "torchvision/regnet_x_400mf",
    "ConvNeXt-T": "torchvision/convnext_tiny",
    "U-Net": "smp/Unet-resnet18",
    "FPN": "smp/FPN-resnet18",
}
OWN: Mapping[str, tuple[Callable[[], nn.Module], int, int]] = {
    "ResNet-20": (ResNet20, 32, 3),
    "MobileNet-v2": (MobileNetV2, 64, 3),
    "detector": (Detector, 64, 3),
    "ESPCN x3": (ESPCN, 24, 1),
    "IMDN x2": (IMDN, 24, 3),
}
"""Name -> (what builds it, pixels to a side, channels)."""


def networks(data: Path | None) -> dict[str, Callable[[], Row]]:
    """Name -> its row of the zoo, built when it is called."""
    found: dict[str, Callable[[], Row]] = {
        name: partial(Row, f"own/{name}", build, partial(_images, side, channels))
        for name, (build, side, channels) in OWN.items()
    }
    found["MobileNet-v1"] = partial(Row, "timm/mobilenetv1_100", _mobilenet_v1, images)
    found |= {name: partial(_of_zoo, row) for name, row in FROM_ZOO.items()}
    if data is not None:
        listed = partial(Listed, data / "weights/graphs/resnet8_cifar10.npz")
        found["ResNet-8"] = partial(Row, "own/ResNet-8", listed, partial(_images, 32, 3))
    return found


def _images(side: int, channels: int, batch: int) -> Any:
    return images(batch, side, channels)


def _of_zoo(name: str) -> Row:
    from zoo.catalogue import row

    return row(name)


def _mobilenet_v1() -> nn.Module:
    import timm

    model: nn.Module = timm.create_model("mobilenetv1_100")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--only", default="", help="a part of the name")
    parser.add_argument("--compiled", type=float, default=3e6, help="compile programs of at most so many constants")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="default: %(default)s")
    args = parser.parse_args()
    repair()
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "named.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    done = {result["name"]: result for result in map(json.loads, lines)}
    for name, row in networks(args.data and Path(args.data)).items():
        if name not in done and args.only in name:
            start = monotonic()
            found = judged(row(), "ptq8", args.compiled)
            done[name] = found | {"name": name, "seconds": round(monotonic() - start, 1)}
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(done[name]) + "\n")
            print(done[name], flush=True)
    print(table(list(done.values())))


if __name__ == "__main__":
    main()
