"""Take attention apart into the calls that integers are made of, so that scores and probabilities get their own grids.

    scaled_dot_product_attention(q, k, v) = softmax(s q k' + mask) v

A mask of truth values keeps the scores where it holds and puts minus infinity elsewhere, `is_causal` likewise; so does
a constant that holds minus infinity, whose sum with the scores no grid could have. The one call sums in another order
than these, so that the outputs are not the same to the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from ..compiler.contract import Close, Pass
from ..compiler.edit import Edit
from ..compiler.graph import Graph, arguments, shape
from ..compiler.operators import aten
from ..compiler.pattern import Call
from ..compiler.rule import Match, rule

ATTENTION = aten.scaled_dot_product_attention.default


def _sizes(match: Match) -> str:
    given = arguments(match.root)
    known = all(isinstance(shape(given[name])[-1], int) for name in ("query", "key"))
    lengths = [shape(given[name])[-2] for name in ("query", "key")]
    if not known or (given["is_causal"] and not all(isinstance(length, int) for length in lengths)):
        return "its sizes depend on the input"
    return ""


@rule(Call("", frozenset({ATTENTION})), _sizes)
def split(match: Match, edit: Edit) -> fx.Node:
    """Dropout falls on the probabilities, as in the one call."""
    given = arguments(match.root)
    q, k, v = (given[name] for name in ("query", "key", "value"))
    if given["enable_gqa"]:
        k, v = (_repeated(edit, q, x) for x in (k, v))
    scores = edit.call(aten.matmul.default, q, edit.call(aten.transpose.int, k, -2, -1))
    scale = given["scale"] if given["scale"] is not None else 1 / math.sqrt(int(shape(q)[-1]))
    scores = edit.call(aten.mul.Tensor, scores, scale)
    found = edit.call(aten.softmax.int, _masked(match.graph, edit, scores, given), -1)
    if given["dropout_p"]:
        found = edit.call(aten.dropout.default, found, given["dropout_p"], True)
    return edit.call(aten.matmul.default, found, v)


def _repeated(edit: Edit, q: fx.Node, x: fx.Node) -> fx.Node:
    """Each head for all queries that share it."""
    times = int(shape(q)[-3]) // int(shape(x)[-3])
    return edit.call(aten.repeat_interleave.self_int, x, times, -3) if times > 1 else x


def _masked(graph: Graph, edit: Edit, scores: fx.Node, given: dict[str, Any]) -> fx.Node:
    mask = given["attn_mask"]
    if given["is_causal"]:
        sizes = [int(size) for size in shape(scores)[-2:]]
        mask = edit.call(aten.tril.default, edit.call(aten.new_ones.default, scores, sizes, dtype=torch.bool))
    if mask is None:
        return scores
    if mask.meta["val"].dtype == torch.bool:
        return edit.call(aten.where.ScalarOther, mask, scores, -math.inf)
    if mask not in graph.constants() or not torch.isinf(graph.evaluate(mask)).any():
        return edit.call(aten.add.Tensor, scores, mask)
    keeps = edit.call(aten.gt.Scalar, mask, -math.inf)
    if torch.nan_to_num(graph.evaluate(mask), neginf=0.0).any():
        scores = edit.call(aten.add.Tensor, scores, edit.call(aten.where.ScalarOther, keeps, mask, 0.0))
    return edit.call(aten.where.ScalarOther, keeps, scores, -math.inf)


PASS = Pass(
    rules=(split,),
    law=Close(1e-9),
    fires=(
        "conv(4) rows spelt(attention) linear(3) | split_attention",
        "spelt(causal attention) relu | split_attention",
        "conv(4) spelt(shared heads) spelt(biased attention) | split_attention",
        "conv(3) rows spelt(masked attention) spelt(hiding attention) | eval | split_attention",
    ),
    refuses={"spelt(attention over samples) | split_attention": "its sizes depend on the input"},
)
