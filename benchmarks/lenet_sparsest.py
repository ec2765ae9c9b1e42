"""LeNet-5 with 99.5 % zeros and 3 bits: the whole file beside what NNCodec makes of the weights alone, as trained.

    python benchmarks/lenet_sparsest.py --data DIR [--seeds 0,1,2] [--epochs 3]

DIR holds MNIST, see `lenet_mnist.py`, whose recipe this is with one threshold for all weights, which decay. NNCodec,
where its extension can be imported (see `coder_size.py`), codes the weights before units without use are taken out and
the others put in order; only its payload counts. Of the file everything does.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import lowbit
import msgspec
import torch
from coder_size import nncodec
from lenet_mnist import HERE, LeNet5, mnist
from lowbit.backends.blob import account, dumps
from lowbit.backends.codec import Words
from lowbit.backends.fixed.program import Program
from lowbit.compiler.pipeline import Use
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.training import accuracy, train
from progress import show

ZEROS = 0.995
"""Of all weights together."""
DECAY = 1e-4
"""Units that few weights reach lose those too, and leave the program."""
EXACT = ("remove_dead_units", "reorder_units")


def sparsest(use: Use) -> Use:
    """The pass of a recipe, with the share of above for all weights if it prunes."""
    if use.name != "schedule_pruning":
        return use
    return replace(use, options=msgspec.structs.replace(use.options, sparsity=ZEROS, scope="global"), layers=())


def trained(seed: int, epochs: int, data: lowbit.Data) -> Prepared:
    """Two epochs in float, then under the recipe."""
    torch.manual_seed(seed)
    model = LeNet5()
    train(model, data.train, lowbit.Plan(2, 128, 1e-3, seed=seed, weight_decay=DECAY), show(f"seed {seed}, float"))
    recipe = lowbit.read_recipe(HERE / "lenet_mnist.toml")
    recipe = replace(recipe, prepare=tuple(map(sparsest, recipe.prepare)))
    plan = lowbit.Plan(epochs, 128, 1.5e-3, seed=seed, weight_decay=DECAY)
    x = data.train[:1024][0]
    prepared = lowbit.prepare(model, (x[:2],), recipe, steps=plan.steps(data.train))
    lowbit.calibrate(prepared, [x])
    train(prepared, data.train, plan, show(f"seed {seed}, recipe"))
    return prepared.eval()


def weights(program: Program) -> list[Words]:
    """Constants of more than one axis."""
    found = [value.data for value in program.values if value.data is not None]
    return [data for data in found if data.ndim > 1 and data.size > max(data.shape)]


def as_trained(prepared: Prepared) -> list[Words]:
    """The weights with every unit in its place."""
    kept = tuple(use for use in prepared.recipe.lower if use.name not in EXACT)
    plain = Prepared(prepared.graph, replace(prepared.recipe, lower=kept))
    return weights(lowbit.lower(plain.eval()).program)


def row(seed: int, prepared: Prepared, data: lowbit.Data) -> str:
    compiled, peer, before = lowbit.lower(prepared), nncodec(), as_trained(prepared)
    file = dumps(compiled.program)
    entries = account(file)
    sizes = {each.size for each in weights(compiled.program)}
    coded = sum(entry.bytes for entry in entries if entry.values in sizes)
    biases = sum(entry.bytes for entry in entries if entry.values not in {0, *sizes})
    none = sum(int((each == 0).sum()) for each in before) / sum(each.size for each in before)
    theirs = sum(map(peer, before)) if peer else None
    assert sum(entry.bytes for entry in entries) == len(file)
    cells = [seed, f"{none:.2%}", theirs or "", len(file), f"{len(file) / theirs:.3f}" if theirs else ""]
    cells += [coded, biases, len(file) - coded - biases, f"{1 - accuracy(lambda x: compiled.run(x)[0], data.test):.2%}"]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="default: $LOWBIT_DATA")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data or LOWBIT_DATA must name the folder of MNIST")
    data = lowbit.Data(*(mnist(Path(args.data), split, "cpu") for split in ("train", "t10k")))
    rows = [row(seed, trained(seed, args.epochs, data), data) for seed in map(int, args.seeds.split(","))]
    head = "| seed | zeros | NNCodec, weights | file | ratio | its weights | its other constants | the rest | error |"
    print("\n".join([head, "| --- " * 9 + "|", *rows]))


if __name__ == "__main__":
    main()
