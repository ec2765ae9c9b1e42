"""Layers: each kind of module of torch.nn that is more than a call, and attention in its forms."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..row import Given, images, noise
from .made import made, pictures, sequences, vectors, whole, words


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, groups=3, padding_mode="reflect"),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 3, stride=2, dilation=2, padding="valid"),
        nn.LeakyReLU(0.1, inplace=True),
        nn.ConvTranspose2d(4, 2, 2, stride=2, output_padding=1),
        nn.Hardswish(inplace=True),
    )


def convolutions_of_three_dimensions() -> nn.Module:
    return nn.Sequential(nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.AdaptiveAvgPool3d(1))


def signals() -> nn.Module:
    return nn.Sequential(nn.Conv1d(5, 4, 3, padding=1), nn.BatchNorm1d(4), nn.GELU(), nn.MaxPool1d(2), nn.Flatten())


def norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.LocalResponseNorm(2)
    )


def instance_norm_with_statistics() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.ReLU())


def layer_norms() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.RMSNorm(8))


def activations() -> nn.Module:
    kinds = (nn.ELU, nn.SELU, nn.CELU, nn.Mish, nn.SiLU, nn.Softplus, nn.Tanhshrink, nn.Hardsigmoid, nn.PReLU, nn.GLU)
    return nn.Sequential(nn.Linear(8, 16), *(kind() for kind in kinds))


def noisy_activations() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.RReLU(), nn.AlphaDropout(0.2), nn.FeatureAlphaDropout(0.2))


def poolings() -> nn.Module:
    return nn.Sequential(
        nn.MaxPool2d(2), nn.Conv2d(3, 4, 1), nn.AvgPool2d(2), nn.LPPool2d(2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten()
    )


for build, inputs in (
    (convolutions, pictures),
    (norms, pictures),
    (instance_norm_with_statistics, pictures),
    (layer_norms, vectors),
    (activations, vectors),
    (noisy_activations, vectors),
    (poolings, pictures),
    (signals, sequences),
):
    whole(build, inputs)


def volumes(batch: int) -> Given:
    return (noise(batch, 2, 4, 4, 4),), {}


whole(convolutions_of_three_dimensions, volumes)


@made(pictures, lambda: {"conv": nn.Conv2d(3, 12, 3, padding=1)})
def pixel_shuffle_and_upsampling(self: Any, x: Tensor) -> Tensor:
    y = F.pixel_shuffle(self.conv(x), 2)
    return F.interpolate(y, scale_factor=0.5, mode="bilinear", align_corners=False) + F.interpolate(
        y[..., ::2, ::2], size=x.shape[-2:], mode="nearest"
    )


@made(lambda b: images(b, 8), lambda: {"local": nn.Sequential(nn.Conv2d(3, 2, 8), nn.Flatten(), nn.Linear(2, 6))})
def spatial_transformer(self: Any, x: Tensor) -> Tensor:
    grid = F.affine_grid(self.local(x).view(-1, 2, 3), x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


@made(words, lambda: {"emb": nn.Embedding(50, 8, padding_idx=3), "out": nn.Linear(8, 4)})
def embeddings(self: Any, x: Tensor) -> Tensor:
    return self.out(self.emb(x).mean(1))


@made(words, lambda: {"bag": nn.EmbeddingBag(50, 8, mode="mean"), "out": nn.Linear(8, 4)})
def embedding_bag(self: Any, x: Tensor) -> Tensor:
    return self.out(self.bag(x))


@made(sequences, lambda: {"attention": nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)})
def multihead_attention(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y, weights = self.attention(x, x, x)
    return x + y, weights


@made(sequences, lambda: {"attention": nn.MultiheadAttention(8, 2, batch_first=True)})
def multihead_attention_with_a_causal_mask(self: Any, x: Tensor) -> Tensor:
    mask = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device), 1)
    return self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]


def transformer_encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def transformer_encoder_with_its_fast_path() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)


whole(transformer_encoder, sequences)
whole(transformer_encoder_with_its_fast_path, sequences)


@made(
    sequences,
    lambda: {"net": nn.Transformer(8, 2, 1, 1, 16, batch_first=True), "start": nn.Parameter(torch.ones(8))},
    pieces=True,  # torch tells by the mask's values whether it is causal
)
def transformer_encoder_and_decoder(self: Any, x: Tensor) -> Tensor:
    target = self.start.expand(x.shape[0], 3, 8)
    return self.net(x, target, tgt_mask=nn.Transformer.generate_square_subsequent_mask(3))


@made(sequences, lambda: {"qkv": nn.Linear(8, 24), "out": nn.Linear(8, 8)})
def attention_by_hand(self: Any, x: Tensor) -> Tensor:
    b, n, c = x.shape
    q, k, v = self.qkv(x).reshape(b, n, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
    scores = F.dropout((q @ k.transpose(-2, -1) * (c // 2) ** -0.5).softmax(-1), 0.1, self.training)
    return self.out((scores @ v).transpose(1, 2).reshape(b, n, c))


@made(sequences, lambda: {"qkv": nn.Linear(8, 24)})
def attention_with_dropout_of_torch(self: Any, x: Tensor) -> Tensor:
    q, k, v = self.qkv(x).view(x.shape[0], -1, 2, 12).transpose(1, 2).chunk(3, -1)
    return F.scaled_dot_product_attention(q, k, v, dropout_p=0.1 if self.training else 0.0, is_causal=True)


@made(sequences, lambda: {"a": nn.Parameter(torch.randn(8, 3)), "b": nn.Bilinear(3, 3, 2)})
def einsum_and_bilinear(self: Any, x: Tensor) -> Tensor:
    y = torch.einsum("bnc,cd->bnd", x, self.a)
    return self.b(y, y.flip(1)) + torch.einsum("bnd,bmd->bn", y, y)[..., None]


@made(
    pictures, lambda: {"cells": nn.Unfold(2, stride=2), "mix": nn.Linear(16, 16), "back": nn.Fold((8, 8), 2, stride=2)}
)
def unfold_and_fold(self: Any, x: Tensor) -> Tensor:
    return self.back(self.mix(self.cells(x)))


@made(vectors, lambda: {"lin": nn.Linear(8, 8), "other": nn.Linear(8, 8)})
def losses_inside(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.lin(x)
    return y, F.mse_loss(y, self.other(x).detach()) + F.cosine_similarity(y, x).mean()
