"""Loading of a large file: time and memory over those of decoding its streams, and what a second thread gives.

    pip install torchvision
    python benchmarks/load_speed.py FILE [--make resnet50] [--bits 4] [--coder cm] [--rounds 3]

--make writes FILE first: a network of torchvision with random weights, lowered by `ptq8` at so many bits. Each load is
a process of its own. "Over": CPU seconds of loading beyond those of decoding, as a share of them. "Decoded": eight
bytes an integer. "Above": the peak of the process's memory while it loads, less what it had before, less that. What is
imported was imported before.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

from lowbit.backends import blob
from lowbit.backends.codec import Words, codecs
from lowbit.backends.fixed import registry
from lowbit.backends.mixing import form


def make(file: Path, network: str, bits: int, coder: str) -> None:
    """Lower a network and write its file."""
    import lowbit
    import torch
    from lowbit.api import passes
    from lowbit.compiler.recipe import parse
    from zoo.vision import repair

    warnings.simplefilter("ignore")
    repair()
    import torchvision

    torch.manual_seed(0)
    model = torchvision.models.get_model(network, weights=None).eval()
    text = (Path(lowbit.__file__).parent / "recipes" / "ptq8.toml").read_text()
    recipe = parse(text.replace("weight_bits = 8", f"weight_bits = {bits}"), passes())
    lowbit.lower(lowbit.prepare(model, (torch.randn(2, 3, 64, 64),), recipe)).save(file, coder)


def load(file: Path, threads: int) -> dict[str, float]:
    """The figures of one load in this process."""
    form.os.cpu_count = lambda: threads  # type: ignore[attr-defined]
    spent = 0.0
    for codec in codecs().values():

        def timed(data: bytes, shape: tuple[int, ...], decode=codec.decode) -> Words:  # type: ignore[no-untyped-def]
            nonlocal spent
            start = time.process_time()
            found: Words = decode(data, shape)
            spent += time.process_time() - start
            return found

        object.__setattr__(codec, "decode", timed)
    registry.names_by_code()  # imports every op, once a process
    data, before, start, wall = file.read_bytes(), _peak(), time.process_time(), time.perf_counter()
    program = blob.loads(data)
    loaded, above, wall = time.process_time() - start, _peak() - before, time.perf_counter() - wall
    decoded = sum(value.data.nbytes for value in program.values if value.data is not None)
    over = loaded / spent - 1 if threads == 1 else math.nan  # two at once would be counted twice
    return {"over": over, "decoded": decoded / 1e6, "above": above - decoded / 1e6, "wall": wall}


def _peak() -> float:
    """Megabytes that this process has held at most."""
    told = Path("/proc/self/status").read_text()  # what getrusage tells is the parent's too
    return int(re.search(r"VmHWM:\s+(\d+)", told)[1]) / 1e3  # type: ignore[index]


def main() -> None:
    """Make, load, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--make", metavar="NETWORK")
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--coder", default="cm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.threads:
        print(json.dumps(load(args.file, args.threads)))
        return
    if args.make:
        make(args.file, args.make, args.bits, args.coder)
    print("| threads | loading s | over | MB decoded | MB above |\n| --- | --- | --- | --- | --- |")
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for threads, done in runs.items():
            command = [sys.executable, __file__, str(args.file), "--threads", str(threads)]
            done.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    for threads, done in runs.items():
        wall, over, decoded, above = (
            statistics.median(run[k] for run in done) for k in ("wall", "over", "decoded", "above")
        )
        print(f"| {threads} | {wall:.2f} | {over:.1%} | {decoded:.0f} | {above:.0f} |", flush=True)
    ratios = sorted(one["wall"] / two["wall"] for one, two in zip(runs[1], runs[2], strict=True))
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"one thread takes {statistics.median(ratios):.2f} times as long as two (each round: {told})")


if __name__ == "__main__":
    main()
