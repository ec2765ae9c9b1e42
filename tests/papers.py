"""The formulas of quantizers as their papers have them, in plain tensors: what the laws compare with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from lowbit.compiler.grid import best_scale
from lowbit.compiler.quantizing import quantizer
from torch import Tensor


def half_up(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5)


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0).double()


def q(x: Tensor, k: int) -> Tensor:
    """q_k of DoReFa."""
    return half_up((2**k - 1) * x) / (2**k - 1)


def dorefa(w: Tensor, k: int, peak: bool) -> Tensor:
    if k == 1:
        return w.abs().mean() * sign(w)
    size = w.abs().max() if peak else 1.0
    return (2 * q(w.tanh() / (2 * w.tanh().abs().max()) + 0.5, k) - 1) * size


def wrpn(w: Tensor, k: int, peak: bool) -> Tensor:
    size = w.abs().max() if peak else torch.ones((), dtype=w.dtype)
    n = 2 ** (k - 1) - 1
    return half_up((w / size).clamp(-1, 1) * n) / n * size


def twn(w: Tensor) -> Tensor:
    t = 0.7 * w.abs().mean()
    large = w.abs() > t
    return w[large].abs().mean() * w.sign() * large


def squantizer(w: Tensor, k: int, sigma: float) -> Tensor:
    t = w.abs().mean() + sigma * (w.abs() - w.abs().mean()).square().mean().sqrt()
    s = w.abs().max() / (2 ** (k - 1) - 1)
    return half_up(torch.where(w.abs() >= t, w, 0.0) / s) * s


def waveq(w: Tensor, k: int) -> Tensor:
    s = w.abs().max() / (2 ** (k - 1) - 1)
    return half_up(w / s) * s


def lsq(w: Tensor, k: int) -> Tensor:
    if k == 1:
        return w.abs().mean() * sign(w)
    q_n, q_p = 2 ** (k - 1), 2 ** (k - 1) - 1
    s = 2 * w.abs().mean() / math.sqrt(q_p)
    return half_up((w / s).clamp(-q_n, q_p)) * s


def learned(w: Tensor, k: int, power: bool) -> Tensor:
    """The scale by brute force, over scales and then by least squares on the integers it gives."""
    scale = float(best_scale(w, quantizer("learned").weight_grid(k)))
    scale = 2.0 ** math.floor(math.log2(scale) + 0.5) if power else scale
    if k == 1:
        return sign(w) * scale
    n = 2 ** (k - 1) - 1
    return half_up(w / scale).clamp(-n, n) * scale


FORMULAS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "binary": lambda w, k: w.abs().mean() * sign(w),
    "dorefa": lambda w, k: dorefa(w, k, peak=False),
    "learned": lambda w, k: learned(w, k, power=False),
    "lsq": lsq,
    "power_of_two": lambda w, k: learned(w, k, power=True),
    "squantizer": lambda w, k: squantizer(w, k, sigma=0.0),
    "ternary": lambda w, k: twn(w),
    "waveq": waveq,
    "wrpn": lambda w, k: wrpn(w, k, peak=False),
}
