"""`PASS.OPTION=VALUE` is what the recipe would say in its place, and is refused for the same reasons."""

from __future__ import annotations

import re

import pytest
from lowbit.api import passes
from lowbit.cli.main import main
from lowbit.compiler.errors import UserError
from lowbit.compiler.recipe import Recipe, parse
from lowbit.compiler.settings import explained, override, settings
from lowbit.testing import options

every_pass = pytest.mark.parametrize("name", sorted(passes()))


def recipe(*lines: str, name: str = "insert_fake_quant") -> Recipe:
    return parse("\n".join(('name = "r"', "[[prepare]]", f'use = "{name}"', *lines)), passes())


@every_pass
def test_an_option_is_what_the_recipe_would_say(name: str) -> None:
    for key, legal, _ in options.cases(name):
        for value in legal:
            if options.accepted(name, {key: value}) and not isinstance(value, dict):
                text = value if isinstance(value, str) else options.toml(value)
                assert override(recipe(name=name), [f"{name}.{key}={text}"]) == recipe(
                    f"{key} = {options.toml(value)}", name=name
                )


@every_pass
def test_one_past_an_end_is_refused(name: str) -> None:
    for key, _, past in options.cases(name):
        for value in past:
            with pytest.raises(UserError) as caught:
                override(recipe(name=name), [f"{name}.{key}={options.toml(value)}"])
            assert caught.value.where == f"--set {name}.{key}"


@every_pass
def test_every_option_is_told(name: str) -> None:
    kind = passes()[name].options
    told = settings(kind)
    assert [setting.name for setting in told] == list(kind.__struct_fields__)
    assert all(setting.type and setting.default for setting in told)
    assert bool(explained(kind)) == bool(told)


@every_pass
def test_every_option_is_explained(name: str) -> None:
    """`bits: what they are.` or `begin, end: when.`, in the docstring of the options or of those that they extend."""
    kind = passes()[name].options
    subjects = re.findall(r"(?:^|\.   |\. |\n)((?:\w+, )*\w+): \S", explained(kind))
    words = {word for subject in subjects for word in subject.split(", ")}
    assert set(kind.__struct_fields__) <= words


def test_options_that_are_tied_are_set_together() -> None:
    """Neither of them alone would be legal."""
    pruned = override(recipe(name="schedule_pruning"), ["schedule_pruning.begin=0.6", "schedule_pruning.end=0.7"])
    assert pruned == recipe("begin = 0.6", "end = 0.7", name="schedule_pruning")


def test_a_layer_keeps_what_it_says_itself() -> None:
    layers = 'layers."a" = { weight_bits = 3 }'
    assert override(recipe(layers), ["insert_fake_quant.weight_bits=5"]) == recipe("weight_bits = 5", layers)
    assert override(recipe(layers), ["insert_fake_quant.input_bits=5"]) == recipe("input_bits = 5", layers)


WRONG = {
    "insert_fake_quant.weight_bits": ("sets no option", "PASS.OPTION=VALUE"),
    "weight_bits=4": ("sets no option", "PASS.OPTION=VALUE"),
    "attach_msqe.alpha=1": ("does not use 'attach_msqe'", "it uses: insert_fake_quant, freeze"),
    "insert_fake_quant.colour=4": ("unknown option", "the options are: weights, activations, "),
    "insert_fake_quant.weight_bits=four": ("Expected `int`", "the options are"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        override(recipe(), [text])
    what, fix = WRONG[text]
    assert what in caught.value.what
    assert fix in caught.value.fix


def test_compile_refuses_it_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    source = ("lowbit.cli.demo:digits_net", "--recipe", "choi2020", "--data", "digits", "-o", "never.lowbit")
    assert main(["compile", *source, "--set", "insert_fake_quant.weight_bits=99"]) == 1
    assert "--set insert_fake_quant.weight_bits" in capsys.readouterr().err
