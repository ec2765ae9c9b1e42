"""LeNet-5 on MNIST: bytes of the file against the test error of the integer program that is read back from it.

    python benchmarks/lenet_mnist.py --data DIR [--seeds 0,1,2] [--out runs/lenet] [--device cuda]

DIR holds the four classic IDX `.gz` files of MNIST, or a folder `mnist` with them. Every epoch is kept under --out, so
a run that was stopped goes on where it was; a finished seed is only measured again.
"""

from __future__ import annotations

import argparse
import gzip
import os
import platform
import statistics
from pathlib import Path

import lowbit
import numpy as np
import torch
import torch.nn.functional as F
from lowbit.backends.compiled import zeros
from lowbit.compiler.training import accuracy, batches, train
from progress import show
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

HERE = Path(__file__).parent
FLOAT_BYTES = 4 * 431_080


class LeNet5(nn.Module):
    """The Caffe LeNet-5 (20-50-500-10, 5x5 convolutions), with a rectifier behind every layer but the last."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        scores: Tensor = self.fc2(torch.relu(self.fc1(x.flatten(1))))
        return scores


def mnist(folder: Path, split: str, device: str) -> TensorDataset:
    """The images of "train" or "t10k" with mean 0 and deviation 1, and their classes."""
    folder = folder / "mnist" if (folder / "mnist").is_dir() else folder
    try:
        pixels, classes = (
            gzip.decompress((folder / f"{split}-{part}-ubyte.gz").read_bytes())
            for part in ("images-idx3", "labels-idx1")
        )
    except OSError as error:
        raise SystemExit(f"MNIST is not in {folder}: {error}") from None
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, 28, 28).astype(np.float32) / 255
    x, y = (images - 0.1307) / 0.3081, np.frombuffer(classes, np.uint8, offset=8).astype(np.int64)
    return TensorDataset(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))


class Shifted(Dataset[tuple[Tensor, Tensor]]):
    """Each image moved by up to two pixels over a black border."""

    def __init__(self, images: TensorDataset) -> None:
        x, self.classes = images.tensors
        self.padded = F.pad(x, (2, 2, 2, 2), value=float(x.min()))

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        down, across = torch.randint(0, 5, (2,)).tolist()
        return self.padded[i, :, down : down + 28, across : across + 28], self.classes[i]


def compress(seed: int, args: argparse.Namespace, data: lowbit.Data) -> Path:
    """Train in float, then under the recipe, and write the file; every stage is taken up where it stopped."""
    folder = args.out / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "lenet.lowbit"
    if file.exists():
        return file
    torch.manual_seed(seed)
    model = LeNet5().to(args.device)
    plan = lowbit.Plan(args.float_epochs, args.batch_size, 1e-3, seed=seed)
    train(model, data.train, plan, show(f"seed {seed} float"), folder / "float.ckpt")
    print(f"seed {seed}: float error {100 * (1 - accuracy(model.eval(), data.test)):.2f} %", flush=True)
    plan = lowbit.Plan(args.epochs, args.batch_size, args.lr, seed=seed)
    example = (next(batches(data.train, 2))[0].cpu(),)
    prepared = lowbit.prepare(model.cpu(), example, args.recipe, steps=plan.steps(data.train)).to(args.device)
    lowbit.calibrate(prepared, [x for (x, _), _ in zip(batches(data.train, 256), range(4), strict=False)])
    train(prepared, data.train, plan, show(f"seed {seed} recipe"), folder / "recipe.ckpt")
    print(f"seed {seed}: fake-quant error {100 * (1 - accuracy(prepared.eval(), data.test)):.2f} %", flush=True)
    lowbit.lower(prepared.cpu()).save(file)
    return file


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/lenet"))
    parser.add_argument("--recipe", default=str(HERE / "lenet_mnist.toml"))
    parser.add_argument("--float-epochs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or LOWBIT_DATA must name the folder of MNIST")
    args.data = Path(args.data)
    return args


def main() -> None:
    args = arguments()
    data = lowbit.Data(Shifted(mnist(args.data, "train", args.device)), mnist(args.data, "t10k", args.device))
    test = mnist(args.data, "t10k", "cpu")
    rows = []
    for seed in map(int, args.seeds.split(",")):
        file = compress(seed, args, data)
        compiled = lowbit.load(file)
        error = 100 * (1 - accuracy(lambda x: compiled.run(x)[0], test))  # noqa: B023
        none, weights = zeros(compiled.program)
        rows.append((seed, file.stat().st_size, error, 100 * none / weights))
        print(f"seed {seed}: {rows[-1][1]} bytes, integer error {error:.2f} %, zeros {rows[-1][3]:.2f} %", flush=True)
    print(table(rows))


def table(rows: list[tuple[int, int, float, float]]) -> str:
    """The rows, their mean and their worst, as Markdown."""
    sizes, errors, shares = ([row[i] for row in rows] for i in (1, 2, 3))
    lines = [f"| {s} | {n:,} | {FLOAT_BYTES / n:.0f}x | {e:.2f} % | {z:.2f} % |" for s, n, e, z in rows]
    mean = [statistics.fmean(column) for column in (sizes, errors, shares)]
    lines.append(f"| mean | {mean[0]:,.0f} | {FLOAT_BYTES / mean[0]:.0f}x | {mean[1]:.2f} % | {mean[2]:.2f} % |")
    lines.append(f"| worst | {max(sizes):,} | {FLOAT_BYTES / max(sizes):.0f}x | {max(errors):.2f} % | |")
    head = ["| seed | bytes of the file | ratio to float32 | test error, integers | zeros |", "| --- " * 5 + "|"]
    return "\n".join([f"torch {torch.__version__}, Python {platform.python_version()}", "", *head, *lines])


if __name__ == "__main__":
    main()
