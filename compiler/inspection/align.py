"""Align: which elements of two sequences stand for each other, when both are mostly the same."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

Keys: TypeAlias = Sequence[Hashable]
Pair: TypeAlias = tuple[int, int]
Gap: TypeAlias = tuple[int, int, int, int]
EDITS = 400
"""Elements that a longest common subsequence of a gap may leave out; where there are more, occurrences are counted."""


def align(levels: Sequence[tuple[Keys, Keys]]) -> list[Pair]:
    """Pairs of positions in two sequences, ascending in both, in time about linear.

    levels: keys of all elements of both, from the strictest to the loosest. What a stricter key pairs stays, and the
    next fills the gaps: first what is unique in both (patience), then common ends, then what repeats.
    """
    pairs: list[Pair] = []
    for old, new in levels:
        for gap in list(_gaps(pairs, len(old), len(new))):
            pairs += _within(gap, old, new)
        pairs.sort()
    return pairs


def _gaps(pairs: Sequence[Pair], old: int, new: int) -> Iterator[Gap]:
    i = j = 0
    for at, to in (*pairs, (old, new)):
        if at > i and to > j:
            yield i, at, j, to
        i, j = at + 1, to + 1


def _within(gap: Gap, old: Keys, new: Keys) -> list[Pair]:
    pairs: list[Pair] = []
    stack = [gap]
    while stack:
        low, high, start, stop = stack.pop()
        ours, theirs = old[low:high], new[start:stop]
        anchors = _unique(ours, theirs)
        found = anchors or _repeated(ours, theirs)
        pairs += [(low + i, start + j) for i, j in found]
        if anchors:
            inner = _gaps(anchors, len(ours), len(theirs))
            stack += [(low + a, low + b, start + c, start + d) for a, b, c, d in inner]
    return pairs


def _unique(ours: Keys, theirs: Keys) -> list[Pair]:
    once = [{key for key, count in Counter(keys).items() if count == 1} for keys in (ours, theirs)]
    place = {key: j for j, key in enumerate(theirs) if key in once[1]}
    return _ascending([(i, place[key]) for i, key in enumerate(ours) if key in once[0] and key in place])


def _ascending(pairs: Sequence[Pair]) -> list[Pair]:
    """The longest part of the pairs, given in the order of the first, that ascends in the second too."""
    tails: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        place = bisect_left(tails, j)
        before.append(last[place - 1] if place else -1)
        tails[place : place + 1], last[place : place + 1] = [j], [index]
    found: list[Pair] = []
    index = last[-1] if last else -1
    while index >= 0:
        found.append(pairs[index])
        index = before[index]
    return found[::-1]


def _repeated(ours: Keys, theirs: Keys) -> list[Pair]:
    """Pairs of a gap in which nothing is unique: common ends, then the rest."""
    shorter = min(len(ours), len(theirs))
    head = next((k for k in range(shorter) if ours[k] != theirs[k]), shorter)
    rest = shorter - head
    tail = next((k for k in range(rest) if ours[-1 - k] != theirs[-1 - k]), rest)
    inner, outer = ours[head : len(ours) - tail], theirs[head : len(theirs) - tail]
    middle = _common(inner, outer)
    middle = _by_occurrence(inner, outer) if middle is None else middle
    ends = [(len(ours) - tail + k, len(theirs) - tail + k) for k in range(tail)]
    return [*((k, k) for k in range(head)), *((head + i, head + j) for i, j in middle), *ends]


def _by_occurrence(ours: Keys, theirs: Keys) -> list[Pair]:
    """The first of a kind with the first, the second with the second, and so on."""
    return _unique(_counted(ours), _counted(theirs))


def _counted(keys: Keys) -> list[Hashable]:
    seen: Counter[Hashable] = Counter()
    counted: list[Hashable] = []
    for key in keys:
        counted.append((key, seen[key]))
        seen[key] += 1
    return counted


def _common(ours: Keys, theirs: Keys) -> list[Pair] | None:
    """A longest common subsequence by Myers' greedy algorithm; None if more than `EDITS` are left out of both."""
    reached: dict[int, int] = {1: 0}  # diagonal -> furthest position in `ours`
    history: list[dict[int, int]] = []
    for edits in range(EDITS + 1):
        history.append(dict(reached))
        for diagonal in range(-edits, edits + 1, 2):
            i = _step(reached, diagonal)[0]
            while i < len(ours) and i - diagonal < len(theirs) and ours[i] == theirs[i - diagonal]:
                i += 1
            reached[diagonal] = i
            if i >= len(ours) and i - diagonal >= len(theirs):
                return _path(history, len(ours), len(theirs))
    return None


def _step(reached: dict[int, int], diagonal: int) -> tuple[int, int]:
    """Where a path enters a diagonal, by leaving out one element of either side, and the diagonal it comes from."""
    above, below = reached.get(diagonal + 1, -1), reached.get(diagonal - 1, -1) + 1
    return (above, diagonal + 1) if above >= below and above >= 0 else (below, diagonal - 1)


def _path(history: list[dict[int, int]], i: int, j: int) -> list[Pair]:
    pairs: list[Pair] = []
    for reached in reversed(history):
        start, source = _step(reached, i - j)
        while i > start and j > 0:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        i = reached[source]
        j = i - source
    return pairs[::-1]
