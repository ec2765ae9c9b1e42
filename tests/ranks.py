"""Data parallel training by torchrun: torchrun ranks.py FOLDER. Each process takes its share of every global batch."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lowbit import Prepared, read_recipe
from lowbit.compiler.sketches.sketch import network
from lowbit.recipes import shipped
from prepared import prepared
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

SKETCH = "conv(6) relu [ conv(6) relu conv(6) ] + relu gap linear(8) relu linear(3)"
"""Without batch norm, which under DistributedDataParallel takes the statistics of each process's own share."""
STEPS, GLOBAL = 12, 16
TRAINED = [name for name in shipped() if not read_recipe(name).post_training]


def batch(step: int) -> tuple[Tensor, Tensor]:
    """The global batch of a step."""
    drawn = torch.Generator().manual_seed(step)
    shape = network(SKETCH)[1].shape[1:]
    x = torch.randn(GLOBAL, *shape, generator=drawn, dtype=torch.float64)
    return x, torch.randint(3, (GLOBAL,), generator=drawn)


def begun(recipe: str) -> tuple[Prepared, torch.optim.Optimizer]:
    """A prepared module in float64, so that only sums in another order differ, and its optimizer."""
    module = prepared(SKETCH, recipe, torch.float64, STEPS)
    return module, torch.optim.Adam(module.parameter_groups(0.01, 1e-4))


def advance(
    module: Prepared, call: Any, optimizer: torch.optim.Optimizer, share: tuple[Tensor, Tensor]
) -> dict[str, Any]:
    """One training step as in the README, and the state behind it."""
    x, y = share
    optimizer.zero_grad()
    (F.cross_entropy(call(x), y) + module.regularization()).backward()
    optimizer.step()
    module.step()
    return copy.deepcopy({"module": dict(module.state_dict()), "optimizer": optimizer.state_dict()})


def trained(recipe: str, rank: int, world: int) -> list[dict[str, Any]]:
    """The state behind each step on this process's share of the global batches."""
    module, optimizer = begun(recipe)
    call = DistributedDataParallel(module)
    shares = [tuple(part.chunk(world)[rank] for part in batch(step)) for step in range(STEPS)]
    return [advance(module, call, optimizer, (x, y)) for x, y in shares]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.save({name: trained(name, rank, world) for name in TRAINED}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
