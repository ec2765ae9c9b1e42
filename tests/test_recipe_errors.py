"""A wrong recipe is one clear message that names its place and the way out."""

from __future__ import annotations

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
WRONG = {
    "bad TOML": ("[[prepare]\n", "", "not valid TOML"),
    "unknown key": ("colour = 1\n", "", "unknown recipe key 'colour'"),
    "name of a number": ("name = 3\n", "name", "must be text"),
    "post_training of text": ('post_training = "yes"\n', "post_training", "must be true or false"),
    "post_training of a leaf": ('post_training = true\nleaves = ["a"]\n', "post_training", "does not go with leaves"),
    "one table": ('[prepare]\nuse = "freeze"\n', "", "must be a list of tables"),
    "no pass": ("[[prepare]]\nweight_bits = 4\n", "prepare[0].use", "no pass is called None"),
    "unknown pass": (GRID + '[[prepare]]\nuse = "quantise"\n', "prepare[1].use", "no pass is called 'quantise'"),
    "unknown option": (GRID + "bits = 4\n", "prepare[0].bits", "unknown option"),
    "bits 0": (GRID + GRID + "weight_bits = 0\n", "prepare[1].weight_bits", ">= 2"),
    "bits 17": (GRID + "activation_bits = 17\n", "prepare[0].activation_bits", "<= 16"),
    "bits of text": (GRID + 'weight_bits = "4"\n', "prepare[0].weight_bits", "Expected `int`"),
    "bits of a layer": (GRID + 'layers."a.*" = {weight_bits = 1}\n', 'prepare[0].layers."a.*".weight_bits', ">= 2"),
    "layers of text": (GRID + 'layers = "a"\n', "prepare[0].layers", "must map patterns"),
    "in lower": ('[[lower]]\nuse = "freeze"\nhard = true\n', "lower[0].hard", "unknown option"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_place_is_named(case: str) -> None:
    text, place, says = WRONG[case]
    with pytest.raises(UserError) as caught:
        parse(text, passes())
    assert caught.value.where == place
    assert says in caught.value.what


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
