"""ESPCN x3: PSNR of the integer program on Set5 against the float network, trained on the patches of T91.

    python benchmarks/super_resolution.py --data DIR [--seeds 0,1,2] [--out runs/espcn]

DIR holds `sr/T91` and `sr/Set5`. Luma alone; PSNR in dB inside of a border of 3 pixels, the mean of the five images.
Each recipe goes on from the float network of its seed. A program has the size of its images, so there is one for each
of the five, with the same weights. Every step is kept under --out, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from pathlib import Path

import lowbit
import torch
from images import patches, set5
from lowbit.compiler.tasks import super_resolution
from lowbit.compiler.training import batches, train
from networks.espcn import ESPCN
from progress import show
from torch import Tensor, nn
from torch.utils.data import TensorDataset

HERE = Path(__file__).parent
SCALE = 3
RECIPES = ("espcn_8bit", "espcn_binary")
Pairs = dict[str, tuple[Tensor, Tensor]]


def psnr(image: Tensor, large: Tensor) -> float:
    """In dB, of images in 0..1."""
    error = (image.clamp(0, 1) - large)[..., SCALE:-SCALE, SCALE:-SCALE].double().square().mean()
    return float(-10 * torch.log10(error))


def floats(seed: int, args: argparse.Namespace, data: TensorDataset) -> ESPCN:
    """The network trained in float."""
    torch.manual_seed(seed)
    model = ESPCN(SCALE)
    plan = lowbit.Plan(args.float_epochs, args.batch_size, 1e-3, seed=seed)
    train(model, data, plan, show(f"seed {seed} float"), args.out / f"seed{seed}.float", super_resolution.TASK)
    return model.eval()


def measured(model: nn.Module, recipe: str, seed: int, args: argparse.Namespace, data: TensorDataset, test: Pairs):  # type: ignore[no-untyped-def]
    """(PSNR fake-quantized, PSNR of the integers, bytes of the smallest program's file) under a recipe."""
    chosen = lowbit.read_recipe(HERE / f"{recipe}.toml")
    plan = lowbit.Plan(args.epochs, args.batch_size, args.lr, seed=seed)
    some = next(batches(data, 64))[0]
    prepared = lowbit.prepare(model, (some[:2],), chosen, steps=plan.steps(data))
    lowbit.calibrate(prepared, [some])
    train(prepared, data, plan, show(f"seed {seed} {recipe}"), args.out / f"seed{seed}.{recipe}", super_resolution.TASK)
    scores = [scored(model, prepared, chosen, small, large) for small, large in test.values()]
    file = args.out / f"seed{seed}.{recipe}.lowbit"
    size = lowbit.lower(prepared.eval()).save(file)
    return statistics.fmean(s[0] for s in scores), statistics.fmean(s[1] for s in scores), size


def scored(
    model: nn.Module, trained: lowbit.Prepared, recipe: lowbit.Recipe, small: Tensor, large: Tensor
) -> tuple[float, float]:
    """(fake-quantized, integers) on one image, by a program of its size with the trained weights and grids."""
    sized = lowbit.prepare(model, (torch.cat([small, small]),), recipe, steps=1)
    sized.load_state_dict(trained.state_dict())
    with torch.no_grad():
        rounded = sized.eval()(small)
    (image,) = lowbit.lower(sized).run(small)
    return psnr(rounded, large), psnr(torch.as_tensor(image), large)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--out", type=Path, default=Path("runs/espcn"))
    parser.add_argument("--float-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-4)
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or LOWBIT_DATA must name the folder that holds sr/")
    args.data = Path(args.data)
    return args


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    data, test = patches(args.data, SCALE), set5(args.data, SCALE)
    rows = []
    for seed in map(int, args.seeds.split(",")):
        model = floats(seed, args, data)
        with torch.no_grad():
            float_score = statistics.fmean(psnr(model(small), large) for small, large in test.values())
        for recipe in args.recipes.split(","):
            rows.append((recipe, seed, float_score, *measured(model, recipe, seed, args, data, test)))
            print(rows[-1], flush=True)
    print(table(rows))


def table(rows: list[tuple[str, int, float, float, float, int]]) -> str:
    """The rows, and mean and worst loss of each recipe, as Markdown."""
    head = ["| recipe | seed | float | fake-quant | integers | integers - float | bytes |", "| --- " * 7 + "|"]
    lines = [f"| {r} | {s} | {f:.2f} | {q:.2f} | {i:.2f} dB | {i - f:+.3f} dB | {n:,} |" for r, s, f, q, i, n in rows]
    for recipe in dict.fromkeys(row[0] for row in rows):
        lost = [row[4] - row[2] for row in rows if row[0] == recipe]
        lines.append(f"| {recipe} | mean, worst | | | | {statistics.fmean(lost):+.3f}, {min(lost):+.3f} dB | |")
    return "\n".join([f"torch {torch.__version__}, Python {platform.python_version()}", "", *head, *lines])


if __name__ == "__main__":
    main()
