"""Put hidden units in an order in which similar ones are neighbours, which a coder that looks back codes in less.

    y = W2 f(W1 x + b1) = (W2 P^T) f(P W1 x + P b1),   P a permutation

The first unit is the one with most weights, the next whichever is most like the last: of the inputs that either weighs,
the share that both do, with one sign. Integer sums do not depend on order, so the program gives the same integers. A
coder that looks at single weights alone gains nothing. (The order of hidden units carries no information: Basu and
Varshney 2018, arXiv 1810.10702.)
"""

from __future__ import annotations

from torch import fx

from ..compiler.contract import ExactIntegers, Pass
from ..compiler.edit import Edit
from ..compiler.facts import inference, weights_frozen, weights_on_grid
from ..compiler.pattern import Planned
from ..compiler.rule import Match, rule
from ..compiler.units.choice import rebuild, stays
from ..compiler.units.order import reorder


@rule(Planned(), stays)
def in_another_order(match: Match, edit: Edit) -> fx.Node:
    return rebuild(match, edit)


PASS = Pass(
    rules=(in_another_order,),
    law=ExactIntegers(1e-9),
    plan=lambda graph, options: reorder(graph),
    needs=(inference, weights_on_grid, weights_frozen),
    fires=(
        "conv(6) relu conv(4,deaf=4) relu gap linear(3)"
        " | insert_fake_quant(weight_bits=2) | eval | freeze | reorder_units",
        "conv(5,deaf=1) bn relu [ conv(5,deaf=2) bn relu conv(5,deaf=2) bn ] + relu maxpool linear(6,deaf=40) relu"
        " | insert_fake_quant(weight_bits=2) | eval | freeze | fold_batch_norm | reorder_units",
        "conv(6,deaf=2) relu conv(6,groups=6) relu [ conv(3,deaf=4) ] cat conv(4,groups=1,deaf=6) view linear(4)"
        " | insert_fake_quant(weight_bits=3) | eval | freeze | reorder_units",
        "conv(8,deaf=1) conv(8,groups=2,deaf=1) shuffle(2) conv(4,k=1,deaf=2) [ conv(4,deaf=1) relu ] twice gap"
        " | insert_fake_quant(weight_bits=2) | eval | freeze | reorder_units",
    ),
    refuses={
        "conv(6) relu conv(4) | insert_fake_quant | eval | freeze | reorder_units": (
            "too few of its weights are zero for an order to matter"
        ),
    },
)
