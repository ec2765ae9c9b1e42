"""Remove hidden units that nobody needs, or that are constant; their readers' biases take the constants in.

    y_j = f(sum_i w_ji x_i + b_j),   x_k = c:   y_j = f(sum_{i != k} w_ji x_i + (b_j + w_jk c))

A unit is constant if all its weights are zero, or lie on constants; it is needed if one of its outgoing weights is not
zero. c is the integer that the program would compute, and b_j grows by a whole number of units of the accumulator, so
the program gives the same integers. What is tied, as by a sum, goes together or stays. (Dead units are what structured
pruning leaves; taking them out of the graph: Li et al. 2017, arXiv 1608.08710, section 3.1.)
"""

from __future__ import annotations

from torch import fx

from ..compiler.contract import ExactIntegers, Pass
from ..compiler.edit import Edit
from ..compiler.facts import inference, weights_frozen, weights_on_grid
from ..compiler.pattern import Planned
from ..compiler.rule import Match, rule
from ..compiler.units.choice import rebuild, stays
from ..compiler.units.idle import narrow


@rule(Planned(), stays)
def without_dead_units(match: Match, edit: Edit) -> fx.Node:
    return rebuild(match, edit)


PASS = Pass(
    rules=(without_dead_units,),
    law=ExactIntegers(1e-9),
    plan=lambda graph, options: narrow(graph),
    needs=(inference, weights_on_grid, weights_frozen),
    fires=(
        "conv(6,dead=3) bn relu conv(4,k=1) relu conv(4,dead=1) gap"
        " | insert_fake_quant | eval | freeze | fold_batch_norm | remove_dead_units",
        "conv(6,dead=2) bn relu conv(4,dead=2,pad=0) bn relu maxpool linear(5,deaf=6) relu linear(3)"
        " | insert_fake_quant(per_channel=true) | eval | freeze | fold_batch_norm | remove_dead_units",
        "conv(4,dead=2) bn relu [ conv(4,dead=2) bn relu conv(4,dead=3) bn ] + relu gap linear(3)"
        " | insert_fake_quant | eval | freeze | fold_batch_norm | remove_dead_units",
        "conv(6,dead=3) relu conv(6,groups=6) bn relu [ conv(3,k=1,deaf=2) ] cat conv(2,k=1,deaf=4) view linear(2)"
        " | insert_fake_quant(weight_bits=3) | eval | freeze | fold_batch_norm | remove_dead_units",
        "conv(5,dead=2) relu conv(3,k=1) [ conv(3,dead=1) relu ] twice conv(4) shuffle(2) conv(4,groups=2,dead=1) gap"
        " | insert_fake_quant | eval | freeze | fold_batch_norm | remove_dead_units",
    ),
    refuses={
        "conv(6,dead=4) bn relu conv(4) | insert_fake_quant | eval | freeze | fold_batch_norm | remove_dead_units": (
            "it pads, and 2 of its inputs are constants other than zero"
        ),
        "conv(4,dead=1) | insert_fake_quant | eval | freeze | remove_dead_units": (
            "1 of its outputs are constant; it is an output of the model"
        ),
        "conv(4) conv(4,groups=2,dead=1) conv(2) | insert_fake_quant | eval | freeze | remove_dead_units": (
            "1 of its outputs are constant; the groups of a convolution must have the same number of channels"
        ),
    },
)
