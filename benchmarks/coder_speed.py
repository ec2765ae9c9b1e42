"""Speed of context mixing and rans beside NNCodec's, one thread, on the large tensors of IMDN at 4 bits.

    python benchmarks/coder_speed.py --data DIR [--rounds 9]

Millions of weights a second of CPU time: median and quartiles over rounds, in each of which every coder has its turn,
so that a busy machine slows all alike. NNCodec as in coder_size.py, if its extension can be imported.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from coder_size import MODELS, imported, rounded
from lowbit.backends.codec import Words, codecs
from lowbit.backends.mixing import form, search
from lowbit.backends.mixing.settings import LITE, MAX, OLDER_LITE, Grid

LARGE = 30_000
LEVELS = {"cm": LITE, "cm_max": MAX, "older_cm": OLDER_LITE}
Tasks = dict[str, Callable[[], object]]


def mixing(tensors: list[Words], level: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """What encodes all tensors, settings known, and what decodes them."""
    flat = [(tensor.reshape(-1), Grid.of(tensor.shape)) for tensor in tensors]
    chosen = [search.settings_of(values, grid, 0, level) for values, grid in flat]
    pairs = list(zip(flat, chosen, strict=True))

    def encode() -> list[bytes]:
        return [form.encode(values, level, settings, grid) for (values, grid), settings in pairs]

    data, out = encode(), [np.empty_like(values) for values, _ in flat]

    def decode() -> list[bool]:
        each = zip(data, pairs, out, strict=True)
        return [form.decode(stream, level, settings, grid, to) for stream, ((_, grid), settings), to in each]

    assert all(decode())
    assert all(np.array_equal(found, values) for found, (values, _) in zip(out, flat, strict=True))
    return encode, decode


def nncodec(tensors: list[Words], module: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """The same of NNCodec."""
    rows = [np.ascontiguousarray(tensor.reshape(len(tensor), -1), dtype=np.int32) for tensor in tensors]
    off, none = module.HdspMode.AlwaysOff, np.zeros(0, np.int8)

    def encoded(values: Any) -> Any:
        empty, encoder = (~values.any(axis=1)).astype(np.int32), module.Encoder()
        encoder.initCtxModels(11, 1)
        encoder.encodeLayer(values, 0, 0, 1, 0, int(empty.any()), empty, off, none, 0, 0)
        return encoder.finish()

    def decoded(data: Any, like: Any) -> Any:
        decoder, out = module.Decoder(), np.zeros_like(like)
        decoder.setStream(data)
        decoder.initCtxModels(11)
        decoder.decodeLayer(out, 0, 0, 1, 0, off, none, 0, 0)
        decoder.finish()
        return out

    data = [encoded(values) for values in rows]
    assert all(np.array_equal(decoded(d, r), r) for d, r in zip(data, rows, strict=True))
    decoding = lambda: [decoded(d, r) for d, r in zip(data, rows, strict=True)]  # noqa: E731
    return lambda: [encoded(values) for values in rows], decoding


def tasks(tensors: list[Words]) -> Tasks:
    """Name -> what is timed."""
    found: Tasks = {}
    for name, level in LEVELS.items():
        found[f"{name}, encode"], found[f"{name}, decode"] = mixing(tensors, level)
    rans = codecs()["rans"]
    streams = [(rans.encode(tensor), tensor.shape) for tensor in tensors]
    found["rans, decode"] = lambda: [rans.decode(data, shape) for data, shape in streams]
    module = imported("deepCABAC") or imported("nncodec.extensions.deepCABAC")
    if module:
        found["NNCodec, encode"], found["NNCodec, decode"] = nncodec(tensors, module)
    return found


def table(tensors: list[Words], rounds: int) -> Iterator[str]:
    """Markdown."""
    timed, every = tasks(tensors), [list[float]() for _ in range(rounds)]
    for taken in every:
        for task in timed.values():
            start = time.process_time()
            task()
            taken.append(sum(tensor.size for tensor in tensors) / 1e6 / (time.process_time() - start))
    yield "| coder | M weights a second | quartiles |\n| --- | --- | --- |"
    for name, speeds in zip(timed, np.array(every).T, strict=True):
        low, middle, high = np.percentile(speeds, [25, 50, 75])
        yield f"| {name} | {middle:.1f} | {low:.1f} to {high:.1f} |"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    tensors = [rounded(tensor, 4) for tensor in MODELS["imdn"](arguments.data) if tensor.size > LARGE]
    print("\n".join(table(tensors, arguments.rounds)))


if __name__ == "__main__":
    main()
