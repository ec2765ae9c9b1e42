"""Options of every pass: recipes come back as they were written, and every number is checked at both of its ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec
import pytest
import tomli_w
from lowbit.api import passes, read_recipe
from lowbit.compiler.errors import UserError
from lowbit.compiler.recipe import dump, parse, use
from lowbit.recipes import shipped
from msgspec.inspect import (
    BoolType,
    DictType,
    FloatType,
    IntType,
    LiteralType,
    NoneType,
    StructType,
    UnionType,
    type_info,
)

Values = list[Any]
every_pass = pytest.mark.parametrize("name", sorted(passes()))


def ends(kind: Any) -> tuple[Values, Values]:
    """(the legal values at the ends of an option's range, the first ones past them)."""
    match kind:
        case BoolType():
            return [False, True], ["yes"]
        case LiteralType(values=values):
            return list(values), ["none of them"]
        case IntType(ge=low, le=high):
            assert low is not None
            assert high is not None
            return [low, high], [low - 1, high + 1, low + 0.5, "1"]
        case FloatType():
            return _float_ends(kind)
        case UnionType(types=(given, NoneType())):
            return ends(given)
        case DictType(value_type=StructType() as table):
            return _table_ends(table)
    raise AssertionError(f"the law of options does not know {kind}")


def _float_ends(kind: FloatType) -> tuple[Values, Values]:
    """A closed end is legal and its neighbour is not; of an open end it is the other way round."""
    low = (math.nextafter(kind.gt, 1), kind.gt) if kind.ge is None else (kind.ge, math.nextafter(kind.ge, -1))
    high = (math.nextafter(kind.lt, 0), kind.lt) if kind.le is None else (kind.le, math.nextafter(kind.le, math.inf))
    return [low[0], high[0]], [low[1], high[1], math.inf, math.nan, "1"]


def _table_ends(table: StructType) -> tuple[Values, Values]:
    """A table of tables: every end of each key beside whichever ends of the others it goes with; one past its end."""
    keys = {field.encode_name: ends(field.type) for field in table.fields}
    drawn = product(*([(key, value) for value in legal] + [()] for key, (legal, _) in keys.items()))
    legal = [entry for pairs in drawn if _converts(entry := dict(filter(None, pairs)), table.cls)]
    for key, (values, _) in keys.items():
        assert all(any(entry.get(key) == value for entry in legal) for value in values), key
    past = [{**legal[0], key: value} for key, (_, wrong) in keys.items() for value in wrong]
    return [{"x": entry} for entry in legal], ["none", *({"x": entry} for entry in past)]


def _converts(entry: dict[str, Any], kind: type) -> bool:
    try:
        msgspec.convert(entry, kind)
    except msgspec.ValidationError:
        return False
    return True


def cases(name: str) -> Iterator[tuple[str, Values, Values]]:
    """(option, its legal ends, the values past them) of a pass."""
    info = type_info(passes()[name].options)
    assert isinstance(info, StructType)
    for field in info.fields:
        yield field.name, *ends(field.type)


def accepted(name: str, options: dict[str, Any]) -> bool:
    try:
        use({"use": name, **options}, "prepare[0]", passes())
    except UserError:
        return False
    return True


@every_pass
def test_both_ends_are_legal(name: str) -> None:
    """Alone, or with another option at an end of its own where the two are tied (begin and end)."""
    others = [{}, *({key: value} for key, legal, _ in cases(name) for value in legal)]
    for key, legal, _ in cases(name):
        for value in legal:
            assert any(accepted(name, {**other, key: value}) for other in others), (key, value)


@every_pass
def test_one_past_an_end_names_its_place(name: str) -> None:
    for key, _, past in cases(name):
        for value in past:
            for entry, place in (
                ({key: value}, f"prepare[2].{key}"),
                ({"layers": {"conv*": {key: value}}}, f'prepare[2].layers."conv*".{key}'),
            ):
                with pytest.raises(UserError) as caught:
                    use({"use": name, **entry}, "prepare[2]", passes())
                assert caught.value.where.partition("[...]")[0] == place  # where in a table of the user's own keys


@every_pass
def test_an_unknown_option_names_itself(name: str) -> None:
    with pytest.raises(UserError) as caught:
        use({"use": name, "colour": "red"}, "lower[1]", passes())
    assert caught.value.where == "lower[1].colour"


@every_pass
def test_a_recipe_comes_back(name: str) -> None:
    for key, legal, _ in cases(name):
        for value in [value for value in legal if accepted(name, {key: value})]:
            own = passes()[name].options.by_layer
            entry: dict[str, object] = {"use": name, key: value}
            if own is None or key in own:
                entry["layers"] = {"a.*": {key: value}}
            written = parse(tomli_w.dumps({"name": "r", "prepare": [entry], "lower": []}), passes())
            assert parse(dump(written), passes()) == written
            for chosen in (written.prepare[0].options, written.prepare[0].options_for("a.b")):
                assert getattr(chosen, key) == getattr(msgspec.convert({key: value}, type(chosen)), key)
            if own is not None and key not in own:
                with pytest.raises(UserError, match="holds for all layers"):
                    use({**entry, "layers": {"a.*": {key: value}}}, "prepare[0]", passes())


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_comes_back(name: str) -> None:
    assert parse(dump(read_recipe(name)), passes()) == read_recipe(name)


def test_the_last_pattern_that_fits_wins() -> None:
    layers = {"a.*": {"weight_bits": 4}, "a.b": {"weight_bits": 5}, "*.c": {"weight_bits": 6}}
    chosen = use({"use": "insert_fake_quant", "weight_bits": 3, "layers": layers}, "prepare[0]", passes())
    paths = {"a.b": 5, "a.d": 4, "a.c": 6, "e.c": 6, "e": 3}
    assert {path: chosen.options_for(path).weight_bits for path in paths} == paths  # type: ignore[attr-defined]


def test_a_schedule_ends_after_it_begins() -> None:
    assert not accepted("schedule_pruning", {"begin": 0.6, "end": 0.5})


def test_a_coefficient_starts_below_its_limit() -> None:
    assert not accepted("attach_msqe", {"initial": 2.0, "limit": 1.0})
