"""Time of compiled C over that of ONNX Runtime, OpenVINO and torch, all in one process; and errors at the extremes.

    pip install onnx onnxruntime openvino             # optional: without them torch alone stands beside
    python benchmarks/c99_speed.py [--networks lenet5,resnet20] [--forms 8,4] [--batches 1,16] [--threads 1,2]
                                   [--rounds 300] [--data DIR] [--errors]

Our programs are those of `ptq8` with weights of 8 bits, of 4, ternary (2), and of 4 bits of which the least nine
tenths are zeros (4z); activations have 8 bits. The peers run the same network in float and quantized (QDQ, signed
weights of 8 bits, one scale a channel); their time does not depend on the weights. Each call takes and gives real
numbers, ours with `program.run(x, target="c99")`. All take turns in an order that changes from round to round; with
several threads each waits until those of the one before sleep, and runs once before it is timed. The figure is the
ratio to ONNX Runtime's 8 bits in the same round: the median, and the quartiles. --data: ResNet-20 and MobileNet-v2 have
trained weights; the others are as torch begins them.

--errors: no times. All weights of a layer are alike, and so are all inputs: every weight is the greatest integer, and
every activation far from a border too. The figure is the greatest difference from the network in float, over the
greatest output. Runtimes that add products of bytes in 16 bits, which saturate, are wrong there, on processors without
other instructions.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
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
from networks.resnet18 import ResNet18
from networks.resnet20 import ResNet20, trained
from peers.runtimes import ONNX_8, Run, runtimes
from torch import Tensor, nn

FLOAT = "torch, float"
AWAKE = 0.02
"""Seconds for which a pool of threads may wait actively."""
FORMS = {"8": (8, 0.0), "4": (4, 0.0), "2": (2, 0.0), "4z": (4, 0.9)}
"""Bits of weights, and the share of them that is made zero before they are rounded."""
NAMES = {"8": "c99, 8 bits", "4": "c99, 4 bits", "2": "c99, ternary", "4z": "c99, 4 bits, 90 % zeros"}


def lenet5() -> nn.Module:
    """LeNet-5 for 28x28, with rectifiers and max pooling."""
    features = [nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU()]
    head = [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()]
    return nn.Sequential(*features, *head, nn.Linear(84, 10))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet5": (lenet5, (1, 28, 28)),
    "resnet20": (ResNet20, (3, 32, 32)),
    "mobilenet_v2": (MobileNetV2, (3, 224, 224)),
    "resnet18": (ResNet18, (3, 224, 224)),
    "espcn": (ESPCN, (1, 128, 128)),
}
TRAINED: dict[str, Callable[[Path], nn.Module]] = {
    "resnet20": trained,
    "mobilenet_v2": lambda folder: Listed(folder / "weights/graphs/mobilenet_v2_1.0_224.npz"),
}


def ours(model: nn.Module, x: Tensor, form: str) -> lowbit.Compiled:
    """The integer program; its outputs in C are checked against those of another target."""
    bits, zeros = FORMS[form]
    recipe = override(lowbit.read_recipe("ptq8"), [f"insert_fake_quant.weight_bits={bits}"])
    program = lowbit.lower(lowbit.prepare(pruned(model, zeros), (x,), recipe))
    assert all(map(np.array_equal, program.run(x[:1], target="c99"), program.run(x[:1], target="torch")))
    return program


def pruned(model: nn.Module, zeros: float) -> nn.Module:
    """A copy without that share of the least weights of each layer."""
    copy = deepcopy(model)
    for layer in copy.modules():
        if zeros and isinstance(layer, (nn.Conv2d, nn.Linear)):
            magnitude = layer.weight.data.abs()
            layer.weight.data[magnitude <= magnitude.flatten().kthvalue(int(zeros * magnitude.numel())).values] = 0
    return copy


def alike(model: nn.Module) -> nn.Module:
    """A copy whose layers are means of what they see: all weights alike, no bias, batch norms that do nothing."""
    copy = deepcopy(model)
    for layer in copy.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
        elif isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.weight.data.fill_(1 / layer.weight[0].numel())
            if layer.bias is not None:
                layer.bias.data.zero_()
    return copy


def measure(runs: dict[str, Run], rounds: int, alone: bool) -> dict[str, list[float]]:
    """Seconds of each, round by round. alone: no thread of another waits actively meanwhile."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    for number in range(rounds + 3):
        random.shuffle(order)
        for name in order:
            if alone:
                time.sleep(AWAKE)
                runs[name]()
            start = time.perf_counter()
            runs[name]()
            if number >= 3:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def tell(case: str, seconds: dict[str, list[float]]) -> None:
    base = ONNX_8 if ONNX_8 in seconds else FLOAT
    for name, times in seconds.items():
        ratios = [own / other for own, other in zip(times, seconds[base], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        least = min(times) * 1e3
        print(f"| {case} | {name} | {middle:.2f} ({low:.2f}-{high:.2f}) | {least:.3f} ms |", flush=True)


def times(network: str, model: nn.Module, x: Tensor, options: argparse.Namespace) -> None:
    """A row for each of ours and theirs, for each size of batch and number of threads."""
    programs = {NAMES[form]: ours(model, x[:4], form) for form in options.forms.split(",")}
    for batch in map(int, options.batches.split(",")):
        given = x[:batch]
        for threads in map(int, options.threads.split(",")):
            torch.set_num_threads(threads)
            runs: dict[str, Run] = {
                name: partial(program.run, given, target="c99") for name, program in programs.items()
            }
            runs |= {**runtimes(model, x, batch, threads), FLOAT: partial(model, given)}
            tell(f"{network} | {batch} | {threads}", measure(runs, options.rounds, threads > 1))
    torch.set_num_threads(1)


def errors(network: str, model: nn.Module, x: Tensor) -> None:
    """A row for each, of the greatest weights and inputs."""
    model, x = alike(model), torch.ones_like(x)
    right = model(x[:1]).numpy()
    program = ours(model, x[:4], "8")
    runs: dict[str, Run] = {NAMES["8"]: partial(program.run, x[:1], target="c99"), **runtimes(model, x[:4], 1, 1)}
    for name, run in runs.items():
        error = float(np.abs(np.asarray(run()[0]) - right).max() / np.abs(right).max())
        print(f"| {network} | {name} | {100 * error:.2f} % |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="default: %(default)s")
    parser.add_argument("--forms", default=",".join(FORMS), help="default: %(default)s")
    parser.add_argument("--batches", default="1", help="samples in a call; default: %(default)s")
    parser.add_argument("--threads", default="1", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=300, help="at least 2; default: %(default)s")
    parser.add_argument("--data", default=os.environ.get("LOWBIT_DATA"), help="folder with trained weights")
    parser.add_argument("--errors", action="store_true", help="errors at the greatest weights and inputs, no times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    what = "error" if options.errors else f"batch, threads, ratio to {ONNX_8}: median (quartiles), least time"
    print(f"{platform.machine()}, torch {torch.__version__}; {what}")
    for network in options.networks.split(","):
        build, sizes = NETWORKS[network]
        known = options.data and network in TRAINED
        model = (TRAINED[network](Path(options.data)) if known else build()).eval()
        x = torch.randn(max(4, *map(int, options.batches.split(","))), *sizes)
        with torch.inference_mode():
            errors(network, model, x) if options.errors else times(network, model, x, options)


if __name__ == "__main__":
    main()
