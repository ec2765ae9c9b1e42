"""Post-training quantization of trained ImageNet classifiers: accuracy with and without the passes for it.

    python benchmarks/post_training.py --data DIR [--models ...] [--variants ...] [--out runs/post_training]

DIR is the data folder; EfficientNet-Lite0 comes from pip (see `imagenet.py`). The 1,000 images are one a class, and of
the training set of all these models: what counts is the difference to the float model on the same images. Every 32nd
image calibrates, and is not measured. A row that is in --out already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from imagenet import CLASSIFIERS, Classifier, images
from lowbit.api import calibrate, lower, passes
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.pipeline import run
from lowbit.compiler.prepared import Prepared
from lowbit.compiler.recipe import parse
from torch import Tensor

KEPT_FOR_CALIBRATION = 32
"""Every so manieth image calibrates."""
BATCH = 8
FOLD, EQUALIZE, ABSORB = ('use = "fold_batch_norm"',), ('use = "equalize"',), ('use = "absorb_bias"',)
DROP = ('use = "equalize"\nclip = "drop"',)
CORRECT = ('use = "correct_bias"',)
VARIANTS = {
    "none": (FOLD, ()),
    "equalize": (FOLD + EQUALIZE, ()),
    "equalize, limits dropped": (FOLD + DROP, ()),
    "correct_bias": (FOLD, CORRECT),
    "equalize + correct_bias": (FOLD + EQUALIZE, CORRECT),
    "equalize, limits dropped, + correct_bias": (FOLD + DROP, CORRECT),
    "absorb_bias + equalize + correct_bias": (ABSORB + FOLD + EQUALIZE, CORRECT),
}
"""Name -> the passes before the grids are put, and behind."""


def recipe_of(variant: str, per_channel: bool) -> str:
    """The recipe of a variant, in TOML."""
    before, behind = VARIANTS[variant]
    grids = f'use = "insert_fake_quant"\nper_channel = {str(bool(per_channel)).lower()}'
    tables = "".join(f"[[prepare]]\n{table}\n" for table in (*before, grids, *behind))
    return f'name = "{variant}"\npost_training = true\n{tables}'


def prepared(graph: Graph, variant: str, per_channel: bool, some: Tensor) -> Prepared:
    """The captured model under the recipe of a variant, calibrated."""
    recipe = parse(recipe_of(variant, per_channel), passes())
    result = run(recipe.first(graph), recipe.prepare)
    ours = Prepared(result.graph, recipe, result.ledger).eval()
    calibrate(ours, some.split(BATCH))
    return ours


def scores(model: Callable[[Tensor], Any], x: Tensor, label: str) -> Tensor:
    """What the model says of every image, with a line of progress."""
    found, begin = [], time.monotonic()
    for i, batch in enumerate(x.split(BATCH)):
        with torch.no_grad():
            found.append(torch.as_tensor(model(batch)))
        done = min((i + 1) * BATCH, len(x))
        print(f"\r{label}: {done}/{len(x)}, {time.monotonic() - begin:.0f} s", end="", flush=True)
    print(flush=True)
    return torch.cat(found)


def measure(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for every model and variant that is not in the file yet."""
    for name in args.models:
        net = CLASSIFIERS[name](args.data)
        x, classes = images(args.data, net)
        kept = torch.arange(len(x)) % KEPT_FOR_CALIBRATION == 0
        measured = torch.nonzero(~kept)[:, 0]
        if args.images < len(measured):
            measured = measured[torch.linspace(0, len(measured) - 1, args.images).long()]
        some, x, classes = x[kept], x[measured], classes[measured]
        reference = _reference(args, name, net, x)
        graph = capture(net.model, (some[:2],), verify=False)
        for per_channel in map(bool, args.per_channel):
            for variant in args.variants:
                key = {"model": name, "variant": variant, "per_channel": per_channel, "integers": args.integers}
                key["images"] = len(x)
                if key in [{k: row.get(k) for k in key} for row in rows(args)]:
                    continue
                begin, label = time.monotonic(), f"{name}, {'channel' if per_channel else 'tensor'}, {variant}"
                ours = prepared(graph, variant, per_channel, some)
                seconds = time.monotonic() - begin
                model = _integers(ours) if args.integers else ours
                found = scores(model, x, label)
                yield key | _figures(found, reference, classes) | {"seconds_to_prepare": round(seconds, 1)}


def _integers(ours: Prepared) -> Callable[[Tensor], Any]:
    compiled = lower(ours)
    return lambda batch: compiled.run(batch, target="torch")[0]


def _reference(args: argparse.Namespace, name: str, net: Classifier, x: Tensor) -> Tensor:
    """The scores of the float model, kept beside the rows."""
    file = args.out / f"{name}_{len(x)}.pt"
    if not file.exists():
        torch.save(scores(net.model, x, f"{name}, float"), file)
    found: Tensor = torch.load(file, weights_only=True)
    return found


def _figures(found: Tensor, reference: Tensor, classes: Tensor) -> dict[str, Any]:
    ours, theirs = found.argmax(1), reference.argmax(1)
    return {
        "float": float((theirs == classes).float().mean()),
        "accuracy": float((ours == classes).float().mean()),
        "agreement": float((ours == theirs).float().mean()),
    }


def rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows measured so far."""
    file: Path = args.out / "rows.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def table(args: argparse.Namespace) -> str:
    """All rows as a table."""
    lines = [
        "| model | weights | passes | images | accuracy | float | agreement |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows(args):
        weights = "a channel" if row["per_channel"] else "a tensor"
        kind = row["variant"] + (", integers" if row["integers"] else "")
        figures = " | ".join(f"{100 * row[key]:.1f} %" for key in ("accuracy", "float", "agreement"))
        lines.append(f"| {row['model']} | {weights} | {kind} | {row['images']} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("LOWBIT_DATA"), help="the data folder")
    parser.add_argument("--models", nargs="+", choices=CLASSIFIERS, default=list(CLASSIFIERS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--per-channel", nargs="+", type=int, choices=(0, 1), default=[0, 1])
    parser.add_argument("--integers", action="store_true", help="measure the integer program")
    parser.add_argument("--images", type=int, default=1000, help="at most so many, evenly spaced")
    parser.add_argument("--out", type=Path, default=Path("runs/post_training"))
    args = parser.parse_args()
    if args.data is None:
        raise SystemExit("give --data, or set LOWBIT_DATA")
    args.data = Path(args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    for row in measure(args):
        with (args.out / "rows.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {torch.get_num_threads()} threads")
    print(table(args))


if __name__ == "__main__":
    main()
