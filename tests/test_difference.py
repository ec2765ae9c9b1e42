"""Differences: equal things have none, what a pass adds is what is added, and insertions renumber nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence

import pytest
import torch
from attended import watched
from hypothesis import assume, given
from hypothesis import strategies as st
from lowbit.api import passes
from lowbit.compiler.graph import Graph
from lowbit.compiler.inspection.align import align
from lowbit.compiler.inspection.difference import Row, difference
from lowbit.compiler.inspection.entries import Entry, Ref, entries
from lowbit.compiler.sketches.sketch import build
from lowbit.testing import graph, split, trials

WORDS = st.lists(st.sampled_from("abcde"), max_size=12)


def changed(old: Graph, new: Graph) -> list[Row]:
    return [row for row in difference(entries(old), entries(new)) if row.sign != " "]


def signs(rows: Sequence[Row]) -> dict[str, list[str]]:
    return {sign: [row.name for row in rows if row.sign == sign] for sign in "+-~"}


@pytest.mark.parametrize("name", sorted(passes()))
def test_a_graph_does_not_differ_from_itself_nor_from_its_copy(name: str) -> None:
    for line in list(trials(name))[:8]:
        assert changed(graph(line), graph(line).copy()[0]) == []


@pytest.mark.parametrize("name", sorted(passes()))
def test_what_a_pass_adds_and_takes_away_is_told_exactly(name: str) -> None:
    """A call that took the place of one of its kind counts as changed, under both names."""
    for line in [*passes()[name].refuses, *list(trials(name))[:12]]:
        old, new = graph(split(line)[0]), graph(line)
        rows = difference(entries(old), entries(new))
        before, after = (Counter(entry.name for entry in entries(side)) for side in (old, new))
        renamed = {row.name: row.was for row in rows if row.sign in "~ " and row.name != row.was}
        found = signs(rows)
        assert sorted([*found["+"], *renamed]) == sorted((after - before).elements()), line
        assert sorted([*found["-"], *renamed.values()]) == sorted((before - after).elements()), line


@pytest.mark.parametrize("name", sorted(passes()))
def test_additions_are_those_of_the_rules_where_a_pass_only_adds(name: str) -> None:
    for line in list(trials(name))[:8]:
        ran, _ = watched(line)
        made = {node for attempt in ran.attempts for node in attempt.made}
        if any(attempt.gone for attempt in ran.attempts):
            continue
        spelled = {n.name: str(n.target) if n.op == "get_attr" else n.name for n in ran.after.nodes}
        assert set(signs(changed(ran.before, ran.after))["+"]) == {spelled[node] for node in made}


@pytest.mark.parametrize("name", sorted(passes()))
def test_the_other_way_round_additions_are_removals(name: str) -> None:
    for line in list(trials(name))[:6]:
        there = signs(changed(graph(split(line)[0]), graph(line)))
        back = signs(changed(graph(line), graph(split(line)[0])))
        assert (len(there["+"]), len(there["-"])) == (len(back["-"]), len(back["+"]))


def test_an_inserted_call_is_one_addition() -> None:
    """Names and numbers behind it move; paths do not, or do."""
    deep = build("conv(3) relu conv(3) relu conv(3) relu")
    kept = build("conv(3) relu conv(3) [ relu ] relu conv(3) relu")
    found = signs(changed(deep, kept))
    assert (len(found["+"]), len(found["-"])) == (1, 0)
    shifted = signs(changed(build("conv(3) bn relu linear(4)"), build("conv(3) bn relu maxpool linear(4)")))
    assert shifted["+"] == ["max_pool2d"]
    assert shifted["-"] == []


def test_weights_differ_by_number_and_size() -> None:
    old = build("conv(3,coarse)")
    weight = old.state["0.weight"].detach().clone()
    weight[0, 0, 0, 0] += 0.5
    weight[1, 0, 0, 0] -= 0.25
    new = Graph(old.fx, {**old.state, "0.weight": torch.nn.Parameter(weight)}, old.signature)
    (row,) = changed(old, new)
    assert (row.sign, row.name, [part.what for part in row.parts]) == ("~", "0.weight", ["values"])
    assert row.parts[0].new == "2 of 81 values differ, by at most 0.5"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (torch.tensor([1, 2, 3]), torch.tensor([1, 5, 3]), "1 of 3 integers differ, by at most 3"),
        (torch.tensor([0.0]), torch.tensor([-0.0]), "1 of 1 values differ, by at most 0"),
        (torch.tensor([True]), torch.tensor([False]), "1 of 1 integers differ, by at most 1"),
        (torch.tensor(1.5).bfloat16(), torch.tensor(2.5).bfloat16(), "1 of 1 values differ, by at most 1"),
        (torch.tensor([float("nan")]), torch.tensor([float("nan")]), None),
        (torch.tensor([]), torch.tensor([]), None),
    ],
)
def test_contents_are_compared_bit_by_bit(old: torch.Tensor, new: torch.Tensor, said: str | None) -> None:
    (row,) = difference([Entry("w", "buffer", data=old)], [Entry("w", "buffer", data=new)])
    assert [part.new for part in row.parts] == ([] if said is None else [said])


def chain(ops: Sequence[str]) -> list[Entry]:
    """Steps without names, each of which reads the one before."""
    read = [[Ref(i - 1)] if i else [] for i in range(len(ops))]
    return [Entry(f"%{i}", op, "t", "", {"x": read[i]}, stable=False) for i, op in enumerate(ops)]


def test_steps_without_names_are_aligned_by_what_they_are() -> None:
    rows = difference(chain(["a", "b", "a", "b", "a", "b"]), chain(["a", "b", "c", "a", "b", "a", "b"]))
    assert [(row.sign, row.name) for row in rows if row.sign != " "] == [("+", "%2"), ("~", "%3")]


def test_what_was_removed_stands_where_it_was() -> None:
    rows = difference(chain(["a", "b", "c", "d"]), chain(["a", "c", "d"]))
    assert [(row.sign, row.op) for row in rows] == [(" ", "a"), ("-", "b"), ("~", "c"), (" ", "d")]


@given(WORDS, WORDS)
def test_an_alignment_ascends_and_pairs_equal_keys(old: list[str], new: list[str]) -> None:
    pairs = align([(old, new)])
    assert all(a < c and b < d for (a, b), (c, d) in itertools.pairwise(pairs))
    assert all(old[i] == new[j] for i, j in pairs)
    assert len(pairs) <= longest(old, new)


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.sampled_from("ab"), max_size=12))
def test_where_everything_repeats_as_much_is_paired_as_can_be(old: list[str], new: list[str]) -> None:
    assume(all(min(old.count(key), new.count(key)) != 1 for key in "ab"))
    assert len(align([(old * 2, new * 2)])) == longest(old * 2, new * 2)


def longest(old: list[str], new: list[str]) -> int:
    """The length of a longest common subsequence."""
    row = [0] * (len(new) + 1)
    for a in old:
        before = row
        row = [0]
        for j, b in enumerate(new):
            row.append(before[j] + 1 if a == b else max(before[j + 1], row[j]))
    return row[-1]


@given(WORDS, WORDS)
def test_every_element_stands_in_the_difference_once(old: list[str], new: list[str]) -> None:
    rows = difference(chain(old), chain(new))
    assert [row.name for row in rows if row.sign != "-"] == [f"%{i}" for i in range(len(new))]
    assert sorted(row.was for row in rows if row.was) == sorted(f"%{i}" for i in range(len(old)))


def test_a_large_gap_in_which_nothing_is_unique_is_aligned_whole() -> None:
    """Two kinds in turn, 4,000 of each, and one more in the middle and at both ends."""
    old: list[Hashable] = ["a", "b"] * 4000
    new: list[Hashable] = ["b", *old[:4000], "b", *old[4000:], "a"]
    assert len(align([(old, new)])) == 8000


def test_too_many_differences_are_aligned_by_occurrence() -> None:
    old: list[Hashable] = ["x", *"ab" * 300, "y"]
    new: list[Hashable] = ["z", *"bbaa" * 300, "w"]
    pairs = align([(old, new)])
    assert pairs
    assert all(old[i] == new[j] for i, j in pairs)
