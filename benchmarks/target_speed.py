"""Time of the torch target over the float model in eager torch, one batch, both in turn; and how long lowering takes.

    pip install torchvision
    python benchmarks/target_speed.py [--networks resnet18,mobilenet_v2] [--batch 8] [--rounds 10] [--threads 1]

The program is that of `ptq8`, 8 bits, of random weights and images of 224 pixels. The figure is the ratio within one
round, the median of the rounds and the quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import lowbit
import numpy as np
import torch
from zoo.vision import repair

Run = Callable[[], object]


def main() -> None:
    args = _arguments()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    repair()
    import torchvision

    for name in args.networks.split(","):
        torch.manual_seed(0)
        model = torchvision.models.get_model(name, weights=None).eval()
        x = torch.randn(args.batch, 3, args.pixels, args.pixels)
        prepared = lowbit.prepare(model, (x[:2],), "ptq8")
        start = time.perf_counter()
        program = lowbit.lower(prepared)
        print(f"{name}: lowered in {time.perf_counter() - start:.1f} s", flush=True)
        if args.rounds:
            print(f"{name}: {_told(_ratios(model, program, x, args.rounds))}", flush=True)


def _ratios(
    model: torch.nn.Module, program: lowbit.Compiled, x: torch.Tensor, rounds: int
) -> list[tuple[float, float]]:
    """(seconds of the torch target, of the float model) of each round; the first, not counted, warms both up."""
    (given,) = program.quantize(x)

    def integers() -> list[np.ndarray]:
        return list(program.run_integers(given, target="torch"))

    def floats() -> torch.Tensor:
        with torch.inference_mode():
            found: torch.Tensor = model(x)
        return found

    return [(_seconds(integers), _seconds(floats)) for _ in range(rounds + 1)][1:]


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _told(found: list[tuple[float, float]]) -> str:
    ratios = sorted(ours / theirs for ours, theirs in found)
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    ours, theirs = (statistics.median(column) for column in zip(*found, strict=True))
    return (
        f"{middle:.2f} times eager ({low:.2f} to {high:.2f}); {ours * 1000:.0f} ms and {theirs * 1000:.0f} ms a batch"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="resnet18,mobilenet_v2", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--pixels", type=int, default=224, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=10, help="0: lower alone; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    main()
