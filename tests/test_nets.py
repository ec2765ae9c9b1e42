"""The drawn networks: every word of the strategy comes up with each option, and all are captured alike twice."""

from __future__ import annotations

import pytest
from hypothesis import settings
from lowbit.compiler.sketches.sketch import build
from lowbit.compiler.text import text
from lowbit.testing import graph
from lowbit.testing.nets import ACTS, INPUTS, NORMS, covering, drawn, features

SPOKEN = {
    *(f"input {sizes}" for sizes in INPUTS),
    *(["+", "cat", "*", "twice", "tied", "sigmoid", "maxpool", "avgpool", "gap", "view", "rows", "mix"]),
    *("linear coarse", *(f"{word} {option}" for word in ("conv", "tconv") for option in ("k", "stride", "nobias"))),
    *(f"{word} {option}" for word in ("conv", "tconv") for option in ("groups", "coarse")),
    *(feature for word in (*NORMS, *ACTS) for feature in features(word)),
}
"""What the strategy can say: the features of whatever it draws."""


def test_every_word_comes_up() -> None:
    heard = set().union(*map(features, drawn()))
    assert SPOKEN - heard == set()


def test_the_words_are_those_of_the_strategy() -> None:
    """Drawn by the hundred it says nothing that is not awaited, but for the words without their options."""
    heard = set().union(*map(features, drawn(40)))
    assert heard == SPOKEN | {feature.split()[0] for feature in SPOKEN}


def test_there_are_as_many_as_the_profile_asks_for() -> None:
    assert len(set(drawn())) == settings().max_examples
    assert len(drawn(3)) == 3


def test_the_networks_that_say_the_most_come_first() -> None:
    pool = ["conv(2)", "bn(tiny)", "conv(2) bn(tiny)", "tconv(2,groups=2)", "tconv(4,groups=2) bn"]
    assert features("tconv(2,groups=2) [ bn(tiny) ] +") == {"tconv", "tconv groups", "bn", "bn tiny", "+"}
    assert covering(pool, 2) == ["conv(2) bn(tiny)", "tconv(2,groups=2)"]
    assert covering(pool, 3)[-1] == "tconv(4,groups=2) bn", "once more from the beginning"
    assert sorted(covering(pool, 9)) == sorted(pool)


@pytest.mark.parametrize("sketch", drawn())
def test_two_captures_are_alike(sketch: str) -> None:
    assert text(build(sketch), origins=True) == text(graph(sketch), origins=True)
