"""Trained networks after calibration alone: the codes of prepared model and program, and the accuracy of three.

    python benchmarks/contract.py --data DIR [--networks ...] [--recipes ptq8 powers] [--samples 200] [--images 10000]

DIR is the data folder; EfficientNet-Lite0 comes from pip (see `imagenet.py`). On --samples images every node is fed the
same inputs (`lowbit.verify`); on --images the float model, the prepared model and the integers are judged. LeNet-5 has
no weights there, and is trained for two epochs first. `powers` has a power of two for every scale. Calibrated on 256
training images, of ImageNet on every 32nd of the 1,000, which are not measured. Rows in --out are not measured again.
With --double the prepared model is judged in float64 too, where the noise of its own sums is gone, and against itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lowbit
import torch
from cifar10 import DEVIATION, MEAN, cifar10
from imagenet import CLASSIFIERS, images
from lenet_mnist import LeNet5, mnist
from lowbit.api import passes
from lowbit.compiler.recipe import parse
from lowbit.compiler.training import train
from networks import resnet20
from networks.listed import Listed
from progress import show
from torch import Tensor, nn

POWERS = """
name = "powers"
post_training = true
[[prepare]]
use = "fold_batch_norm"
[[prepare]]
use = "insert_fake_quant"
weights = "power_of_two"
activations = "power_of_two"
"""
CALIBRATED = 256
KEPT_FOR_CALIBRATION = 32
"""Every so manieth image of ImageNet calibrates."""


@dataclass(frozen=True)
class Trained:
    """A network with its weights, images to calibrate with, and images and classes to judge by.   batch: that fits."""

    model: nn.Module
    some: Tensor
    x: Tensor
    classes: Tensor
    batch: int


def resnet_20(folder: Path, out: Path) -> Trained:
    some, (x, y) = cifar10(folder, "train", CALIBRATED).tensors[0], cifar10(folder, "test").tensors
    return Trained(resnet20.trained(folder), some, x, y, 100)


def resnet_8(folder: Path, out: Path) -> Trained:
    """Its inputs are the pixels, 0 to 255."""
    mean, deviation = (255 * torch.tensor(numbers).reshape(3, 1, 1) for numbers in (MEAN, DEVIATION))
    some, (x, y) = cifar10(folder, "train", CALIBRATED).tensors[0], cifar10(folder, "test").tensors
    pixels = [(images * deviation + mean).round() for images in (some, x)]
    return Trained(Listed(folder / "weights/graphs/resnet8_cifar10.npz").eval(), *pixels, y, 100)


def lenet_5(folder: Path, out: Path) -> Trained:
    torch.manual_seed(0)
    model, data = LeNet5(), mnist(folder, "train", "cpu")
    train(model, data, lowbit.Plan(2, 128), show("LeNet-5, in float"), out / "lenet_5.checkpoint")
    return Trained(model.eval(), data.tensors[0][:CALIBRATED], *mnist(folder, "t10k", "cpu").tensors, 500)


def _classifier(name: str) -> Callable[[Path, Path], Trained]:
    def made(folder: Path, out: Path) -> Trained:
        net = CLASSIFIERS[name](folder)
        x, classes = images(folder, net)
        kept = torch.arange(len(x)) % KEPT_FOR_CALIBRATION == 0
        # One a class in order: every 31st is a fair subset, and 31 and 968 have no common divisor but 1.
        order = torch.arange(int((~kept).sum())) * 31 % int((~kept).sum())
        return Trained(net.model, x[kept], x[~kept][order], classes[~kept][order], 8)

    return made


NETWORKS: Mapping[str, Callable[[Path, Path], Trained]] = {
    "lenet_5": lenet_5,
    "resnet_8": resnet_8,
    "resnet_20": resnet_20,
    **{name: _classifier(name) for name in ("mobilenet_v1_0.25_128", "mobilenet_v2_1.0_224", "efficientnet_lite0")},
}


def row(name: str, recipe: str, args: argparse.Namespace) -> dict[str, Any]:
    """The figures of a network under a recipe."""
    net = NETWORKS[name](args.data, args.out)
    chosen = parse(POWERS, passes()) if recipe == "powers" else lowbit.read_recipe(recipe)
    prepared = lowbit.prepare(net.model, (net.some[:2],), chosen).eval()
    lowbit.calibrate(prepared, net.some.split(net.batch))
    label, begin = f"{name}, {recipe}", time.monotonic()
    some = net.x[: args.samples].split(min(net.batch, 50))
    found = lowbit.verify(prepared, some, report=lambda done: print(f"\r{label}: {done} verified", end="", flush=True))
    seconds = time.monotonic() - begin
    bad = found.first_bad
    return {
        "network": name,
        "recipe": recipe,
        "samples": found.samples,
        "nodes": len(found.nodes),
        "codes": vars(found.codes),
        "first_bad": bad.name if bad else None,
        "broken": list(found.broken),
        "sqnr": found.nodes[-1].error.sqnr,
        "seconds": round(seconds, 1),
        **_judged(net, prepared, label, args),
    }


def _judged(net: Trained, prepared: lowbit.Prepared, label: str, args: argparse.Namespace) -> dict[str, Any]:
    """Accuracies, the file of the program, and how often its class is that of the prepared model."""
    file = args.out / f"{label.replace(', ', '_')}.lowbit"
    size = lowbit.lower(prepared).save(file)
    program = lowbit.load(file)
    models: dict[str, Callable[[Tensor], Any]] = {
        "float": net.model, "prepared": prepared, "integers": lambda x: program.run(x)[0]
    }  # fmt: skip
    if args.double:
        exact = copy.deepcopy(prepared).double()
        models["double"] = lambda x: exact(x.double())
    x, classes = net.x[: args.images], net.classes[: args.images]
    tops = {
        kind: torch.cat(list(_tops(model, x.split(net.batch), f"{label}, {kind}"))) for kind, model in models.items()
    }
    scores = {kind: float((top == classes).double().mean()) for kind, top in tops.items()}
    pairs = {
        "agreement": ("prepared", "integers"),
        "agreement in double": ("double", "integers"),
        "with itself": ("prepared", "double"),
    }
    agreement = {
        called: float((tops[one] == tops[other]).double().mean())
        for called, (one, other) in pairs.items()
        if {one, other} <= tops.keys()
    }
    return {"images": len(x), "bytes": size, **scores, **agreement}


def _tops(model: Callable[[Tensor], Any], batches: tuple[Tensor, ...], label: str) -> Iterator[Tensor]:
    for done, batch in enumerate(batches, 1):
        with torch.no_grad():
            yield torch.as_tensor(model(batch)).argmax(1)
        print(f"\r{label}: {done} of {len(batches)} batches", end="", flush=True)
    print(flush=True)


def rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows measured so far."""
    file: Path = args.out / "rows.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(found: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| network | recipe | samples | codes | differ | by | images | float | prepared | integers | same class "
        "| same in double | prepared as in double |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        codes = one["codes"]
        share = f"{codes['different']:,} ({100 * codes['different'] / codes['count']:.5f} %)"
        shares = " | ".join(f"{100 * one[key]:.2f} %" for key in ("float", "prepared", "integers", "agreement"))
        keys = ("agreement in double", "with itself")
        double = " | ".join(f"{100 * one[key]:.2f} %" if key in one else "" for key in keys)
        named = f"| {one['network']} | {one['recipe']} | {one['samples']} | {codes['count']:,} | {share}"
        lines.append(f"{named} | {codes['largest']} | {one['images']:,} | {shares} | {double} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="the data folder")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--recipes", nargs="+", default=["ptq8", "powers"], help="shipped recipes, or powers")
    parser.add_argument("--samples", type=int, default=200, help="images on which every node is compared")
    parser.add_argument("--images", type=int, default=10_000, help="at most so many are judged")
    parser.add_argument("--double", action="store_true", help="judge the prepared model in float64 too")
    parser.add_argument("--out", type=Path, default=Path("runs/contract"))
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("give --data, or set LOWBIT_DATA")
    args.data = Path(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    done = {(one["network"], one["recipe"]) for one in rows(args)}
    for name, recipe in [(name, recipe) for name in args.networks for recipe in args.recipes]:
        if (name, recipe) not in done:
            with (args.out / "rows.jsonl").open("a") as file:
                file.write(json.dumps(row(name, recipe, args)) + "\n")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {torch.get_num_threads()} threads")
    print(table(rows(args)))


if __name__ == "__main__":
    main()
