"""Families of ATen calls: the words in which facts and passes speak of operators."""

from __future__ import annotations

from typing import Any

import torch

from . import grid as _grid  # noqa: F401  registers the lowbit operators named here
from .norms import norm as _norm  # noqa: F401

aten, own = torch.ops.aten, torch.ops.lowbit


def calls(*names: str) -> frozenset[Any]:
    """Every overload of these ATen operators that takes a tensor, or a list of them, first and writes to none given.

    A name that ends in `_` stands for the call in place.
    """
    packets = [getattr(aten, name) for name in names]
    overloads = [getattr(packet, overload) for packet in packets for overload in packet.overloads()]
    return frozenset(overload for overload in overloads if _of_tensors(overload._schema))


def _of_tensors(schema: Any) -> bool:
    first = schema.arguments[0].type if schema.arguments else None
    return str(first) in ("Tensor", "List[Tensor]") and not any(argument.is_out for argument in schema.arguments)


CONVOLUTIONS = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv3d.default})
TRANSPOSED = frozenset({aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input})
LINEAR = aten.linear.default
PRODUCERS = CONVOLUTIONS | TRANSPOSED | {LINEAR}
"""Calls that multiply by a weight: what is quantized, regularized and pruned."""

MATMULS = calls("matmul", "mm", "bmm", "addmm", "baddbmm")
"""Products of two tensors, either of which may be an activation."""
EMBEDDING = aten.embedding.default

PADDED_IN_WORDS = frozenset({aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding})
"""Convolutions padded with 'same' or 'valid', until they are normalized."""

RECTIFIERS = frozenset({aten.relu.default, aten.relu_.default})
CLAMPS = RECTIFIERS | {
    *calls("relu6", "relu6_", "hardtanh", "hardtanh_"),
    *(aten.clamp.default, aten.clamp_.default, aten.clamp_min.default, aten.clamp_max.default, aten.clamp_max.Tensor),
}
"""Calls that limit a value on either side: in integers the very limits of a grid."""
GRIDS = frozenset({own.fake_quantize.default, own.dequantize.default})
RESHAPES = frozenset(
    {
        aten.flatten.using_ints,
        aten.reshape.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
        aten.unsqueeze.default,
        aten.view.default,
    }
)
"""Calls that give the same values another shape."""
CONVERSIONS = frozenset(
    {aten.to.dtype, aten.to.dtype_layout, aten.to.device, aten.to.other, aten.type_as.default, aten.detach.default}
)
"""Calls that give the same values, if they are of the type that is asked for; of another, as near as that can be."""
READ_SIZES = calls(
    *("new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided", "empty_like", "zeros_like", "ones_like"),
    *("full_like", "rand_like", "randn_like", "randint_like"),
)
"""Calls that take the size and the type of a tensor, and none of its numbers."""

AVERAGES = calls(
    *("mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"),
)
"""Calls whose output values lie between some of their input's values."""
TOTALS = frozenset({aten.sum.default, aten.sum.dim_IntList, aten.mean.default, aten.mean.dim})
"""Sums and averages over axes."""
MAX_POOLS = calls("max_pool1d", "max_pool2d", "max_pool3d")
LISTS = (
    calls("chunk", "split", "split_with_sizes", "tensor_split", "unbind", "topk", "sort")
    | calls("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool2d_with_indices")
    | frozenset({aten.max.dim, aten.min.dim})
)
"""Calls that give several tensors, taken one by one; those that are no indices hold values of the input."""
PADS = calls("pad", "constant_pad_nd")
MOVES = (
    calls("permute", "transpose", "t", "numpy_T", "mT", "movedim", "moveaxis", "swapaxes", "swapdims", "roll", "flip")
    | calls("slice", "select", "narrow", "index_select", "gather", "index", "unfold", "im2col", "expand", "expand_as")
    | calls("repeat", "tile", "broadcast_to", "repeat_interleave", "channel_shuffle", "native_channel_shuffle")
    | calls("pixel_shuffle", "pixel_unshuffle", "unflatten", "view_as", "reshape_as", "squeeze", "_unsafe_view")
    | calls("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "alias", "lift_fresh_copy")
    | calls("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "masked_fill")
    | calls("replication_pad1d", "replication_pad2d", "replication_pad3d", "dropout_", "feature_dropout", "dropout")
    | calls("amax", "amin")
    | calls("contiguous", "clone")
    | PADS
)
"""Calls that pick values, put them elsewhere, or stand a constant beside them."""
CONCATENATIONS = calls("cat", "concat", "concatenate")
JOINS = CONCATENATIONS | calls("stack", "hstack", "vstack", "maximum", "minimum", "where")
"""Calls that take each of their values from one of several tensors, which must therefore lie on one grid."""
CARRIERS = RESHAPES | CONVERSIONS | MAX_POOLS | LISTS | MOVES | JOINS
"""Calls whose output values are some of their input's values: on a grid if the input is."""

_BOUNDED = ("sigmoid", "hardsigmoid", "softmax", "_softmax", "abs", "square", "exp", "softplus", "sqrt", "rsqrt")
_SPREADS = ("var", "std", "norm", "linalg_vector_norm")
NONNEGATIVE = RECTIFIERS | calls("relu6", "relu6_", *_BOUNDED, *_SPREADS)
"""Calls whose values are never below zero."""
_SHAPED = ("sigmoid", "hardsigmoid", "tanh", "hardswish", "silu", "gelu", "mish", "softplus", "log_sigmoid")
_LINED = ("leaky_relu", "prelu", "_prelu_kernel", "elu", "selu", "celu", "hardshrink", "softshrink", "threshold")
_POWERS = ("sqrt", "rsqrt", "square", "pow", "reciprocal", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p")
_WAVES = ("sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh", "atanh", "sinc")
_SIGNS = ("abs", "neg", "negative", "sign", "sgn", "erf", "erfc", "logit", "floor", "ceil", "round", "trunc", "frac")
_IN_PLACE = tuple(f"{name}_" for name in (*_SHAPED, *_LINED, *_POWERS, *_WAVES, *_SIGNS))
POINTWISE = frozenset({aten.pow.Scalar}) | calls(
    *(name for name in (*_SHAPED, *_LINED, *_POWERS, *_WAVES, *_SIGNS, *_IN_PLACE) if hasattr(aten, name))
)
"""Functions of each element of one tensor, with constants perhaps."""
ADDITIONS = frozenset({aten.add.Tensor, aten.add_.Tensor})
SCALINGS = frozenset({aten.mul.Tensor, aten.mul_.Tensor, aten.div.Tensor, aten.div_.Tensor})
"""Elementwise products and quotients."""
SHIFTS = ADDITIONS | frozenset({aten.sub.Tensor, aten.sub_.Tensor})
"""Elementwise sums and differences."""
