"""Difference: what of two graphs, or of two programs, was added, removed or changed, whatever the numbers of nodes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from .align import align
from .entries import Entry, Ref

Sign: TypeAlias = Literal["+", "-", "~", " "]


@dataclass(frozen=True)
class Part:
    """One way in which an entry changed: an argument, `type`, `name` or `values`, as it was and as it is.

    For `values`, the data of a tensor, `new` says how many differ and by how much.
    """

    what: str
    old: str
    new: str


@dataclass(frozen=True)
class Row:
    """An entry of either side: added, removed, changed (in which parts), or as it was (a blank).

    was: its name on the old side, which for calls is no difference.   reads: the arguments, operands by name, of the
    new side where there are two.
    """

    sign: Sign
    name: str
    op: str
    type: str
    layer: str
    reads: Mapping[str, str]
    was: str = ""
    parts: tuple[Part, ...] = ()


def difference(old: Sequence[Entry], new: Sequence[Entry]) -> list[Row]:
    """Every entry of both once, in the order of the new side, what was removed at its old place; time about linear.

    Calls are aligned by what they are, where they stand and what they read; tensors by who reads them, then by name.
    """
    pairs = _aligned(*_placed(old, new))
    back = {j: i for i, j in pairs.items()}
    removed = iter([i for i in range(len(old)) if i not in pairs])
    due = next(removed, len(old))
    rows = []
    for j, entry in enumerate(new):
        if j not in back:
            rows.append(_row("+", entry, new))
            continue
        while due < back[j]:
            rows.append(_row("-", old[due], old))
            due = next(removed, len(old))
        parts = tuple(_parts(old, new, back[j], j, pairs))
        row = _row("~" if parts else " ", entry, new)
        rows.append(replace(row, was=old[back[j]].name, parts=parts))
    return [*rows, *(_row("-", old[i], old) for i in (due, *removed) if i < len(old))]


def _row(sign: Sign, entry: Entry, side: Sequence[Entry]) -> Row:
    reads = {name: _shown(value, side) for name, value in entry.arguments.items()}
    return Row(sign, entry.name, entry.op, entry.type, entry.layer, reads, entry.name if sign == "-" else "")


def _placed(old: Sequence[Entry], new: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """Both without modules if one side knows of none, as the program of a file."""
    if all(any(entry.layer for entry in side) for side in (old, new)):
        return old, new
    return [replace(entry, layer="") for entry in old], [replace(entry, layer="") for entry in new]


def _aligned(old: Sequence[Entry], new: Sequence[Entry]) -> dict[int, int]:
    ours, theirs = ([i for i, entry in enumerate(side) if not entry.is_tensor] for side in (old, new))
    keys = (_named_key, _full_key, _name_key, _place_key, _kind_key, _op_key)
    levels = [([key(old, i) for i in ours], [key(new, j) for j in theirs]) for key in keys]
    found = {ours[i]: theirs[j] for i, j in align(levels)}
    return found | _tensors(old, new, found)


def _named_key(side: Sequence[Entry], i: int) -> Hashable:
    return _name_key(side, i), _full_key(side, i)


def _full_key(side: Sequence[Entry], i: int) -> Hashable:
    """All that an entry is by itself, and what kind of entries it reads."""
    entry = side[i]
    around = tuple(_around(side, place) for place in _places(entry.arguments))
    return entry.op, entry.layer, entry.type, _still(entry.arguments), around


def _name_key(side: Sequence[Entry], i: int) -> Hashable:
    entry = side[i]
    return entry.op, entry.layer, entry.stable, entry.name if entry.stable else None


def _place_key(side: Sequence[Entry], i: int) -> Hashable:
    return side[i].op, side[i].layer, side[i].stable  # a node of a graph is no step of a program


def _kind_key(side: Sequence[Entry], i: int) -> Hashable:
    return side[i].op, side[i].type, side[i].stable


def _op_key(side: Sequence[Entry], i: int) -> Hashable:
    return side[i].op, side[i].stable


def _around(side: Sequence[Entry], place: int) -> Hashable:
    entry = side[place]
    return entry.op, entry.layer, entry.name if entry.stable and entry.is_tensor else entry.type


def _still(value: Any) -> Hashable:
    """The value without its operands."""
    if isinstance(value, Mapping):
        return tuple((key, _still(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(_still(item) for item in value)
    return "%" if isinstance(value, Ref) else repr(value)


def _places(value: Any) -> Iterator[int]:
    """The places of all operands, in order."""
    if isinstance(value, Ref):
        yield value.place
    elif isinstance(value, (Mapping, list, tuple)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _places(item)


def _tensors(old: Sequence[Entry], new: Sequence[Entry], calls: Mapping[int, int]) -> dict[int, int]:
    """Tensors that calls of one pair read at one place, under one last name; the others by their whole name."""
    found: dict[int, int] = {}
    taken: set[int] = set()
    for i, j in calls.items():
        for a, b in zip(_places(old[i].arguments), _places(new[j].arguments), strict=False):
            if a not in found and b not in taken and _alike(old[a], new[b]):
                found[a] = b
                taken.add(b)
    left = {entry.name: j for j, entry in enumerate(new) if entry.is_tensor and entry.stable and j not in taken}
    named = {i: left[e.name] for i, e in enumerate(old) if e.is_tensor and i not in found and e.name in left}
    return found | {i: j for i, j in named.items() if old[i].stable}


def _alike(old: Entry, new: Entry) -> bool:
    if not old.is_tensor or not new.is_tensor or old.op != new.op:
        return False
    return not (old.stable and new.stable) or old.name.rpartition(".")[2] == new.name.rpartition(".")[2]


def _parts(old: Sequence[Entry], new: Sequence[Entry], i: int, j: int, pairs: Mapping[int, int]) -> Iterator[Part]:
    a, b = old[i], new[j]
    if a.is_tensor and a.stable and b.stable and a.name != b.name:
        yield Part("name", a.name, b.name)
    if a.type != b.type:
        yield Part("type", a.type, b.type)
    for name in dict.fromkeys((*a.arguments, *b.arguments)):
        ours, theirs = a.arguments.get(name), b.arguments.get(name)
        if not _same(ours, theirs, pairs):
            yield Part(name, _shown(ours, old), _shown(theirs, new))
    if a.data is not None and b.data is not None and a.data.shape == b.data.shape and a.data.dtype == b.data.dtype:
        differ = _differ(a.data, b.data)
        if differ:
            yield Part("values", "", differ)


def _same(old: Any, new: Any, pairs: Mapping[int, int]) -> bool:
    if isinstance(old, Ref) and isinstance(new, Ref):
        return pairs.get(old.place) == new.place
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        return len(old) == len(new) and all(_same(a, b, pairs) for a, b in zip(old, new, strict=True))
    return type(old) is type(new) and repr(old) == repr(new)


def _differ(old: Tensor, new: Tensor) -> str:
    """How many values differ, and by how much at most; nothing if they are equal bit by bit."""
    ours, theirs = old.detach().cpu().contiguous(), new.detach().cpu().contiguous()
    bits = ours.reshape(-1).view(torch.uint8) != theirs.reshape(-1).view(torch.uint8)
    count = int(bits.reshape(ours.numel(), -1).any(1).sum()) if ours.numel() else 0
    if not count:
        return ""
    exact = not (ours.is_floating_point() or ours.is_complex())
    largest = (theirs.to(torch.int64) - ours.to(torch.int64) if exact else theirs.double() - ours.double()).abs().max()
    kind = "integers" if exact else "values"
    return f"{count:,} of {ours.numel():,} {kind} differ, by at most {largest.item():,.6g}"


def _shown(value: Any, side: Sequence[Entry]) -> str:
    if isinstance(value, Ref):
        return side[value.place].name
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_shown(item, side) for item in value)}]"
    return repr(value)
