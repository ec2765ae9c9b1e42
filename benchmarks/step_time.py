"""Seconds of a training step under a recipe over those of a float step, beside torchao's and Brevitas' training.

    pip install torchao brevitas                       # each is optional: who is not installed is left out, and named
    python benchmarks/step_time.py                     # ResNet-20 (batch 128, 32x32) and MobileNet-v2 (batch 16, 96x96)
    python benchmarks/step_time.py --networks resnet20 --rounds 30 --recipes choi2020,lsq

A step is forward, cross-entropy, penalties, backward, SGD with momentum, and step(). All contestants take turns in one
process, a step each, in an order that changes from round to round; the figure is the ratio to the float step of the
same round: its median, and the quartiles. All have the widths of the recipe: 4-bit weights, one scale a tensor, 8-bit
activations.
"""

from __future__ import annotations

import argparse
import copy
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence

import lowbit
import torch
import torch.nn.functional as F
from networks.mobilenet_v2 import MobileNetV2
from networks.resnet20 import ResNet20
from peers.training import PEERS
from torch import Tensor, nn

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "resnet20": (ResNet20, (128, 3, 32, 32), 10),
    "mobilenet_v2": (MobileNetV2, (16, 3, 96, 96), 1000),
}
"""How to build each, the shape of a batch, and the number of classes."""

Step = Callable[[], None]


def step(module: nn.Module, x: Tensor, y: Tensor) -> Step:
    """A training step of the module on one batch."""
    ours = isinstance(module, lowbit.Prepared)
    parameters = module.parameter_groups(lr=1e-3) if ours else module.parameters()
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)

    def run() -> None:
        loss = F.cross_entropy(module(x), y)
        (loss + module.regularization() if ours else loss).backward()
        optimizer.step()
        optimizer.zero_grad()
        if ours:
            module.step()

    return run


def contestants(name: str, recipes: Sequence[str], steps: int) -> dict[str, Step]:
    """The float model's step first, then one for each recipe and each peer that is installed."""
    build, shape, classes = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(shape, generator=generator), torch.randint(classes, shape[:1], generator=generator)
    torch.manual_seed(0)
    model = build().train()
    for _ in range(20):  # norms that have never seen data would make of the deep layers' values next to nothing
        model(x[: shape[0] // 2])
    found = {"float": step(copy.deepcopy(model), x, y)}
    for recipe in recipes:
        found[f"lowbit, {recipe}"] = step(lowbit.prepare(model, (x,), recipe, steps=steps).train(), x, y)
    for peer, prepare in PEERS.items():
        try:
            theirs = step(prepare(copy.deepcopy(model), x), x, y)
            theirs()
            found[peer] = theirs
        except Exception as error:  # not installed, or a model that it cannot take
            print(f"{peer} is left out: {type(error).__name__}: {error}")
    return found


def rounds(steps: dict[str, Step], count: int, report: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds of each contestant in each round, after three rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order, shuffled = list(steps), random.Random(0)
    for i in range(-3, count):
        shuffled.shuffle(order)
        for name in order:
            start = time.perf_counter()
            steps[name]()
            if i >= 0:
                seconds[name].append(time.perf_counter() - start)
        report(f"round {i + 4} of {count + 3}")
    return seconds


def table(network: str, seconds: dict[str, list[float]]) -> str:
    """Medians and quartiles of the ratios to float, as Markdown."""
    lines = ["| network | training | milliseconds, median | times float, median | quartiles |", "| --- " * 5 + "|"]
    for name, own in seconds.items():
        ratios = [a / b for a, b in zip(own, seconds["float"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        median = 1000 * statistics.median(own)
        lines.append(f"| {network} | {name} | {median:.0f} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("--recipes", default="choi2020", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {args.threads} thread(s)")
    for network in args.networks.split(","):
        steps = contestants(network, args.recipes.split(","), args.rounds + 3)
        print("\n" + table(network, rounds(steps, args.rounds, lambda text: print(f"\r{text}", end="", flush=True))))


if __name__ == "__main__":
    main()
