"""How capture grows with the graph: residual chains of about 1,000, 3,000 and 10,000 nodes.

    python benchmarks/capture_growth.py [--blocks 67,200,667]

CPU seconds, one thread: a bare torch.export with the same dynamic batch, capture without and with its verification, and
the canonical text of the graph. A cost that is linear in the graph keeps its milliseconds a node.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch
from lowbit.compiler.capture import capture
from lowbit.compiler.text import text
from torch import Tensor, nn
from zoo.subject import bare_export


class Block(nn.Module):
    """A residual block of two normed layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.second(torch.relu(self.norm(self.first(x)))))


def chain(blocks: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(Block(8) for _ in range(blocks)))


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = run()
    return time.process_time() - began, result


def measured(blocks: int) -> tuple[int, list[float]]:
    """The nodes of the graph, and the seconds of: export, capture, verified capture, text."""
    given: Any = ((torch.randn(4, 8),), {})
    export, _ = seconds(lambda: bare_export(chain(blocks), given))
    alone, graph = seconds(lambda: capture(chain(blocks), *given, verify=False))
    verified, _ = seconds(lambda: capture(chain(blocks), *given))
    printed, _ = seconds(lambda: text(graph))
    return len(graph.nodes), [export, alone, verified, printed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", default="67,200,667", help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)
    measured(3)  # what only the first capture of a process pays
    print(f"{date.today()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| nodes | torch.export | capture | with verification | text | ms a node: export, capture, verified, text |")
    print("| --- " * 6 + "|")
    for blocks in map(int, args.blocks.split(",")):
        nodes, spent = measured(blocks)
        each = ", ".join(f"{1000 * one / nodes:.2f}" for one in spent)
        print(f"| {nodes:,} | {' | '.join(f'{one:.1f} s' for one in spent)} | {each} |", flush=True)


if __name__ == "__main__":
    main()
