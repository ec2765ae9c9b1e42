"""The demo's network and data: a small residual CNN on scikit-learn's 8x8 handwritten digits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from ..compiler.errors import UserError
from ..compiler.training import Data


class DigitsNet(nn.Module):
    """Convolution, one residual block and a linear classifier, with batch norm. Input (N, 1, 8, 8), output (N, 10)."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.head = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * width, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        scores: Tensor = self.head(torch.relu(x + self.branch(x)))
        return scores


def digits_net() -> nn.Module:
    """The demo's network, freshly initialized from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DigitsNet()


def digits() -> Data:
    """1,797 images of 8x8 pixels in [0, 1]: 1,437 to train on, every fifth to be judged by.

    Raises UserError when scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError("the digits need scikit-learn", fix="pip install 'lowbit[demo]'") from None
    table = load_digits()
    images = torch.from_numpy(table.images.astype(np.float32) / 16).unsqueeze(1)
    labels = torch.from_numpy(table.target.astype(np.int64))
    held_out = torch.arange(len(labels)) % 5 == 0
    return Data(TensorDataset(images[~held_out], labels[~held_out]), TensorDataset(images[held_out], labels[held_out]))
