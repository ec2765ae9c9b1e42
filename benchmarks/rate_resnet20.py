"""What the pass `rate` saves on ResNet-20 for CIFAR-10 without training, its prices alike and by what is felt.

    python benchmarks/rate_resnet20.py --data DIR [--bits 4] [--images 1000] [--variants 0:0.75:0 0.1:0.95:1 ...]

DIR is the data folder. `ptq8` with weights of so many bits, calibrated on 256 training images, then lowered once for
each variant, price:reach:sensitive. Prints Markdown: bytes of the file, errors of its integers on the first images,
and the mean KL divergence in millibits of their classes from those of the float network.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import lowbit
import torch
from contract import resnet_20
from lowbit.api import passes
from lowbit.backends.blob import dumps
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import Recipe, parse
from lowbit.recipes import described
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax

VARIANTS = (
    "0:0.75:0",
    "0.1:0.95:0",
    "0.2:0.95:0",
    "0.4:0.95:0",
    "0.02:0.95:1",
    "0.05:0.95:1",
    "0.1:0.95:1",
    "0.2:0.95:1",
)
RATE = 'name = "x"\nsummary = "x"\n[[lower]]\nuse = "rate"\nprice = {}\nreach = {}\nsensitive = {}\n'


def priced(recipe: Recipe, variant: str) -> Recipe:
    """The recipe with `rate` before what it lowers with."""
    price, reach, sensitive = variant.split(":")
    if not float(price):
        return recipe
    text = RATE.format(float(price), reach, "true" if int(sensitive) else "false")
    return replace(recipe, lower=(*parse(text, passes()).lower, *recipe.lower))


def main() -> None:
    """Prepare, lower, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--variants", nargs="+", default=VARIANTS, metavar="PRICE:REACH:SENSITIVE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    net = resnet_20(args.data, args.data)
    x, classes = net.x[: args.images], net.classes[: args.images]
    with torch.no_grad():
        float_scores = log_softmax(torch.cat([net.model(part) for part in x.split(100)]), 1)
    text = described("ptq8").text.replace("weight_bits = 8", f"weight_bits = {args.bits}")
    prepared = lowbit.prepare(net.model, (net.some[:2],), parse(text, passes()))
    lowbit.calibrate(prepared, [net.some])
    print("| price | reach | sensitive | bytes | saved | errors | KL, millibits |\n" + "| --- " * 7 + "|")
    first = 0
    for variant in args.variants:
        compiled = lowbit.lower(Prepared(prepared.graph, priced(prepared.recipe, variant)).eval())
        size, scores = len(dumps(compiled.program)), log_softmax(torch.as_tensor(compiled.run(x)[0]).float(), 1)
        first = first or size
        cells = (
            f"{size:,} | {1 - size / first:.1%} | {_errors(scores, classes)} | {_distance(scores, float_scores):.0f}"
        )
        print(f"| {variant.replace(':', ' | ')} | {cells} |", flush=True)


def _errors(scores: Tensor, classes: Tensor) -> int:
    return int((scores.argmax(1) != classes).sum())


def _distance(scores: Tensor, reference: Tensor) -> float:
    return float(kl_div(scores, reference, log_target=True, reduction="batchmean")) / math.log(2) * 1000


if __name__ == "__main__":
    main()
