"""How capture grows with the graph: CPU seconds of a bare export, of capture, of verified capture and of printing.

python benchmarks/capture_growth.py                 # 1,000, 3,000 and 10,000 nodes, interleaved, best of 2
python benchmarks/capture_growth.py --nodes 1000 --repeats 1
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.graph import Graph
from lowbit.compiler.text import text
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block, with an addition and an activation in place."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.1)
        self.second = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.drop(self.act(self.norm(self.first(x)))))
        y += x
        return y


def chain(nodes: int) -> nn.Module:
    """Residual blocks whose captured graph has about that many nodes, tensors among them."""
    count = len(capture(nn.Sequential(Block()), (example(),), verify=False).nodes) - 2
    return nn.Sequential(*(Block() for _ in range(round(nodes / count))))


def example() -> Tensor:
    return torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def bare(model: nn.Module) -> None:
    """What capture calls torch for, and no more."""
    torch.export.export(model, (example(),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), strict=False)


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(nodes: int, repeats: int) -> dict[str, float]:
    """The best time of each, in seconds, of models made anew, one after the other in every round."""
    best: dict[str, float] = {}
    graph: list[Graph] = []
    for _ in range(repeats):
        model = chain(nodes).train()
        rounds: dict[str, Callable[[], object]] = {
            "export": lambda model=model: bare(model),
            "capture": lambda model=model: graph.append(capture(model, (example(),), verify=False)),
            "verified": lambda model=model: capture(model, (example(),)),
            "printed": lambda: text(graph[-1], origins=True),
        }
        for name, work in rounds.items():
            best[name] = min(best.get(name, float("inf")), timed(work))
    return {"nodes": len(graph[-1].nodes), **best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}\n")
    print(
        "| nodes | export s | capture s | verified s | printed s | capture / export | verified / export | ms a node |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for nodes in given.nodes:
        found = measure(nodes, given.repeats)
        seconds = [found[name] for name in ("export", "capture", "verified", "printed")]
        ratios = [found["capture"] / found["export"], found["verified"] / found["export"]]
        cells = [f"{found['nodes']:,.0f}", *(f"{x:.2f}" for x in (*seconds, *ratios)), ""]
        print("| " + " | ".join([*cells[:-1], f"{1000 * found['verified'] / found['nodes']:.2f}"]) + " |", flush=True)


if __name__ == "__main__":
    main()
