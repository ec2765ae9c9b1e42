"""Options of every pass, held to the laws of options; and how those of layers and of tied options are taken."""

from __future__ import annotations

import pytest
from lowbit.api import passes, read_recipe
from lowbit.compiler.recipe import dump, parse, use
from lowbit.recipes import shipped
from lowbit.testing import OPTIONS, options


@pytest.mark.parametrize("name", sorted(passes()))
@pytest.mark.parametrize("law", OPTIONS)
def test_law(name: str, law: str) -> None:
    OPTIONS[law](name)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_recipe_comes_back(name: str) -> None:
    assert parse(dump(read_recipe(name)), passes()) == read_recipe(name)


def test_the_last_pattern_that_fits_wins() -> None:
    layers = {"a.*": {"weight_bits": 4}, "a.b": {"weight_bits": 5}, "*.c": {"weight_bits": 6}}
    chosen = use({"use": "insert_fake_quant", "weight_bits": 3, "layers": layers}, "prepare[0]", passes())
    paths = {"a.b": 5, "a.d": 4, "a.c": 6, "e.c": 6, "e": 3}
    assert {path: chosen.options_for(path).weight_bits for path in paths} == paths  # type: ignore[attr-defined]


def test_a_schedule_ends_after_it_begins() -> None:
    assert not options.accepted("schedule_pruning", {"begin": 0.6, "end": 0.5})


def test_a_coefficient_starts_below_its_limit() -> None:
    assert not options.accepted("attach_msqe", {"initial": 2.0, "limit": 1.0})
