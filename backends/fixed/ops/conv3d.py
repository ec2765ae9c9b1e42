"""3-D convolution into a 32-bit accumulator, without any rounding.

    y[n, o, h, i, j] = bias[o] + sum over c, m, k, l of weight[o, c, m, k, l] * x[n, g(o) * (I / groups) + c, r, p, q]

with r = h * stride[0] + m * dilation[0] - padding[0], p alike from stride[1], dilation[1] and padding[2], q alike from
stride[2], dilation[2] and padding[4], and g(o) = floor(o / (O / groups)). Where r, p or q lies outside x, `pad_value`
stands for x. padding is (front, back, top, bottom, left, right).
"""

from __future__ import annotations

from ..convolution import convolution

OP = convolution(code=32, axes=3)
