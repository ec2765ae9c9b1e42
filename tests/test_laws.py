"""Every law can fail: for each there is a pass that breaks it, and a law that compared nothing would let it through."""

from __future__ import annotations

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
    "quiet": "fires",
    "mute": "refuses",
}
"""A pass of `wrong` -> the law that it breaks."""


@pytest.mark.parametrize("name", WRONG)
def test_a_law_can_fail(name: str) -> None:
    with pytest.raises(AssertionError):
        LAWS[WRONG[name]](f"wrong:{name}", 1)


@pytest.mark.parametrize("name", ["exact", "slope", "bytes_of_weights"])
def test_what_breaks_one_law_keeps_the_others(name: str) -> None:
    for law in {"legal", "deterministic", "provenance", "order"}:
        LAWS[law](f"wrong:{name}", 1)


@pytest.mark.parametrize("law", ["every_rule_fires", "every_guard_refuses"])
def test_the_census_can_fail(law: str) -> None:
    """Its rule never fires, and its guard never refuses."""
    with pytest.raises(AssertionError):
        LAWS[law]("wrong:mute" if law == "every_guard_refuses" else "wrong:quiet", 1)
