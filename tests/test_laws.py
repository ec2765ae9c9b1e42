"""Every law can fail: for each there is a pass that breaks it, and a law that compared nothing would let it through."""

from __future__ import annotations

import re

import pytest
from lowbit.testing import LAWS

WRONG = {
    "pure": "pure",
    "pure_of_unread": "pure",
    "deterministic": "deterministic",
    "idempotent": "idempotent",
    "multiplications": "frugal",
    "bytes_of_weights": "frugal",
    "needless": "costs_are_needed",
    "provenance": "provenance",
    "order": "order",
    "exact": "meaning",
    "close": "meaning",
    "slope": "meaning",
    "trained": "meaning",
    "legal": "legal",
    "gradient": "gradient",
    "on_grid": "meaning",
    "unsigned_grid": "meaning",
    "raised": "meaning",
    "integers": "meaning",
    "steps": "meaning",
    "no_integers": "meaning",
    "quiet": "fires",
    "mute": "refuses",
}
"""A pass of `wrong` -> the law that it breaks."""
SAYS = {
    "legal": "legal broke G6: the penalty 'vector' is not a scalar",
    "gradient": "the gradient is .*, the slope ",
    "on_grid": "not all readers of relu read its grid",
    "unsigned_grid": "is unsigned and meets negative values",
    "raised": "output 0 changes by ",
    "integers": "an integer of an output is another",
    "steps": "rounds moves by .* steps",
    "no_integers": "what had an integer form has none any more",
}
"""A pass of `wrong` -> what is said of it."""


@pytest.mark.parametrize("name", WRONG)
def test_a_law_can_fail(name: str) -> None:
    with pytest.raises(AssertionError):
        LAWS[WRONG[name]](f"wrong:{name}", 1)


@pytest.mark.parametrize("name", SAYS)
def test_the_pass_the_law_and_the_reason_are_told(name: str) -> None:
    with pytest.raises(AssertionError, match=f"wrong:{name} broke '{WRONG[name]}' on: ") as caught:
        LAWS[WRONG[name]](f"wrong:{name}", 1)
    assert re.search(SAYS[name], str(caught.value.__cause__))


def test_what_raises_to_the_floor_that_it_tells_keeps_the_law() -> None:
    LAWS["meaning"]("wrong:raised_by_half", 1)


@pytest.mark.parametrize("name", ["exact", "slope", "bytes_of_weights"])
def test_what_breaks_one_law_keeps_the_others(name: str) -> None:
    for law in {"legal", "deterministic", "provenance", "order"}:
        LAWS[law](f"wrong:{name}", 1)


@pytest.mark.parametrize("law", ["every_rule_fires", "every_guard_refuses"])
def test_the_census_can_fail(law: str) -> None:
    """Its rule never fires, and its guard never refuses."""
    with pytest.raises(AssertionError):
        LAWS[law]("wrong:mute" if law == "every_guard_refuses" else "wrong:quiet", 1)
