"""Time of one sample in compiled C over that of torch and ONNX Runtime, one thread, all in one process.

    pip install onnx onnxruntime                      # optional: without them torch alone stands beside
    python benchmarks/c99_speed.py [--networks lenet5,resnet20,mobilenet_v2,espcn] [--rounds 300] [--data DIR]

Our programs are those of `ptq8` with weights of 8 bits, of 4, ternary, and of 4 bits of which the least nine tenths are
zeros; activations have 8 bits. ONNX Runtime runs the same network in float and quantized (QDQ, signed weights of 8
bits, one scale a channel); its time does not depend on the weights. All take turns, one sample each, in an order that
changes from round to round; the figure is the ratio to ONNX Runtime's 8 bits in the same round: the median, and the
quartiles. --data: ResNet-20 and MobileNet-v2 have trained weights; the others are as torch begins them.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import lowbit
import numpy as np
import torch
from lowbit.compiler.settings import override
from networks.espcn import ESPCN
from networks.listed import Listed
from networks.mobilenet_v2 import MobileNetV2
from networks.resnet20 import ResNet20, trained
from torch import Tensor, nn

Run = Callable[[], object]
BASE = "onnxruntime, 8 bits"
FLOAT = "torch, float"
FORMS = {
    "c99, 8 bits": (8, 0.0),
    "c99, 4 bits": (4, 0.0),
    "c99, ternary": (2, 0.0),
    "c99, 4 bits, 90 % zeros": (4, 0.9),
}
"""Bits of weights, and the share of them that is made zero before they are rounded."""


def lenet5() -> nn.Module:
    """LeNet-5 for 28x28, with rectifiers and max pooling."""
    features = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
    return nn.Sequential(*features, *head, nn.Linear(84, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet5": (lenet5, (1, 28, 28)),
    "resnet20": (ResNet20, (3, 32, 32)),
    "mobilenet_v2": (MobileNetV2, (3, 224, 224)),
    "espcn": (ESPCN, (1, 128, 128)),
}
TRAINED: dict[str, Callable[[Path], nn.Module]] = {
    "resnet20": trained,
    "mobilenet_v2": lambda folder: Listed(folder / "weights/graphs/mobilenet_v2_1.0_224.npz"),
}


def ours(model: nn.Module, x: Tensor, bits: int, zeros: float) -> Run:
    """The integer program on one sample; its outputs are checked against another target once."""
    recipe = override(lowbit.read_recipe("ptq8"), [f"insert_fake_quant.weight_bits={bits}"])
    program = lowbit.lower(lowbit.prepare(pruned(model, zeros), (x,), recipe))
    (given,) = program.quantize(x[:1])
    expected = program.run_integers(given, target="torch")
    assert all(map(np.array_equal, program.run_integers(given, target="c99"), expected))
    return lambda: program.run_integers(given, target="c99")


def pruned(model: nn.Module, zeros: float) -> nn.Module:
    """A copy without that share of the least weights of each layer."""
    copy = deepcopy(model)
    for layer in copy.modules():
        if zeros and isinstance(layer, (nn.Conv2d, nn.Linear)):
            magnitude = layer.weight.data.abs()
            layer.weight.data[magnitude <= magnitude.flatten().kthvalue(int(zeros * magnitude.numel())).values] = 0
    return copy


def peers(model: nn.Module, x: Tensor) -> dict[str, Run]:
    """ONNX Runtime in float and in 8 bits, where it is installed."""
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        return {}
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"x": sample[None].numpy()} for sample in x]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    found: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as folder:
        whole, narrow = os.path.join(folder, "float.onnx"), os.path.join(folder, "int8.onnx")
        torch.onnx.export(model, (x[:1],), whole, input_names=["x"], dynamo=False, opset_version=17)
        types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        quantize_static(whole, narrow, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, **types)
        for name, path in ((BASE, narrow), ("onnxruntime, float", whole)):
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            found[name] = partial(session.run, None, {"x": x[:1].numpy()})
    return found


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for number in range(rounds + 3):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            runs[name]()
            if number >= 3:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def tell(network: str, seconds: dict[str, list[float]]) -> None:
    base = BASE if BASE in seconds else FLOAT
    for name, times in seconds.items():
        ratios = [own / other for own, other in zip(times, seconds[base], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        least = min(times) * 1e3
        print(f"| {network} | {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {least:.3f} ms |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--data", default=os.environ.get("LOWBIT_DATA"), help="folder with trained weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"{platform.machine()}, torch {torch.__version__}, one thread; ratio to {BASE}: median (quartiles), least time"
    )
    for network in options.networks.split(","):
        build, sizes = NETWORKS[network]
        model = (TRAINED[network](Path(options.data)) if options.data and network in TRAINED else build()).eval()
        x = torch.randn(4, *sizes)
        runs = {form: ours(model, x, *numbers) for form, numbers in FORMS.items()}
        runs |= {**peers(model, x), FLOAT: partial(model, x[:1])}
        with torch.inference_mode():
            tell(network, measure(runs, options.rounds))


if __name__ == "__main__":
    main()
