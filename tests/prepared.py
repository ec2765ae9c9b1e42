"""Networks prepared by shipped recipes: small residual ones with batch norm, drawn as sketches and trained a little."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from unittest.mock import patch

import torch
import torch.nn.functional as F
from lowbit import Prepared, api, calibrate, capture, prepare
from lowbit.api import passes
from lowbit.compiler.recipe import Recipe, parse
from lowbit.compiler.sketches.sketch import network
from torch import Tensor

STEPS = 20
RESIDUAL = (
    "conv(4) bn relu [ conv(4) bn relu conv(4) bn ] + relu gap linear(3)",
    "input(1,9,7) conv(6,nobias) bn relu(inplace) maxpool [ conv(6,groups=6) bn(noaffine) ] + relu flatten linear(3)",
    "input(2,8,8) conv(4,stride=2) bn(eval) relu [ conv(4,k=1) ] + avgpool relu linear(5) relu linear(3)",
    "input(2,8,8) conv(4,nobias) bn relu short(1) [ conv(6) bn ] + relu gap linear(3)",
    "input(2,6,4) conv(8) shuffle(2) bn relu swap conv(4) swap bn relu6 pixels(2) unpixels(2) linear(3)",
)


def pairs(recipes: Iterable[str]) -> list[tuple[str, str]]:
    """(network, recipe): the recipes in turn on the networks, and every network under `choi2020`."""
    found = [(RESIDUAL[i % len(RESIDUAL)], recipe) for i, recipe in enumerate(recipes)]
    return list(dict.fromkeys([*found, *((sketch, "choi2020") for sketch in RESIDUAL)]))


def batch(sketch: str, size: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs and classes."""
    generator = torch.Generator().manual_seed(seed)
    shape = network(sketch)[1].shape[1:]
    return torch.randn(size, *shape, generator=generator), torch.randint(3, (size,), generator=generator)


@cache
def _captured(sketch: str, dtype: torch.dtype) -> Prepared:
    model, x = network(sketch)
    return capture(model.to(dtype), (x.to(dtype),))


@cache
def _prepared(sketch: str, recipe: str, dtype: torch.dtype, steps: int) -> Prepared:
    """As `prepare` makes it, but all recipes of a network have one capture: half of the time."""
    model, x = network(sketch)
    graph = copy.deepcopy(_captured(sketch, dtype)).graph
    with patch.object(api, "capture_graph", lambda *args, **kwargs: graph):
        ours = prepare(model.to(dtype), (x.to(dtype),), custom(recipe) if "\n" in recipe else recipe, steps=steps)
    calibrate(ours, [batch(sketch)[0].to(dtype)])
    return ours.train()


def prepared(sketch: str, recipe: str, dtype: torch.dtype = torch.float32, steps: int = STEPS) -> Prepared:
    """A fresh copy of the network under a recipe: a shipped one by name, or TOML."""
    return copy.deepcopy(_prepared(sketch, recipe, dtype, steps))


def custom(toml: str) -> Recipe:
    """A recipe of this test alone."""
    return parse(toml, passes())


def optimizer(module: Prepared) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameter_groups(lr=0.01, weight_decay=1e-4))


def train(
    module: Prepared,
    sketch: str,
    first: int,
    last: int,
    opt: torch.optim.Optimizer,
    each: Callable[[int], None] = lambda step: None,
) -> None:
    """Steps first..last-1, each on a batch of its own."""
    module.train()
    for step in range(first, last):
        x, y = batch(sketch, seed=step)
        x = x.to(next(module.parameters()).dtype)
        opt.zero_grad()
        (F.cross_entropy(module(x), y) + module.regularization()).backward()
        opt.step()
        module.step()
        each(step)
