"""What was found node by node, and whether it keeps the contract."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .figures import Codes, Error, Votes


@dataclass(frozen=True)
class Contract:
    """What prepared model and program must have in common.

    share: of the codes that may differ where each node is fed the same inputs, 0 to 1; none where all scales are powers
    of two.   distance: by how much at most.   agreement: of the samples whose highest score must be the same.
    """

    share: float = 1e-4
    distance: int = 1
    agreement: float = 0.999


@dataclass(frozen=True)
class Node:
    """A node of the prepared graph beside the value of the program that stands for it.

    name: of the node.   call: what it rounds.   layer, source: the user's module path and line.
    lo, hi: of its integers.   error: of the program, in the reals of the model, beside the model without rounding.
    fed: codes of the prepared model and of the program, each node fed the program's integers.   whole: end to end.
    negative: values of the model below zero that others are divided by, where they were taken to be never negative.
    """

    name: str
    call: str
    layer: str
    source: str
    lo: int
    hi: int
    error: Error = field(default_factory=Error)
    fed: Codes = field(default_factory=Codes)
    whole: Codes = field(default_factory=Codes)
    negative: int = 0

    def keeps(self, contract: Contract) -> bool:
        """Whether its codes differ no farther than they may, and no more often than chance explains.

        Of few codes chance tips more than a small share of them: four, and four standard deviations, are left to it.
        """
        expected = contract.share * self.fed.count
        room = expected + 4 * (math.sqrt(expected) + 1) if expected else 0
        return self.fed.largest <= contract.distance and self.fed.different <= room


@dataclass(frozen=True)
class Verification:
    """Float model, prepared model and program beside each other on the same samples.

    nodes: in the order of the graph.   prepared, in_float: samples on which the program has its highest score where the
    prepared model has, and where the model without rounding has; of none where the output is no row of scores.
    moved: output integers of the program beside those of the one without the passes that move units, which is the one
    that is compared.   alone: how many grids of the program have no node to be compared with.
    contract: as asked for, or stricter where all scales are powers of two.
    """

    nodes: tuple[Node, ...]
    samples: int
    contract: Contract
    prepared: Votes = field(default_factory=Votes)
    in_float: Votes = field(default_factory=Votes)
    moved: Codes = field(default_factory=Codes)
    alone: int = 0

    @property
    def codes(self) -> Codes:
        """Of all nodes, each fed the same inputs."""
        return sum((node.fed for node in self.nodes), Codes())

    @property
    def first_bad(self) -> Node | None:
        """The first node that does not keep the contract on its own."""
        return next((node for node in self.nodes if not node.keeps(self.contract)), None)

    @property
    def broken(self) -> tuple[str, ...]:
        """What is not as the contract has it, in words; nothing where it holds."""
        found, codes, limit = [], self.codes, self.contract
        if codes.share > limit.share:
            found.append(f"{codes.different:,} of {codes.count:,} codes differ, more than {100 * limit.share:g} %")
        if self.first_bad is not None:
            bad = self.first_bad
            found.append(f"{place(bad)}: {bad.fed.different:,} of {bad.fed.count:,} codes differ, by {bad.fed.largest}")
        for node in self.nodes:
            if node.negative:
                found.append(f"{place(node)}: {node.negative:,} divisors are negative, and were taken to be never so")
        if self.prepared.count and self.prepared.share < limit.agreement:
            found.append(f"only {100 * self.prepared.share:.2f} % of the highest scores are the same")
        if self.moved.different:
            what = "output integers are others behind the passes that move units"
            found.append(f"{self.moved.different:,} of {self.moved.count:,} {what}")
        return tuple(found)

    @property
    def holds(self) -> bool:
        """Whether the contract is kept."""
        return not self.broken


def place(node: Node) -> str:
    """A node in words: what it rounds, and where that stands."""
    return ", ".join(filter(None, (node.call, node.layer, node.source)))


def described(found: Verification) -> dict[str, Any]:
    """The same as plain data for JSON; a ratio without noise, or of nothing, is None."""
    bad = found.first_bad
    return {
        "holds": found.holds,
        "broken": list(found.broken),
        "contract": vars(found.contract).copy(),
        "samples": found.samples,
        "codes": _codes(found.codes),
        "agreement": {"prepared": _votes(found.prepared), "float": _votes(found.in_float)},
        "moved": _codes(found.moved),
        "not_compared": found.alone,
        "first_bad": bad.name if bad is not None else None,
        "nodes": [_node(node) for node in found.nodes],
    }


def _node(node: Node) -> dict[str, Any]:
    error, sqnr = node.error, node.error.sqnr
    return {
        **{key: getattr(node, key) for key in ("name", "call", "layer", "source")},
        "range": [node.lo, node.hi],
        "error": {"max": error.largest, "mean": error.mean, "sqnr": sqnr if math.isfinite(sqnr) else None},
        "fed": _codes(node.fed),
        "end_to_end": _codes(node.whole),
        "negative": node.negative,
    }


def _codes(codes: Codes) -> dict[str, int]:
    return vars(codes).copy()


def _votes(votes: Votes) -> float | None:
    return votes.share if votes.count else None
