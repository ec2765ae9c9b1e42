"""How rewriting grows with the graph: CPU seconds of every pass of a recipe, and of the checks around them.

python benchmarks/rewrite_growth.py                 # 1,000, 3,000 and 10,000 nodes, and ResNet-152
python benchmarks/rewrite_growth.py --nodes 1000 --no-resnet --recipe ptq8
python benchmarks/rewrite_growth.py --no-resnet --width 256 --kernel 1 --sparsity 0.9   # units that go and move
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from lowbit.api import read_recipe
from lowbit.backends.lowering.lower import lower
from lowbit.compiler import pipeline
from lowbit.compiler.calibrate import calibrate
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.modes import evaluated
from lowbit.compiler.pipeline import Use
from lowbit.compiler.recipe import Recipe
from lowbit.recipes import shipped
from torch import Tensor, nn

STEPS = 1000
VERIFY, CAPTURE, CALIBRATE, LOWER = "verification", "capture", "calibration", "lowering"
STAGES = (CAPTURE, VERIFY, CALIBRATE, LOWER)


class Residual(nn.Module):
    """A residual block: each sum is read twice."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        self.last = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.second(torch.relu(self.norm(self.first(x)))))
        return torch.relu(y + x)


def chain(nodes: int, width: int, kernel: int, sparsity: float) -> tuple[nn.Module, Tensor]:
    """Residual blocks between two layers, whose captured graph has about that many nodes, tensors among them."""

    def made(blocks: int) -> nn.Module:
        ends = nn.Conv2d(3, width, 1), nn.Conv2d(width, 8, 1)
        net = nn.Sequential(ends[0], *(Residual(width, kernel) for _ in range(blocks)), ends[1])
        if sparsity:
            prune(net, sparsity)
        return net

    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    one, two = (len(capture(made(blocks), (x,), verify=False).nodes) for blocks in (1, 2))
    return made(round((nodes - one) / (two - one)) + 1), x


@torch.no_grad()
def prune(net: nn.Module, sparsity: float) -> None:
    """That share of the weights, and every eighth unit between the layers of a block, become zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.mul_(torch.rand_like(layer.weight) >= sparsity)
        if isinstance(layer, Residual):
            layer.first.weight[::8] = 0


class Bottleneck(nn.Module):
    """A block of ResNet-50 and deeper (He et al. 2015): 1x1, 3x3, 1x1 to four times the width."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        short = (nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        self.downsample = nn.Sequential(*short) if stride > 1 or channels != 4 * width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def resnet152() -> tuple[nn.Module, Tensor]:
    """ResNet-152 with random weights, and images of 64 by 64: passes look at graphs, not at pixels."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    parts += [nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate((3, 8, 36, 3)):
        for i in range(depth):
            parts.append(Bottleneck(channels, 64 << stage, 2 if i == 0 and stage else 1))
            channels = 4 * (64 << stage)
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)]
    return nn.Sequential(*parts), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def timed(spent: Counter[str], stage: str, work: Callable[[], Graph]) -> Graph:
    start = time.process_time()
    made = work()
    spent[stage] += time.process_time() - start  # type: ignore[assignment]
    return made


def passed(spent: Counter[str], graph: Graph, uses: Sequence[Use], steps: int | None = None) -> Graph:
    """The graph after the passes; `spent` takes the seconds of each without its checks, and those of the checks."""
    checked, last = spent[VERIFY], time.process_time()

    def end(use: Use, after: Graph) -> None:
        nonlocal checked, last
        now = time.process_time()
        spent[use.name] += (now - last) - (spent[VERIFY] - checked)  # type: ignore[assignment]
        checked, last = spent[VERIFY], now

    return pipeline.run(graph, uses, steps, end).graph


def measure(model: nn.Module, x: Tensor, recipe: Recipe) -> tuple[int, Counter[str]]:
    """The nodes of the captured graph, and the CPU seconds of every stage of a compilation without its training."""
    spent: Counter[str] = Counter()
    verify = pipeline.verify
    pipeline.verify = lambda graph, after: timed(spent, VERIFY, lambda: verify(graph, after))  # type: ignore
    graph = timed(spent, CAPTURE, lambda: capture(model, (x,), verify=False))
    count = len(graph.nodes)
    begun = evaluated(graph) if recipe.post_training else graph
    prepared = passed(spent, begun, recipe.prepare, STEPS)
    timed(spent, CALIBRATE, lambda: calibrate(prepared, [[x]]))  # type: ignore[arg-type, return-value]
    frozen = passed(spent, evaluated(prepared), recipe.lower)
    timed(spent, LOWER, lambda: lower(frozen))  # type: ignore[arg-type, return-value]
    pipeline.verify = verify
    return count, spent


def row(name: str, count: int, spent: Counter[str]) -> str:
    rewriting = sum(seconds for stage, seconds in spent.items() if stage not in STAGES)
    share = spent[VERIFY] / sum(spent.values())
    figures = [f"{rewriting:.2f}", f"{spent[VERIFY]:.2f}", f"{100 * share:.1f} %", f"{1000 * rewriting / count:.2f}"]
    others = [f"{spent[stage]:.2f}" for stage in (CAPTURE, CALIBRATE, LOWER)]
    return f"| {name} | {count:,} | {' | '.join([*figures, *others])} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1000, 3000, 10000])
    parser.add_argument("--width", type=int, default=4, help="channels of each layer of a chain")
    parser.add_argument("--kernel", type=int, default=3, help="side of the kernels of a chain")
    parser.add_argument("--sparsity", type=float, default=0.0, help="share of zeros among the weights of a chain")
    parser.add_argument("--no-resnet", action="store_true")
    recipes = {name: read_recipe(name) for name in shipped()}
    largest = max(recipes, key=lambda name: len(recipes[name].prepare) + len(recipes[name].lower))
    parser.add_argument("--recipe", default=largest, help="by default the one with most passes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| model | nodes | passes s | checks s | checks / all | ms a node | capture s | calibration s | lowering s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    detail: dict[str, dict[str, float]] = {}
    size = (options.width, options.kernel, options.sparsity)
    models = [(f"chain of {nodes:,}", lambda nodes=nodes: chain(nodes, *size)) for nodes in options.nodes]
    for name, make in models + [("ResNet-152", resnet152)] * (not options.no_resnet):
        count, spent = measure(*make(), recipes[options.recipe])
        print(row(name, count, spent), flush=True)
        detail[name] = {stage: 1000 * seconds / count for stage, seconds in spent.items() if stage not in STAGES}
    print(f"\n| ms a node of {options.recipe} | " + " | ".join(detail) + " |\n| --- |" + " --- |" * len(detail))
    for stage in next(iter(detail.values())):
        print(f"| {stage} | " + " | ".join(f"{found[stage]:.3f}" for found in detail.values()) + " |")


if __name__ == "__main__":
    main()
