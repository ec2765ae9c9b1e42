"""2-D convolution into a 32-bit accumulator, without any rounding.

    y[n, o, i, j] = bias[o] + sum over c, k, l of weight[o, c, k, l] * x[n, g(o) * (I / groups) + c, p, q]

with p = i * stride[0] + k * dilation[0] - padding[0], q alike from stride[1], dilation[1] and padding[2], and
g(o) = floor(o / (O / groups)). Where p or q lies outside x, `pad_value` stands for x. The weights are centred; the zero
point of x is in the bias. padding is (top, bottom, left, right).
"""

from __future__ import annotations

from ..convolution import convolution

OP = convolution(code=1, axes=2)
