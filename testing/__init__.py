"""The laws that every pass is held to, for passes of other packages as well.

    from lowbit.testing import pass_laws

    test_my_pass = pass_laws("mypkg.passes:my_pass")

is a test for pytest with one item a law: the pass keeps graphs legal, does what its own law says, and is shown to fire
and to refuse by its evidence and on drawn networks. It takes the extra `testing`: pytest and hypothesis.
"""

import pytest

_FILES = ("evidence", "laws", "options", "suite")
pytest.register_assert_rewrite(*(f"{__name__}.{file}" for file in _FILES))

from . import options  # noqa: E402  # once their assertions can tell values
from .suite import CENSUS, EVIDENCE, LAWS, NETWORKS, OPTIONS, TRIALS, Law, pass_laws  # noqa: E402
from .trials import fires, graph, refuses, result, split, trials  # noqa: E402

__all__ = [
    "CENSUS",
    "EVIDENCE",
    "LAWS",
    "NETWORKS",
    "OPTIONS",
    "TRIALS",
    "Law",
    "fires",
    "graph",
    "options",
    "pass_laws",
    "refuses",
    "result",
    "split",
    "trials",
]
