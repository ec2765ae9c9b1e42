"""Unrounded: runs a graph in float, every grid an identity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx


class Unrounded(fx.Interpreter):
    """Runs a graph as it would be without grids, and without gradient."""

    def met(self, grid: fx.Node, x: Tensor) -> None:
        """Told what arrives at each grid."""

    @torch.no_grad()
    def run_node(self, n: fx.Node) -> Any:
        if n.target is not torch.ops.lowbit.fake_quantize.default:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        x: Tensor = args[0] if args else kwargs["x"]
        self.met(n, x)
        return x.clone()  # an in-place call behind it must not reach the caller's data
