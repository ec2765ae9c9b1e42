"""Families of ATen calls: the words in which facts and passes speak of operators."""

from __future__ import annotations

import torch

from . import grid as _grid  # noqa: F401  registers the lowbit operators named here

aten, own = torch.ops.aten, torch.ops.lowbit

CONVOLUTIONS = frozenset({aten.conv1d.default, aten.conv2d.default, aten.conv3d.default})
TRANSPOSED = frozenset({aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input})
LINEAR = aten.linear.default
PRODUCERS = CONVOLUTIONS | TRANSPOSED | {LINEAR}
"""Calls that multiply by a weight: what is quantized, regularized and pruned."""

RECTIFIERS = frozenset({aten.relu.default, aten.relu_.default})
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
AVERAGES = frozenset({aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default, aten.mean.dim})
CARRIERS = (
    RESHAPES
    | CONVERSIONS
    | frozenset(
        {
            aten.constant_pad_nd.default,
            aten.max_pool2d.default,
            aten.pad.default,
            aten.dropout.default,
            aten.contiguous.default,
            aten.clone.default,
        }
    )
)
"""Calls whose output values are some of their input's values: on a grid if the input is."""
