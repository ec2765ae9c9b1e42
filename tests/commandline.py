"""What the tests of the command line have in common: a source of models and data, a recipe, a call of compile."""

from __future__ import annotations

SOURCES = """
import torch, lowbit
from torch import nn
from torch.utils.data import TensorDataset

class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))

def branch():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Branch())

class Running(nn.Module):
    def forward(self, x):
        return x.cumsum(1)

def running():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3), Running())

def broken():
    raise RuntimeError("no weights here")

def number():
    return 7

def data(size=4):
    x, y = torch.rand(24, 1, size, size), torch.arange(24) % 3
    return lowbit.Data(TensorDataset(x, y), TensorDataset(x, y))

def wide():
    return data(5)
"""
RECIPE = """
name = "small"
[[prepare]]
use = "insert_fake_quant"
weight_bits = 4
"""


def compiling(source: str = "net.py:net", recipe: str = "r.toml", data: str = "net.py:data") -> tuple[str, ...]:
    return ("compile", source, "--recipe", recipe, "--data", data, "-o", "out.lowbit", "--epochs", "0")
