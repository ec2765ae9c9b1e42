"""How far the mean square error of LeNet-5's weights falls under `choi2020`, with weights that settle and without.

    python benchmarks/regularizer_fall.py --data DIR [--ends settled,unsettled] [--seeds 0,1,2] [--epochs 1]

DIR holds MNIST, see `lenet_mnist.py`. A network that was trained in float for one epoch is trained under the recipe,
with Adam and a cosine. "R": of its start, when eighths of the training are over; the error: of fake-quantized weights.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

import lowbit
import torch
from lenet_mnist import LeNet5, mnist
from lowbit.compiler.settings import override
from lowbit.compiler.training import accuracy, train
from progress import show

ENDS = {"settled": [], "unsettled": ["settle_weights.settled=false"]}
LR, BATCH, POINTS = 1e-3, 128, 8


def fall(end: str, seed: int, epochs: int, model: LeNet5, data: lowbit.Data) -> tuple[list[float], float]:
    """R after each eighth of the training, of its start; the error of the test images."""
    plan = lowbit.Plan(epochs, BATCH, LR, seed=seed)
    steps, x = plan.steps(data.train), data.train[:256][0]
    recipe = override(lowbit.read_recipe("choi2020"), ENDS[end])
    prepared = lowbit.prepare(model, (x[:2],), recipe, steps=steps)
    lowbit.calibrate(prepared, [x])
    first, found, tell = prepared.penalties()["msqe_weights"], list[float](), show(f"{end}, seed {seed}")

    def look(progress: lowbit.Progress) -> None:
        tell(progress)
        if progress.step * POINTS // steps > len(found):
            found.append(prepared.penalties()["msqe_weights"] / first)

    train(prepared, data.train, plan, look)
    return found, 1 - accuracy(prepared.eval(), data.test)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--ends", default=",".join(ENDS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or LOWBIT_DATA must name the folder of MNIST")
    return args


def main() -> None:
    args = arguments()
    data = lowbit.Data(*(mnist(Path(args.data), split, "cpu") for split in ("train", "t10k")))
    torch.manual_seed(0)
    model = LeNet5()
    train(model, data.train, lowbit.Plan(1, BATCH, LR), show("float"))
    rows = []
    for end in args.ends.split(","):
        for seed in map(int, args.seeds.split(",")):
            found, error = fall(end, seed, args.epochs, model, data)
            rows.append(f"| {end} | {seed} | {' | '.join(f'{r:.0e}' for r in found)} | {100 * error:.2f} % |")
    eighths = " | ".join(f"{point}/{POINTS}" for point in range(1, POINTS + 1))
    print(f"torch {torch.__version__}, Python {platform.python_version()}\n")
    print("\n".join([f"| weights | seed | {eighths} | error |", "| --- " * (POINTS + 3) + "|", *rows]))


if __name__ == "__main__":
    main()
