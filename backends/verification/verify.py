"""Runs float model, prepared model and integer program on the same samples, and compares them at every node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...compiler.arrays import Integers
from ...compiler.graph import origin
from ...compiler.text import target_name
from ..compiled import Compiled
from ..fixed.program import Program
from ..target import targets
from .figures import Codes, Error, Votes
from .pairs import GRID, Pair, Paired
from .report import Contract, Node, Verification
from .runs import Fed, InFloat, OnGrids


def compared(
    paired: Paired,
    program: Program,
    batches: Iterable[Sequence[Any]],
    contract: Contract,
    report: Callable[[int], None] = lambda samples: None,
    target: str = "torch",
) -> Verification:
    """Every node of the graph beside the program.

    program: the one that ships, whose hidden units passes may have moved.   batches: flat inputs of the graph.
    report: told the number of samples done.   target: runs the programs.
    """
    contract = replace(contract, share=0.0) if paired.powers_of_two else contract
    found = Verification(tuple(map(_node, paired.pairs)), 0, contract, alone=len(paired.alone))
    runs = _Runs(paired, program, target)
    for flat in batches:
        found = _added(found, runs.on(flat))
        report(found.samples)
    return found


class _Runs:
    """The four runs of a batch: in float, on grids, fed the program's integers, and the program itself."""

    def __init__(self, paired: Paired, program: Program, target: str) -> None:
        chosen: Mapping[str, Pair] = {pair.node.name: pair for pair in paired.pairs}
        self._paired, self._program, self._target = paired, program, target
        self._in_float, self._on_grids = InFloat(paired.graph, chosen), OnGrids(paired.graph, chosen)
        self._fed = Fed(paired.graph, chosen)

    @torch.no_grad()
    def on(self, flat: Sequence[Any]) -> Verification:
        """The figures of one batch."""
        given = [x for x, taken in zip(flat, self._paired.takes, strict=True) if taken]
        inputs = Compiled(self._paired.program).quantize(*given)
        integers, outputs = self._paired.run(inputs, self._target)
        nodes = tuple(self._nodes(flat, integers))
        scores = torch.as_tensor(outputs[0])
        votes = [_votes(run.outputs, scores) for run in (self._on_grids, self._in_float)]
        moved = self._moved(inputs, outputs)
        return Verification(nodes, len(scores), Contract(), votes[0], votes[1], moved)

    def _nodes(self, flat: Sequence[Any], integers: Mapping[str, Tensor]) -> Iterable[Node]:
        for run in (self._in_float, self._on_grids):
            run.give(flat)
        self._fed.give(flat, integers)
        for pair in self._paired.pairs:
            name = pair.node.name
            found, fed = self._in_float.seen[name], self._fed.seen[name]
            q = integers[name].reshape(found.shape)
            error, codes = Error.of(found, pair.real(q)), Codes.of(fed, q)
            whole, negative = Codes.of(self._on_grids.seen[name], q), int((found < 0).sum()) if pair.divides else 0
            yield replace(_node(pair), error=error, fed=codes, whole=whole, negative=negative)

    def _moved(self, inputs: Sequence[Integers], outputs: Sequence[Integers]) -> Codes:
        if self._program is self._paired.program:
            return Codes()
        pairs = zip(targets()[self._target].run(self._program, inputs), outputs, strict=True)
        return sum((Codes.of(*map(torch.as_tensor, pair)) for pair in pairs), Codes())


def _votes(outputs: Sequence[Tensor], scores: Tensor) -> Votes:
    """Of the first output, where that is a row of scores for each sample."""
    first = outputs[0]
    return Votes.of(first, scores) if first.dim() == 2 and first.shape[1] > 1 else Votes()


def _node(pair: Pair) -> Node:
    read = pair.node.all_input_nodes[0] if pair.node.target is GRID else pair.node
    call = "input" if read.op == "placeholder" else target_name(read.target)
    where = origin(read) if origin(read).source else origin(pair.node)
    return Node(pair.node.name, call, where.layer, where.source, pair.lo, pair.hi)


def _added(total: Verification, batch: Verification) -> Verification:
    nodes = tuple(
        replace(
            old,
            error=old.error + new.error,
            fed=old.fed + new.fed,
            whole=old.whole + new.whole,
            negative=old.negative + new.negative,
        )
        for old, new in zip(total.nodes, batch.nodes, strict=True)
    )
    return replace(
        total,
        nodes=nodes,
        samples=total.samples + batch.samples,
        prepared=total.prepared + batch.prepared,
        in_float=total.in_float + batch.in_float,
        moved=total.moved + batch.moved,
    )
