"""Every shipped recipe on the network and data of the demo: accuracy in float and in integers, bytes, zeros.

    python benchmarks/recipes_digits.py [--float-epochs 30] [--epochs 40] [--seeds 0,1,2] [--only dorefa,lsq]

The float model is trained once a seed; a recipe of a model that comes trained is not trained. Prints the table for
RESULTS.md, from which `make docs` takes what docs/recipes.md tells: a row begins with the recipe's name in backticks.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import tempfile
from pathlib import Path

import lowbit
import torch
from lowbit.backends.compiled import zeros
from lowbit.cli.demo import digits, digits_net
from lowbit.compiler.training import accuracy
from lowbit.recipes import shipped
from torch import nn

HEAD = ("recipe", "float", "fake-quant", "integers", "bytes of the file", "ratio to float32", "zeros")
Row = tuple[float, float, float, float, float, float]


def measured(model: nn.Module, recipe: str, args: argparse.Namespace, seed: int, data: lowbit.Data) -> Row:
    """The figures of one recipe on a trained model."""
    plans = (lowbit.Plan(count, args.batch_size, args.lr, seed=seed) for count in (0, args.epochs))
    report = lowbit.compile(copy.deepcopy(model), data, recipe, lowbit.Effort(*plans))
    with tempfile.TemporaryDirectory() as folder:
        size = report.compiled.save(Path(folder) / "x.lowbit")
        program = lowbit.load(Path(folder) / "x.lowbit")
    none, weights = zeros(program.program)
    integers = accuracy(lambda x: program.run(x)[0], data.test)
    ratio = 4 * report.parameters / size
    return report.float_score, report.prepared_score, integers, size, ratio, none / weights


def cells(recipe: str, rows: list[Row]) -> str:
    """The means over the seeds, as a row."""
    shares = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    percent = [f"{100 * share:.2f} %" for share in (*shares[:3], shares[5])]
    return f"| `{recipe}` | {' | '.join(percent[:3])} | {shares[3]:,.0f} | {shares[4]:.1f}x | {percent[3]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--float-epochs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--only", default=",".join(shipped()))
    args = parser.parse_args()
    torch.set_num_threads(1)
    data, models = digits(), {}
    for seed in map(int, args.seeds.split(",")):
        torch.manual_seed(seed)
        models[seed] = type(digits_net())()
        lowbit.train(models[seed], data.train, lowbit.Plan(args.float_epochs, args.batch_size, args.lr, seed=seed))
    print(f"torch {torch.__version__}, Python {platform.python_version()}\n", flush=True)
    print("| " + " | ".join(HEAD) + " |\n" + "| --- " * len(HEAD) + "|", flush=True)
    for recipe in args.only.split(","):
        print(cells(recipe, [measured(model, recipe, args, seed, data) for seed, model in models.items()]), flush=True)


if __name__ == "__main__":
    main()
