"""The laws of options: recipes come back as they were written, and every number is checked at both of its ends."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import msgspec
import pytest
import tomli_w
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

from ..api import passes
from ..compiler.errors import UserError
from ..compiler.recipe import dump, parse, use
from .trials import found

Values = list[Any]


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
    low, low_past = _end(kind.ge, kind.gt, math.inf)
    high, high_past = _end(kind.le, kind.lt, -math.inf)
    return [low, high], [low_past, high_past, math.inf, math.nan, "1"]


def _end(closed: float | None, open_: float | None, inwards: float) -> tuple[float, float]:
    """(the last legal number, the first one past it)."""
    if closed is not None:
        return closed, math.nextafter(closed, -inwards)
    assert open_ is not None, "a number has two ends"
    return math.nextafter(open_, inwards), open_


def _table_ends(table: StructType) -> tuple[Values, Values]:
    """A table of tables: every end of each key beside whichever ends of the others it goes with; one past its end."""
    keys = {field.encode_name: ends(field.type) for field in table.fields}
    drawn = product(*([{}, *({key: value} for value in legal)] for key, (legal, _) in keys.items()))
    entries: list[dict[str, Any]] = [dict(ChainMap(*parts)) for parts in drawn]
    legal = [entry for entry in entries if _converts(entry, table.cls)]
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
    info = type_info(found(name).options)
    assert isinstance(info, StructType)
    for field in info.fields:
        yield field.name, *ends(field.type)


def toml(value: Any) -> str:
    """A value as a recipe spells it."""
    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def accepted(name: str, options: dict[str, Any]) -> bool:
    try:
        use({"use": name, **options}, "prepare[0]", passes())
    except UserError:
        return False
    return True


def both_ends_are_legal(name: str, networks: int | None = None) -> None:
    """Alone, or with up to three others at ends of their own where they are tied, as begin and end are."""
    ends = [(key, value) for key, legal, _ in cases(name) for value in legal]
    for key, value in ends:
        others = (dict(chosen) for count in range(4) for chosen in combinations(ends, count))
        assert any(accepted(name, {**other, key: value}) for other in others), (key, value)


def one_past_an_end_names_its_place(name: str, networks: int | None = None) -> None:
    for key, _, past in cases(name):
        for value in past:
            for entry, place in (
                ({key: value}, f"prepare[2].{key}"),
                ({"layers": {"conv*": {key: value}}}, f'prepare[2].layers."conv*".{key}'),
            ):
                with pytest.raises(UserError) as caught:
                    use({"use": name, **entry}, "prepare[2]", passes())
                assert caught.value.where.partition("[...]")[0] == place  # where in a table of the user's own keys


def an_unknown_option_names_itself(name: str, networks: int | None = None) -> None:
    with pytest.raises(UserError) as caught:
        use({"use": name, "colour": "red"}, "lower[1]", passes())
    assert caught.value.where == "lower[1].colour"


def a_recipe_comes_back(name: str, networks: int | None = None) -> None:
    for key, legal, _ in cases(name):
        for value in [value for value in legal if accepted(name, {key: value})]:
            own = found(name).options.by_layer
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
