"""The capture zoo: how many models are captured, how exactly, and how fast against a bare torch.export.

    pip install timm transformers segmentation_models_pytorch torchvision    # each is optional
    python benchmarks/capture_zoo.py                     # everything; prints the tables; takes hours on one core
    python benchmarks/capture_zoo.py --untimed           # the same without the timing, several times as fast
    python benchmarks/capture_zoo.py --families small,smp --only Unet
    python benchmarks/capture_zoo.py --report            # only the tables, of what has been measured

Every model is built with random weights and runs in a worker process on one thread; one that takes more than three
minutes is ended. Each result is a line of OUT/results.jsonl; a run that was stopped goes on where it was, and
--again measures anew what fell short. A module counts as captured whole when lowbit.capture returns it; equal means
within 1e-5 of the largest value in eval mode, before and after a training step, and within 1e-4 in train mode
(outputs, buffers, gradients), where both draw the same random numbers. Where it is refused, lowbit.capture_islands is
tried. The seconds are of CPU time, the least of up to three rounds, in turn on equal models, after everything is warm:
torch.export itself with the same dynamic batch, capture without its verification, and with it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from pathlib import Path

from zoo.catalogue import FAMILIES, row, rows
from zoo.expected import shortfall
from zoo.report import report
from zoo.runner import Result, results, run


def main() -> None:
    args = arguments()
    file = args.out / "results.jsonl"
    names = []
    for family in args.families.split(","):
        found = [row.name for row in rows(family) if re.search(args.only, row.name)]
        names += found[: args.limit]
    if args.again:
        done = {result["name"]: result for result in results(file)}
        short = {name for name, result in done.items() if name in names and shortfall(row(name), result)}
        names = [name for name in names if name in short]
    if not args.report:
        run(names, file, args.jobs, not args.untimed, args.again, lambda text: print(text, flush=True))
    print(report(latest(results(file)), "python benchmarks/capture_zoo.py"))


def latest(found: Iterable[Result]) -> list[Result]:
    """The last result of each row that is still in the zoo."""
    last = {result["name"]: result for result in found}
    return [last[row.name] for family in FAMILIES for row in rows(family) if row.name in last]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES), help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only models whose family/name the pattern finds")
    parser.add_argument("--limit", type=int, help="the first so many of each family")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes; times are only right with one")
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="default: %(default)s")
    parser.add_argument("--untimed", action="store_true", help="leave out the timing")
    parser.add_argument("--again", action="store_true", help="measure anew what fell short")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
