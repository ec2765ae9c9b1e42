"""Tiles of dot products: the portable inner loop, in a form that compilers turn into multiply-add instructions."""

from __future__ import annotations

from itertools import product

from .body import Body
from .integers import Integer

LANES = 16
"""Rows are filled up with zeros to a multiple of this, what vectors of 16 bits hold."""
C = """\
/* sums[i * stride + j] = dot product of row i of x and row j of w, each of n elements */
static void $name(const $x_type *restrict x, const $w_type *restrict w, int32_t n, $sum_type *restrict sums,
                  int32_t stride)
{
    $pointers
    $zeros
    for (int32_t k = 0; k < n; k++) {
        $products
    }
    $stores
}
"""


def dots(body: Body, rows: int, columns: int, x: Integer, w: Integer, sum: Integer) -> str:
    """The name of the function for tiles of that size and those types; it is made known to the body.

    Each accumulator is a variable of its own: compilers do not keep an array of them in registers.
    """
    tile = list(product(range(rows), range(columns)))
    pointers = [f"const {body.held(x)} *const x{i} = x + {i} * n;" for i in range(rows)]
    pointers += [f"const {body.held(w)} *const w{j} = w + {j} * n;" for j in range(columns)]
    return body.helper(
        f"dots_{rows}x{columns}_{x.dtype}_{w.dtype}",
        C,
        x_type=body.held(x),
        w_type=body.held(w),
        sum_type=body.held(sum),
        pointers="\n    ".join(pointers),
        zeros="int32_t " + ", ".join(f"s{i}{j} = 0" for i, j in tile) + ";",
        products="\n        ".join(f"s{i}{j} += (int32_t)x{i}[k] * w{j}[k];" for i, j in tile),
        stores="\n    ".join(f"sums[{i} * stride + {j}] = s{i}{j};" for i, j in tile),
    )
