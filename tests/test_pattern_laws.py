"""Patterns against a second matcher, which lists every assignment, on drawn patterns and drawn graphs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any, TypeAlias

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lowbit.compiler.graph import arguments
from lowbit.compiler.pattern import (
    Anything,
    Bindings,
    Call,
    Either,
    Every,
    Listed,
    Miss,
    Pattern,
    Some,
    Weight,
    aten,
    either,
    every,
    optional,
    some,
)
from torch import fx

_aten = torch.ops.aten
Assignment: TypeAlias = dict[Any, Any]
"""What patterns, and capture names, stand for."""

# ---- drawing ----

NAMES = ("", "a", "b")


def drawn(seed: int) -> tuple[Pattern, list[fx.Node]]:
    """A pattern, and a graph in which most of it may be found: it is read off one of the calls, with faults."""
    random = Random(seed)
    nodes = _graph(random)
    return _pattern(random, random.choice(nodes), [Anything(), Anything("a")], 3), nodes


def _graph(random: Random) -> list[fx.Node]:
    """A few calls over two inputs and two tensors; operands are picked freely, so that nodes have several readers."""
    graph = fx.Graph()
    nodes = [graph.placeholder("x"), graph.placeholder("y"), graph.get_attr("w"), graph.get_attr("v")]
    for _ in range(random.randint(2, 7)):
        one, other = random.choice(nodes), random.choice(nodes)
        calls: tuple[tuple[Any, ...], ...] = (
            (_aten.relu.default, (one,)),
            (_aten.cat.default, (random.choices(nodes, k=random.randint(0, 3)),)),
            (_aten.clamp.default, (one, *random.choice(((), (0,), (1,))))),
            (_aten.mul.Tensor, (one, random.choice((other, 2, 3)))),
            (_aten.add.Tensor, (one, other), random.choice(({}, {"alpha": 2}))),
            (_aten.sub.Tensor, (one, other)),
        )
        nodes.append(graph.call_function(*random.choice(calls)))
    return nodes[4:]


def _pattern(random: Random, value: Any, pool: list[Pattern], depth: int) -> Pattern:
    """What may match the value; whatever was made may stand again at another place."""
    if random.random() < 0.15:
        return random.choice(pool)
    if random.random() < 0.15:
        options = [_pattern(random, other, pool, depth - 1) for other in random.sample((value, None), 2)]
        return either(*options, name=random.choice(NAMES))
    made = _fitting(random, value, pool, depth)
    pool.append(made)
    return made


def _fitting(random: Random, value: Any, pool: list[Pattern], depth: int) -> Pattern:
    name = random.choice(NAMES)
    if random.random() < 0.1:
        return random.choice((aten.relu.default(), aten.mul.Tensor(self=Anything(name), other=2), Weight(name)))
    if not isinstance(value, fx.Node) or depth <= 0:
        return optional(Anything("b"), name) if random.random() < 0.5 else Anything(name)
    if value.op != "call_function":
        return Weight(name)
    given = {key: part for key, part in arguments(value).items() if key in ("self", "other", "tensors", "min")}
    parts = {key: _part(random, part, pool, depth) for key, part in given.items() if random.random() < 0.8}
    if {"self", "other"} <= given.keys() and random.random() < 0.3:
        parts = dict(zip(parts, reversed(parts.values()), strict=True))  # fits when it may be exchanged
    _, operator, overload = str(value.target).split(".")
    made: Call = getattr(getattr(aten, operator), overload)(name, **parts)
    return made.either_way() if operator in ("add", "mul") and random.random() < 0.6 else made


def _part(random: Random, value: Any, pool: list[Pattern], depth: int) -> Any:
    if isinstance(value, int) and random.random() < 0.5:
        return random.choice((value, value + 1))
    if not isinstance(value, list):
        return _pattern(random, value, pool, depth - 1)
    if random.random() < 0.3:
        return [_pattern(random, part, pool, depth - 1) for part in [*value, None][: random.randint(1, 3)]]
    one = random.choice([*value, None])
    return random.choice((every, some))(_pattern(random, one, pool, depth - 1), random.choice(NAMES))


# ---- the second matcher ----


def assignments(part: Any, value: Any, known: Assignment) -> Iterator[Assignment]:
    """Every assignment that makes the part fit, what is known included."""
    match part:
        case Anything():
            yield from _also(known, part, value)
        case Weight():
            if getattr(value, "op", "") == "get_attr":
                yield from _also(known, part, value)
        case Either():
            for option in part.options:
                for found in assignments(option, value, known):
                    yield from _also(found, part, value)
        case Call():
            for found in _calls(part, value, known):
                yield from _also(found, part, value)
        case Every() | Some():
            yield from _of_lists(part, value, known)
        case Listed():
            if len(value) == len(part.parts):
                yield from _all_of(list(zip(part.parts, value, strict=True)), known)
        case Pattern():  # optional
            inner: Any = part
            for found in [known] if value is None else assignments(inner.part, value, known):
                yield from _also(found, part, value)
        case _:
            if part == value:
                yield known


def _also(known: Assignment, part: Pattern, value: Any) -> Iterator[Assignment]:
    if all(known.get(key, value) == value for key in (part, part.name) if key != ""):
        yield known | {key: value for key in (part, part.name) if key != ""}


def _calls(part: Call, value: Any, known: Assignment) -> Iterator[Assignment]:
    if not isinstance(value, fx.Node) or value.target not in part.targets:
        return
    given = arguments(value)
    yield from _all_of([(wanted, given[name]) for name, wanted in part.parts], known)
    if part.commutes and given.get("alpha", 1) == 1:
        turned = given | {"self": given["other"], "other": given["self"]}
        yield from _all_of([(wanted, turned[name]) for name, wanted in part.parts], known)


def _all_of(pairs: list[tuple[Any, Any]], known: Assignment) -> Iterator[Assignment]:
    found = [known]
    for part, value in pairs:
        found = [more for one in found for more in assignments(part, value, one)]
    yield from found


def _of_lists(part: Every | Some, value: Any, known: Assignment) -> Iterator[Assignment]:
    fitting = tuple(element for element in value if any(True for _ in assignments(part.part, element, known)))
    if fitting and (isinstance(part, Some) or len(fitting) == len(value)):
        yield from _also(known, part, fitting)


# ---- the laws ----

many = settings(max_examples=50 * settings().max_examples)
seeds = st.integers(0, 2**32)


@many
@given(seeds)
def test_a_pattern_matches_where_an_assignment_exists_and_binds_one(seed: int) -> None:
    pattern, nodes = drawn(seed)
    for node in nodes:
        found, all_of_them = pattern.match(node, Bindings()), list(assignments(pattern, node, {}))
        assert isinstance(found, Bindings) == bool(all_of_them)
        if isinstance(found, Bindings):
            assert {**found.by_pattern, **found.by_name} in all_of_them
            assert not pattern.roots() or {node.target, node.op} & pattern.roots()


@many
@given(seeds)
def test_a_miss_tells_the_way_to_a_part_that_differs(seed: int) -> None:
    pattern, nodes = drawn(seed)
    for node in nodes:
        miss = pattern.match(node, Bindings())
        if isinstance(miss, Miss):
            assert miss.reason
            assert len(miss.path) == len(miss.way)
            here: Any = node
            for step, reader in zip(miss.path, miss.way, strict=True):
                assert here is reader
                argument, _, index = step.rstrip("]").partition("[")
                here = arguments(here)[argument]
                here = here[int(index)] if index else here
            assert miss.node is None or miss.node is here


@many
@given(seeds)
def test_the_elements_of_a_list_are_bound_each_on_its_own(seed: int) -> None:
    inner = aten.add.Tensor(self=(captured := Anything("inner")), other=Anything()).either_way()
    elements = (every, some)[seed % 2](either(inner, Weight("inner")))
    for node in drawn(seed)[1]:
        found = aten.cat.default(tensors=elements).match(node, Bindings())
        if isinstance(found, Bindings):
            bound = found.each[elements]
            assert len(bound) == len(found.by_pattern[elements])
            assert "inner" not in found.by_name
            for element, own in zip(found.by_pattern[elements], bound, strict=True):
                assert own.by_name["inner"] in (element, *element.all_input_nodes)
                assert (captured in own.by_pattern) == (element.op != "get_attr")


def test_the_draws_reach_every_kind_of_end() -> None:
    """Matches by exchange, lists that fit in part, names that clash: what is never drawn is never held."""
    seen: set[str] = set()
    for seed in range(1000):
        pattern, nodes = drawn(seed)
        for node in nodes:
            found = pattern.match(node, Bindings())
            seen.update(_told(found) if isinstance(found, Miss) else _kinds(pattern, node, found))
    assert seen >= {"exchanged", "plain", "clash", "some of them", "absent", "no elements", "deep", "number", "match"}


def _told(miss: Miss) -> Iterator[str]:
    ends = {"the same as": "clash", "no elements": "no elements", "of them, not": "number", "min is": "plain"}
    yield from (end for text, end in ends.items() if text in miss.reason)
    yield from ["deep"] * (len(miss.path) > 1)


def _kinds(pattern: Pattern, node: fx.Node, found: Bindings) -> Iterator[str]:
    yield "match"
    if isinstance(pattern, Call) and pattern.commutes:
        plain = Call(pattern.name, pattern.targets, pattern.parts)
        yield from ["exchanged"] * isinstance(plain.match(node, Bindings()), Miss)
    for part, value in found.by_pattern.items():
        yield from ["some of them"] * (isinstance(part, Some) and value != tuple(arguments(node).get("tensors", value)))
        yield from ["absent"] * (value is None)


@pytest.mark.parametrize(("left", "right"), list(product((1, 2), repeat=2)))
def test_a_sum_is_exchanged_only_where_it_commutes(left: int, right: int) -> None:
    """a + alpha b is not b + alpha a."""
    graph = fx.Graph()
    x, w = graph.placeholder("x"), graph.get_attr("w")
    pattern = aten.add.Tensor(self=Weight(), other=Anything()).either_way()
    for operands, alpha in (((w, x), left), ((x, w), right)):
        found = pattern.match(graph.call_function(_aten.add.Tensor, operands, {"alpha": alpha}), Bindings())
        assert isinstance(found, Bindings) == (operands[0] is w or alpha == 1)


def test_what_does_not_commute_is_refused() -> None:
    with pytest.raises(TypeError, match=r"aten.sub.Tensor do not commute"):
        aten.sub.Tensor().either_way()
