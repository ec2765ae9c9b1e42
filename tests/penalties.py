"""What the suites of penalties share: lines that attach one, a run that measures it, recipes of several."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from lowbit.api import passes
from lowbit.compiler.quantizer import FOLDER, Quantizer
from lowbit.compiler.registry import members
from lowbit.testing import graph
from lowbit.testing.observed import Watched
from torch import Tensor

ATTACH = sorted(name for name in passes() if name.startswith("attach_"))
SKETCH = "conv(3) bn relu [ conv(3) relu ] + gap linear(3)"
every_penalty = pytest.mark.parametrize("name", ATTACH)
scoped = {"attach_waveq": "waveq"}
"""Penalties that need a quantizer of their own; the others take any."""


def grids(quantizer: str) -> str:
    """The stage that puts edges on the grids of a quantizer: of weights, of hidden activations, or of both."""
    made = members(FOLDER, Quantizer)[quantizer]
    bits = min(max(3, made.least), made.most)
    names = [f"{kind}='{quantizer}'" for kind in ("weights", "activations") if getattr(made, kind)]
    return f"insert_fake_quant({', '.join(names)}, weight_bits={bits}, activation_bits=4)"


def stages(name: str, quantizer: str, options: str = "") -> str:
    return f"{SKETCH} | {grids(quantizer)} | {name}({options})"


def home(name: str) -> str:
    """A quantizer that the penalty goes with."""
    return scoped.get(name, "learned")


@cache
def _runner(line: str) -> Watched:
    """Its parameters a little away from where they were made, where R is zero of scales that are not calibrated."""
    runner = Watched(graph(line), ties=False)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in runner.module.parameters():
            p.add_(torch.rand(p.shape, generator=generator, dtype=p.dtype), alpha=2.0**-4)
    return runner


def measured(line: str) -> tuple[list[str], dict[str, tuple[Tensor, ...]], dict[str, Tensor]]:
    """Names of the penalties that the last stage added; of each the term, R and lambda of a run; the parameters."""
    runner = _runner(line)
    old = graph(line.rpartition("|")[0]).penalties
    torch.manual_seed(0)
    run = {name: tuple(map(torch.as_tensor, parts)) for name, parts in runner.run(*runner.given)[1].items()}
    return [name for name in run if name not in old], run, dict(runner.module.named_parameters())


def recipe(*uses: str) -> str:
    return f'\nprepare = [{{use = "insert_fake_quant", weight_bits = 3}}, {", ".join(uses)}]'
