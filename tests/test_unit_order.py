"""The order in which units are put: those that weigh the same inputs are neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lowbit.compiler.units.order import chain


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_chain_is_found_again(rows: int, columns: int, seed: int) -> None:
    drawn = (np.random.default_rng(seed).random((rows, columns)) < 0.4).astype(np.float32)
    order = chain(drawn @ drawn.T)
    assert sorted(order) == list(range(rows))
    assert chain((drawn @ drawn.T)[order][:, order]).tolist() == list(range(rows))


def test_rows_that_share_inputs_become_neighbours() -> None:
    rows = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0]], dtype=np.float32)
    assert chain(rows @ rows.T).tolist() == [4, 0, 2, 1, 3]


def test_a_row_with_little_else_is_nearer_than_one_that_shares_as_much() -> None:
    rows = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 1, 0, 0, 0]], dtype=np.float32)
    assert chain(rows @ rows.T).tolist() == [0, 2, 1]
