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
from lowbit.compiler.capture import capture
from lowbit.compiler.sketches.sketch import network
from lowbit.recipes import shipped
from modules import CASES, PLAIN, Residual, gradients, loss, quantized, seeded
from prepared import prepared
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

SKETCH = "conv(6) relu [ conv(6) relu conv(6) ] + relu gap linear(8) relu linear(3)"
"""Without batch norm, which under DistributedDataParallel takes the statistics of each process's own share."""
STEPS, GLOBAL = 5, 16
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


def twins() -> tuple[nn.Module, nn.Module]:
    """A residual network with batch norm whose every parameter is used, and its captured twin."""
    torch.manual_seed(0)
    model = Residual(spare=False)
    return model, Prepared(capture(copy.deepcopy(model), CASES["residual"].args), PLAIN)


def stepped(module: nn.Module, seeds: range) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Gradients of the last batch, and the state, after a distributed step on a batch of each seed."""
    wrapped = DistributedDataParallel(module)
    regularization = getattr(module, "regularization", lambda: torch.zeros(()))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    shape = CASES["residual"].args[0].shape
    for seed in seeds:
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        (loss(seeded(wrapped, (x,), {}, seed)) + regularization()).backward()
        optimizer.step()
        getattr(module, "step", lambda: None)()
    return gradients(module), dict(module.state_dict())


def apart(rank: int) -> dict[str, tuple[dict[str, Tensor], dict[str, Any]]]:
    """Other data in each process, and at first other statistics, which the first process's replace."""
    plain, ours = twins()
    modules = {"plain": plain, "ours": ours, "recipe": quantized().train()}
    for module in modules.values():
        module.get_buffer("norm.running_mean").fill_(float(rank))
    return {name: stepped(module, range(10 * rank, 10 * rank + 3)) for name, module in modules.items()}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    recipes = {name: trained(name, rank, world) for name in TRAINED}
    torch.save({"recipes": recipes, "apart": apart(rank)}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
