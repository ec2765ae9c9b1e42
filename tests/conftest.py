"""Hypothesis profiles: `quick` everywhere; `nightly`, a hundred times as long, with --hypothesis-profile=nightly."""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from lowbit.api import passes
from lowbit.backends.c99 import compiler
from lowbit.recipes import shipped

# The nets are tiny: a second thread costs more than it brings.
torch.set_num_threads(1)

# A drawn network costs half a second of export, so `quick` shows the first failure as it was drawn.
settings.register_profile(
    "quick",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=16,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", deadline=None, max_examples=1600, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")

# What a test compiles runs once, so that a fast compilation counts, not fast code.
compiler.FAST = ("-O0",)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the files in tests/golden anew")


def pytest_collection_finish() -> None:
    """Modules stay for good: to look for garbage among them, again and again, is a tenth of the time of all tests."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of a pass run in one process, and all of a recipe: what they share is captured there once."""
    members = {*passes(), *shipped()}
    for item in (item for item in items if not item.get_closest_marker("xdist_group")):
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        for name in members.intersection(value for value in values if isinstance(value, str)):
            item.add_marker(pytest.mark.xdist_group(name))
