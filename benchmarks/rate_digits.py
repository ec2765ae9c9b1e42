"""What the pass `rate` saves on the demo's digits, and what it costs: one training a seed, lowered at several prices.

    python benchmarks/rate_digits.py [--recipe choi2020] [--prices 0,0.02,0.05,0.1,0.2] [--seeds 0,1,2]

Prints Markdown: the bytes of the file, and the errors among the 360 test images, of all seeds together.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import lowbit
import torch
from lowbit.api import passes
from lowbit.backends.blob import dumps
from lowbit.cli.demo import digits, digits_net
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import Recipe, parse
from lowbit.compiler.training import accuracy, batches, train
from lowbit.recipes import shipped

RATE = '\n[[lower]]\nuse = "rate"\nprice = {}\nreach = {}\n'


def trained(recipe: str, seed: int, args: argparse.Namespace, data: lowbit.Data) -> Prepared:
    """A model trained in float, then under the recipe."""
    torch.manual_seed(seed)
    model = type(digits_net())()
    train(model, data.train, lowbit.Plan(args.float_epochs, 64, 1e-3, seed=seed))
    plan = lowbit.Plan(args.epochs, 64, 1e-3, seed=seed)
    prepared = lowbit.prepare(model, (next(batches(data.train, 2))[0],), recipe, steps=plan.steps(data.train))
    lowbit.calibrate(prepared, [x for (x, _), _ in zip(batches(data.train, 256), range(4), strict=False)])
    train(prepared, data.train, plan)
    return prepared.eval()


def priced(recipe: Recipe, price: float, reach: float) -> Recipe:
    """The recipe with `rate` before what it lowers with."""
    if not price:
        return recipe
    text = f'name = "x"\nsummary = "x"\n{RATE.format(price, reach)}'
    return replace(recipe, lower=(*parse(text, passes()).lower, *recipe.lower))


def main() -> None:
    """Train, lower, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="choi2020", choices=shipped())
    parser.add_argument("--prices", default="0,0.02,0.05,0.1,0.2")
    parser.add_argument("--reach", type=float, default=0.75)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--float-epochs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = digits()
    every = [trained(args.recipe, seed, args, data) for seed in map(int, args.seeds.split(","))]
    print("| recipe | price | bytes | saved | errors |\n| --- | --- | --- | --- | --- |")
    first = 0
    for price in map(float, args.prices.split(",")):
        size = wrong = 0
        for prepared in every:
            changed = Prepared(prepared.graph, priced(prepared.recipe, price, args.reach))
            compiled = lowbit.lower(changed.eval())
            size += len(dumps(compiled.program))
            wrong += round((1 - accuracy(lambda x: compiled.run(x)[0], data.test)) * len(data.test))  # noqa: B023
        first = first or size
        print(
            f"| `{args.recipe}` | {price:g} | {size / len(every):,.0f} | {1 - size / first:.1%} | {wrong} |", flush=True
        )


if __name__ == "__main__":
    main()
