"""A wrong recipe is one clear message that names its place and the way out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lowbit import prepare, read_recipe
from lowbit.api import passes
from lowbit.compiler.contract import Exact, Options, Pass
from lowbit.compiler.errors import UserError
from lowbit.compiler.facts import Fact
from lowbit.compiler.pipeline import Use, ordered
from lowbit.compiler.recipe import parse
from lowbit.compiler.sketches.sketch import network

GRID = '[[prepare]]\nuse = "insert_fake_quant"\n'
LOWER = '[[lower]]\nuse = "freeze"\n'
PLACE = "lowbit.passes.freeze:PASS"
WRONG = {
    "bad TOML": ("[[prepare]\n", "line 1: [[prepare]", "not valid TOML"),
    "bad value": (GRID + "weight_bits =\n", "line 3: weight_bits =", "not valid TOML"),
    "bad line": ("name = \n" + GRID, "line 1: name =", "not valid TOML"),
    "no end": ('name = "a', 'line 1: name = "a', "not valid TOML"),
    "nothing ends": ('a = """', 'line 1: a = """', "not valid TOML"),
    "unknown key": ("colour = 1\n", "colour", "unknown recipe key 'colour'"),
    "name of a number": ("name = 3\n", "name", "must be text"),
    "post_training of text": ('post_training = "yes"\n', "post_training", "must be true or false"),
    "post_training of a leaf": ('post_training = true\nleaves = ["a"]\n', "post_training", "does not go with leaves"),
    "one table": ('[prepare]\nuse = "freeze"\n', "prepare", "must be a list of tables"),
    "a list of names": ('prepare = ["freeze"]\n', "prepare", "must be a list of tables"),
    "lower of text": ('lower = "freeze"\n', "lower", "must be a list of tables"),
    "summary of a list": ("summary = []\n", "summary", "must be text"),
    "leaves of text": ('leaves = "a"\n', "leaves", "must be a list of patterns"),
    "leaves of numbers": ("leaves = [1]\n", "leaves", "must be a list of patterns"),
    "no pass": (GRID + "[[prepare]]\nweight_bits = 4\n", "prepare[1]", "'prepare[1]' names no pass"),
    "pass of a number": ("[[lower]]\nuse = 3\n", "lower[0].use", "no pass is called 3"),
    "pass of a list": ("[[lower]]\nuse = []\n", "lower[0].use", "no pass is called []"),
    "unknown pass": (GRID + '[[prepare]]\nuse = "quantise"\n', "prepare[1].use", "no pass is called 'quantise'"),
    "unknown option": (GRID + "bits = 4\n", "prepare[0].bits", "unknown option"),
    "twice": (GRID + GRID, "prepare[1].use", "'insert_fake_quant' stands twice under [[prepare]]"),
    "twice in lower": (LOWER + LOWER, "lower[1].use", "'freeze' stands twice under [[lower]]"),
    "twice by its place": (LOWER + LOWER.replace("freeze", PLACE), "lower[1].use", "stands twice under [[lower]]"),
    "bits 0": (LOWER + GRID + "weight_bits = 0\n", "prepare[0].weight_bits", ">= 1"),
    "unknown option of a layer": (GRID + "layers.a = {bits = 1}\n", 'prepare[0].layers."a".bits', "unknown option"),
    "unknown key of inputs": (GRID + "inputs.a = {zero = 1}\n", "prepare[0].inputs[...]", "missing option `scale`"),
    "bits 17": (GRID + "activation_bits = 17\n", "prepare[0].activation_bits", "<= 16"),
    "bits of text": (GRID + 'weight_bits = "4"\n', "prepare[0].weight_bits", "Expected `int`"),
    "bits of a layer": (GRID + 'layers."a.*" = {weight_bits = 0}\n', 'prepare[0].layers."a.*".weight_bits', ">= 1"),
    "layers of text": (GRID + 'layers = "a"\n', "prepare[0].layers", "must map patterns"),
    "for all layers": (
        '[[prepare]]\nuse = "equalize"\nlayers.a = {rounds = 2}\n',
        'prepare[0].layers."a".rounds',
        "'rounds' holds for all layers",
    ),
    "in lower": ('[[lower]]\nuse = "freeze"\nhard = true\n', "lower[0].hard", "unknown option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_place_is_named(case: str) -> None:
    text, place, says = WRONG[case]
    with pytest.raises(UserError) as caught:
        parse(text, passes())
    assert caught.value.where == place
    assert says in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("case", ["bad TOML", "unknown key", "twice", "bits 0"])
def test_the_file_is_named(case: str, tmp_path: Path) -> None:
    text, place, _ = WRONG[case]
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "mine.toml")
    assert caught.value.where == f"{tmp_path / 'mine.toml'}: {place}"


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GRID, encoding="utf-8-sig")
    assert read_recipe(tmp_path / "mine.toml") == parse(GRID, passes())


def test_what_cleans_up_behind_others_may_stand_twice() -> None:
    twice = parse(2 * '[[prepare]]\nuse = "normalize"\n', passes())
    assert [use.name for use in twice.prepare] == ["normalize", "normalize"]
    assert parse(LOWER + LOWER.replace("lower", "prepare"), passes()).lower  # once in each list


def test_no_way_to_a_recipe_takes_a_pass_twice() -> None:
    once = parse(GRID, passes())
    with pytest.raises(UserError, match="'insert_fake_quant' stands twice"):
        replace(once, prepare=2 * once.prepare)


def prepared_with(toml: str) -> None:
    model, x = network("conv(3) relu")
    prepare(model, (x,), parse(toml, passes()), steps=5)


def test_a_pattern_that_matches_nothing_lists_the_layers() -> None:
    with pytest.raises(UserError) as caught:
        prepared_with(GRID + 'layers."head.*" = {weight_bits = 4}\n')
    assert "'head.*'" in caught.value.what
    assert "matches nothing" in caught.value.what
    assert "use one of: 0, 1" in caught.value.fix


def test_a_missing_pass_is_asked_for() -> None:
    with pytest.raises(UserError) as caught:
        prepared_with('[[prepare]]\nuse = "attach_msqe"\n')
    assert "'attach_msqe' needs 'every weight on a grid'" in caught.value.what
    assert caught.value.where


def test_the_order_of_facts_is_found() -> None:
    """Whatever the order in the file: who leaves a fact runs before who needs it."""
    prepared_with('[[prepare]]\nuse = "attach_msqe"\n' + GRID)
    prepared_with(GRID + '[[lower]]\nuse = "fold_batch_norm"\n[[lower]]\nuse = "freeze"\n')


def test_an_impossible_order_names_both_passes() -> None:
    hen, egg = Fact("a hen", lambda graph: ""), Fact("an egg", lambda graph: "")
    lay, hatch = Pass((), Exact(), needs=(hen,), leaves=(egg,)), Pass((), Exact(), needs=(egg,), leaves=(hen,))
    with pytest.raises(UserError) as caught:
        ordered([Use("lay", lay, Options()), Use("hatch", hatch, Options())])
    assert "cannot be ordered" in caught.value.what
    assert all(f"'{name}'" in caught.value.what for name in ("lay", "hatch"))


def test_an_unknown_recipe_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no recipe 'choi2021'") as caught:
        read_recipe("choi2021")
    assert "choi2020" in caught.value.fix
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError):
        read_recipe(tmp_path / "binary.toml")


def test_a_pass_behind_the_one_that_ends_what_it_needs_names_both() -> None:
    model, x = network("conv(3) bn relu")
    toml = 'post_training = true\n[[prepare]]\nuse = "insert_fake_quant"\n[[prepare]]\nuse = "fold_batch_norm"\n'
    with pytest.raises(UserError, match="'fold_batch_norm' needs 'no trainable grid'") as caught:
        prepare(model, (x,), parse(toml, passes()))
    assert caught.value.why == "'insert_fake_quant', which ran before it, ended that"
    assert caught.value.fix == "put 'fold_batch_norm' before 'insert_fake_quant' in the recipe"
