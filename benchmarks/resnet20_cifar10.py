"""ResNet-20 on CIFAR-10 under each recipe: top-1 of the integer program and bytes of its file, from trained weights.

    python benchmarks/resnet20_cifar10.py --data DIR                   # every run, three seeds: many hours
    python benchmarks/resnet20_cifar10.py --data DIR --runs 'dorefa 3/8,dorefa 3/8 sinreq' --seeds 0 --epochs 2
    python benchmarks/resnet20_cifar10.py --list

DIR holds `cifar10` and `weights/resnet_cifar10`. A run is a recipe with some of its options set, trained with Adam on
augmented images. Results are lines of OUT/results.jsonl, and every step is kept: a run that was stopped
goes on where it was. All runs of a comparison have the same schedule; with --distill, a share of the loss is the
imitation of the float model. With --fast the training step is compiled and its convolutions are in bfloat16, about half
of the time where the processor has AMX; what is measured is never so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lowbit
import torch
from cifar10 import Augmented, cifar10
from lowbit.backends.compiled import zeros
from lowbit.compiler.settings import override
from lowbit.compiler.training import accuracy, batches, train
from networks.resnet20 import ResNet20, trained
from progress import show
from torch import nn

WEIGHTS, ACTIVATIONS = "insert_fake_quant.weight_bits={}", "insert_fake_quant.activation_bits={}"


def _widths(weights: int, activations: int) -> list[str]:
    return [WEIGHTS.format(weights), ACTIVATIONS.format(activations)]


def _grids(weights: int, activations: int) -> list[str]:
    """Of weights alone: the papers clip activations to [0, 1], which a network would have to be trained for."""
    return [*_widths(weights, activations), "insert_fake_quant.activations=learned"]


def _sparse(share: float) -> list[str]:
    return [f"schedule_pruning.sparsity={share}", f"attach_partial_l2.sparsity={share}"]


DENSE, CHANNELS = _sparse(0.0), "insert_fake_quant.per_channel=true"
STRONG = ["attach_sinreq.initial=0.1", "attach_sinreq.final=10.0"]
SOON = ["schedule_pruning.begin=0.0", "schedule_pruning.end=0.3"]
RUNS: dict[str, tuple[str, list[str]]] = {
    **{f"{q} {k}/{a}": (q, _grids(k, a)) for a in (8, 4) for k in (4, 3, 2) for q in ("dorefa", "wrpn")},
    **{
        f"{q} {k}/{a} sinreq": (f"sinreq_{q}", [*_grids(k, a), *STRONG])
        for a in (8, 4)
        for k in (4, 3, 2)
        for q in ("dorefa", "wrpn")
    },
    "choi2020 4/8": ("choi2020", [*_widths(4, 8), *DENSE]),
    "choi2020 4/8 channels": ("choi2020", [*_widths(4, 8), *DENSE, CHANNELS]),
    "choi2020 4/8 sparse": ("choi2020", [*_widths(4, 8), *_sparse(0.75)]),
    "choi2020 4/8 sparse channels": ("choi2020", [*_widths(4, 8), *_sparse(0.765), *SOON, CHANNELS]),
    "squantizer 4": ("squantizer", [WEIGHTS.format(4)]),
    "squantizer 4 channels": ("squantizer", [WEIGHTS.format(4), CHANNELS]),
}
"""Name -> recipe, and what it sets."""

Row = dict[str, Any]
SCHEDULE = ("epochs", "images", "lr", "schedule", "batch_size", "distill", "fast")
PARAMETERS = sum(parameter.numel() for parameter in ResNet20().parameters())


def run(name: str, seed: int, args: argparse.Namespace, data: lowbit.Data) -> Row:
    """One run, from the trained weights to the integers."""
    recipe = override(lowbit.read_recipe(RUNS[name][0]), RUNS[name][1])
    own = {"weight_decay": 1e-4, "seed": seed, "distill": args.distill, "schedule": args.schedule}
    plan = lowbit.Plan(args.epochs, args.batch_size, args.lr, **own)
    some = next(batches(data.train, 128))[0]
    prepared = lowbit.prepare(trained(args.data), (some[:2],), recipe, steps=plan.steps(data.train))
    lowbit.calibrate(prepared, [some])
    schedule, first = {key: getattr(args, key) for key in SCHEDULE}, prepared.penalties()
    stem = "-".join(f"{part}" for part in (name, f"seed {seed}", *schedule.values())).replace("/", "").replace(" ", "")
    teacher = trained(args.data)
    with quick(prepared, teacher) if args.fast else contextlib.nullcontext():
        told = show(f"{name}, seed {seed}")
        train(prepared, data.train, plan, told, args.out / f"{stem}.checkpoint", teacher=teacher)
    with torch.compiler.set_stance("force_eager"):
        fake = accuracy(prepared.eval(), data.test)
    falls = {of: last / first[of] for of, last in prepared.penalties().items() if first.get(of)}
    compiled = lowbit.lower(prepared)
    size = compiled.save(args.out / f"{stem}.lowbit")
    program = lowbit.load(args.out / f"{stem}.lowbit")
    integers = accuracy(lambda x: program.run(x)[0], data.test)
    none, weights = zeros(program.program)
    found = {"fake-quant": fake, "integers": integers, "bytes": size, "zeros": none / weights, "falls": falls}
    return {"run": name, "seed": seed, **schedule, **found}


@contextlib.contextmanager
def quick(*modules: nn.Module) -> Iterator[None]:
    """Within it the training step is compiled, with convolutions in bfloat16 and channels innermost."""
    for module in modules:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch types devices alone
        module.compile()
    with torch.autocast("cpu", torch.bfloat16):
        yield


def table(rows: list[Row], floats: float) -> str:
    """A line for each run and schedule: mean and worst of its seeds; the ratio is that of float32 to the file."""
    head = [
        "| recipe | run | epochs x images | learning rate | distill | seeds | fake-quant | integers, mean | worst |"
        " - float | bytes | ratio |"
    ]
    lines = [*head, "| --- " * 12 + "|"]
    for of in dict.fromkeys(_of(row) for row in rows):
        own, name = [row for row in rows if _of(row) == of], of[0]
        fake, integers, size = (
            statistics.fmean(row[key] for row in own) for key in ("fake-quant", "integers", "bytes")
        )
        seeds, worst = ", ".join(str(row["seed"]) for row in own), min(row["integers"] for row in own)
        lines.append(
            f"| `{RUNS[name][0]}` | {name} | {own[0]['epochs']} x {own[0]['images']:,} |"
            f" {own[0]['lr']:g}, {own[0]['schedule']} |"
            f" {own[0]['distill']:g} | {seeds} | {100 * fake:.2f} % |"
            f" {100 * integers:.2f} % | {100 * worst:.2f} % |"
            f" {100 * (integers - floats):+.2f} | {size:,.0f} | {4 * PARAMETERS / size:.1f} |"
        )
    return "\n".join(lines)


def _of(row: Row) -> tuple[Any, ...]:
    """The run and its schedule."""
    return row["run"], *(row[key] for key in SCHEDULE)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--runs", default=",".join(RUNS), help="default: all, see --list")
    parser.add_argument("--list", action="store_true", help="the runs and what they set")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/resnet20"))
    parser.add_argument("--images", type=int, default=50_000, help="train on the first so many")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--fast", action="store_true", help="compile the training step, bfloat16 convolutions")
    parser.add_argument(
        "--distill", type=float, default=0.0, help="the share of the loss that imitates the float model"
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--schedule", choices=("cosine", "constant"), default="cosine", help="of the learning rate")
    args = parser.parse_args()
    if args.data is None and not args.list:
        parser.error("--data or LOWBIT_DATA must name the folder of CIFAR-10")
    args.data = Path(args.data or ".")
    return args


def main() -> None:
    args = arguments()
    if args.list:
        print("\n".join(f"{name}: {recipe}, {', '.join(sets)}" for name, (recipe, sets) in RUNS.items()))
        return
    args.out.mkdir(parents=True, exist_ok=True)
    data = lowbit.Data(Augmented(cifar10(args.data, "train", args.images)), cifar10(args.data, "test"))
    floats = accuracy(trained(args.data), data.test)
    file = args.out / "results.jsonl"
    rows = _results(file)
    done = {(row["seed"], *_of(row)) for row in rows}
    schedule = tuple(getattr(args, key) for key in SCHEDULE)
    for name in args.runs.split(","):
        for seed in map(int, args.seeds.split(",")):
            if (seed, name, *schedule) not in done:
                rows.append(run(name, seed, args, data))
                with file.open("a") as lines:
                    lines.write(json.dumps(rows[-1]) + "\n")
                print(rows[-1], flush=True)
    print(f"torch {torch.__version__}, Python {platform.python_version()}; float {100 * floats:.2f} %\n")
    print(table(rows, floats))


def _results(file: Path) -> list[Row]:
    """Rows of files of before had a cosine."""
    return (
        [{"schedule": "cosine", **json.loads(line)} for line in file.read_text().splitlines()] if file.exists() else []
    )


if __name__ == "__main__":
    main()
