"""IMDN x2 on Set5 after calibration alone, or after training: PSNR of the integer program against the float network.

    python benchmarks/imdn.py --data DIR [--recipe ptq8] [--set insert_fake_quant.activation_bits=8] [--patches 64]
    python benchmarks/imdn.py --data DIR --recipe benchmarks/imdn_trained.toml --steps 400 [--out runs/imdn]

DIR holds `sr/T91`, `sr/Set5` and `weights/imdn`; the recipe is `benchmarks/imdn.toml`. Scales come from patches of T91,
and what is trained learns from such patches to give the image of the float network. PSNR in dB of luma inside of a
border of 2 pixels, of images rounded to 8 bits. A program has the size of its image, so there is one for each of the
five, smallest first; it is read back from its file.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import lowbit
import torch
from images import luma, rgb
from images import patches as pairs
from lowbit.compiler.capture import capture
from lowbit.compiler.pipeline import run
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.settings import override
from lowbit.compiler.tasks import super_resolution
from lowbit.compiler.training import train
from networks.imdn import IMDN, trained
from PIL import Image
from progress import show
from torch import Tensor
from torch.utils.data import Subset

HERE = Path(__file__).parent
SCALE, SIDE, SMALL, BATCH = 2, 64, 32, 8
"""The side of patches that scales come from; of those that are trained on, and how many of these make a step."""


def psnr(found: Tensor, large: Image.Image) -> float:
    """In dB, of RGB in 0..1 against the image that was asked for."""
    pixels = (found[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    error = (luma(Image.fromarray(pixels)) - luma(large))[..., SCALE:-SCALE, SCALE:-SCALE]
    return float(-10 * torch.log10(error.double().square().mean()))


def patches(folder: Path, count: int, side: int) -> Tensor:
    """(count, 3, side, side), the middles of the first images of T91 at half their size."""
    found = []
    for file in sorted((folder / "sr" / "T91").iterdir()):
        with Image.open(file) as opened:
            small = opened.resize((opened.width // 2, opened.height // 2), Image.Resampling.BICUBIC)
        if min(small.size) >= side and len(found) < count:
            left, top = (small.width - side) // 2, (small.height - side) // 2
            found.append(rgb(small.crop((left, top, left + side, top + side))))
    return torch.cat(found)


def learned(prepared: Prepared, model: IMDN, args: argparse.Namespace) -> None:
    """Train in place for so many steps: the loss is the distance of the image from the float network's."""
    data = pairs(args.data, SCALE, side=SMALL, stride=SMALL, pixels=rgb)
    some = torch.randperm(len(data), generator=torch.Generator().manual_seed(args.seed))[: args.steps * BATCH]
    plan = lowbit.Plan(1, BATCH, args.lr, seed=args.seed, distill=1.0)
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / f"{prepared.recipe.name}-{args.steps}-{args.lr:g}-{args.seed}.checkpoint"
    task = replace(super_resolution.TASK, options=super_resolution.Settings(loss="mse"))
    train(prepared, Subset(data, some.tolist()), plan, show("training"), kept, task, model)


def scored(model: IMDN, state: dict[str, Tensor], recipe: lowbit.Recipe, small: Tensor) -> tuple[Tensor, Tensor]:
    """The images of the fake-quantized model and of the integer program of that size, read back from its file."""
    graph = capture(deepcopy(model), (small,), verify=False)  # whose weights become those of the state
    result = run(recipe.first(graph), recipe.prepare)
    sized = Prepared(result.graph, recipe, result.ledger).eval()
    sized.load_state_dict(state)
    with torch.no_grad():
        rounded = sized(small)
    with TemporaryDirectory() as folder:
        lowbit.lower(sized).save(Path(folder) / "imdn.lowbit")
        (image,) = lowbit.load(Path(folder) / "imdn.lowbit").run(small, target="torch")
    return rounded, torch.as_tensor(image)


def line(name: str, scores: Sequence[float]) -> str:
    """Float, fake-quantized, integers, as a row of Markdown."""
    return f"| {name} | " + " | ".join(f"{score:.3f}" for score in scores) + " |"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--recipe", default=str(HERE / "imdn.toml"), help="default: imdn.toml beside this file")
    parser.add_argument("--set", action="append", default=[], metavar="PASS.OPTION=VALUE")
    parser.add_argument("--patches", type=int, default=32, help="that the scales are found on")
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--steps", type=int, default=0, help="of training; default: calibration alone")
    parser.add_argument("--lr", type=float, default=1e-6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/imdn"), help="where a training is kept")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or LOWBIT_DATA must name the folder that holds sr/ and weights/")
    args.data = Path(args.data)
    return args


def main() -> None:
    args = arguments()
    model, recipe = trained(args.data), override(lowbit.read_recipe(args.recipe), args.set)
    given = patches(args.data, args.patches, SMALL if args.steps else SIDE)
    prepared = lowbit.prepare(model, (given[:1],), recipe, steps=args.steps or None)
    lowbit.calibrate(prepared, given.split(8))
    if args.steps:
        learned(prepared, model, args)
    rows = []
    files = sorted((args.data / "sr" / "Set5" / f"x{SCALE}").glob("*_LR.png"), key=lambda file: file.stat().st_size)
    for file in files[: args.images]:
        large, small = Image.open(str(file).replace("_LR", "_HR")), rgb(Image.open(file))
        with torch.no_grad():
            plain = model(small)
        rounded, integers = scored(model, prepared.state_dict(), recipe, small)
        rows.append(tuple(psnr(image, large) for image in (plain, rounded, integers)))
        print(line(file.name.removesuffix("_LR.png"), rows[-1]), flush=True)
    means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    print(line("mean", means))
    print(f"torch {torch.__version__}, Python {platform.python_version()}: {means[2] - means[0]:+.3f} dB")


if __name__ == "__main__":
    main()
