"""The context mixer around its model: stripes of rows, the search for settings, its tables, the choice of form."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from lowbit.backends.codec import Words
from lowbit.backends.mixing import form, model, plain, search, settings, stream, tables
from lowbit.backends.mixing.arithmetic import Encoder
from lowbit.backends.mixing.decisions import View
from lowbit.backends.mixing.settings import LITE, MAX, Grid, first
from lowbit.backends.wire import FileError, varint
from lowbit.compiler.extension import extension


def weights(*shape: int) -> Words:
    """Integers whose rows and columns differ in scale."""
    chance = np.random.default_rng(3)
    scales = chance.random((shape[0], *[1] * (len(shape) - 1))) * chance.random((1, *shape[1:])) * 6
    return np.rint(chance.normal(0, 1, shape) * scales).astype(np.int64)


@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((), Grid(1, 1, 1, 1)),
        ((7,), Grid(1, 7, 1, 1)),
        ((5, 7), Grid(5, 7, 1, 1)),
        ((5, 7, 3, 2), Grid(5, 42, 6, 2)),
        ((5, 1, 3), Grid(5, 3, 3, 3)),
        ((5, 2, 4, 1), Grid(5, 8, 4, 4)),
    ],
)
def test_a_shape_is_rows_of_channels(shape: tuple[int, ...], grid: Grid) -> None:
    assert Grid.of(shape) == grid


@pytest.mark.parametrize(("shape", "count"), [((9, 10), 2), ((16, 4), 1), ((2, 500), 2), ((100, 1), 2), ((1, 200), 1)])
def test_a_large_tensor_is_cut_into_even_runs_of_rows(
    shape: tuple[int, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STRIPE", 64)
    stripes = Grid.of(shape).stripes()
    assert len(stripes) == count
    assert sum(stripe.rows for stripe in stripes) == Grid.of(shape).rows
    assert max(stripe.rows for stripe in stripes) - min(stripe.rows for stripe in stripes) <= 1


@pytest.mark.parametrize("level", [LITE, MAX])
def test_stripes_are_coded_as_if_alone(level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values, grid = weights(40, 4, 3), Grid(10, 12, 3, 3)
    monkeypatch.setattr(settings, "STRIPE", 150)
    data = stream.encode(values, level)
    chosen = search.settings_of(values.reshape(-1), Grid.of(values.shape), 0)
    parts = [plain.encode(piece.reshape(-1), level, chosen, grid) for piece in np.split(values, 4)]
    assert data == chosen.write() + b"".join(varint(len(part)) for part in parts[:-1]) + b"".join(parts)
    assert np.array_equal(stream.decode(data, values.shape, level), values)
    for cut in (data[:4], data[:6], data[:3] + b"\xff\xff\x7f" + data[6:]):
        with pytest.raises(FileError):
            stream.decode(cut, values.shape, level)


def test_the_settings_found_are_better_than_those_to_begin_with() -> None:
    values = weights(60, 70)
    values[values.shape[0] // 3 :] = 0
    grid, flat = Grid.of(values.shape), values.reshape(-1)
    start, found = first(flat, 0), search.settings_of(flat, grid, 0)
    assert found.rows > start.rows
    sizes = [len(form.encode(flat, LITE, chosen, grid)) for chosen in (found, start)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("head", ["c0010002", "00000000", "00250000", "4001000000", "40010080808080808080808001"])
def test_settings_that_are_not_legal_are_an_error(head: str) -> None:
    with pytest.raises(FileError, match="not legal"):
        stream.decode(bytes.fromhex(head), (3,), LITE)


def test_logit_and_logistic_are_inverse_and_rise() -> None:
    logits, chances = np.array(tables.logits()), np.array(tables.logistics())
    assert (np.diff(logits) >= 0).all()
    assert (np.diff(chances) >= 0).all()
    exact = np.log(np.arange(256, 65281) / (65536 - np.arange(256, 65281))) * 256
    assert np.abs(logits[256:65281] - exact).max() < 10
    assert np.abs(chances - 65536 / (1 + np.exp(-np.arange(-3072, 3072) / 256))).max() < 130
    assert (chances.min(), chances.max()) == (1, 65535)


@pytest.mark.parametrize("end", [2**18, -(2**18)])
def test_a_weight_never_leaves_its_bounds(end: int) -> None:
    """Two estimates that contradict each other: a 1 pulls the weight of one past the bound."""
    mixer = model.Model(LITE, first(np.array([3]), 0), Grid(1, 1, 1, 1), Encoder())
    mixer._p[:2] = [2**22 - 1, 0]
    weights = [end, end, 0, 0, 0, 0]
    mixer._mixed(View(list(range(4)), []), weights, 1)
    assert max(map(abs, weights)) == 2**18
    assert min(map(abs, weights[:2])) < 2**18


@pytest.mark.parametrize(("interface", "used"), [(form.INTERFACE, True), (1, False), (None, False)])
def test_an_extension_of_other_sources_is_not_used(
    interface: int | None, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(INTERFACE=interface) if interface else SimpleNamespace()
    monkeypatch.setattr("importlib.import_module", lambda name: found)
    assert extension("_native", form.INTERFACE) == (found if used else None, not used)


def test_an_extension_of_other_sources_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form, "STALE", True)
    form._warn_of_other_sources.cache_clear()
    with pytest.warns(UserWarning, match="other sources.*install lowbit again"):
        stream.encode(weights(3, 4), LITE)
    stream.encode(weights(3, 4), LITE)  # warnings are errors: a second one would fail


def test_without_the_extension_the_bytes_are_the_same_and_slowness_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    values = weights(12, 5, 2)
    data = stream.encode(values, MAX)
    monkeypatch.setattr(form, "NATIVE", None)
    search._found.cache_clear()
    assert stream.encode(values, MAX) == data
    monkeypatch.setattr(form, "SLOW", values.size - 1)
    with pytest.warns(UserWarning, match="plain Python"):
        assert np.array_equal(stream.decode(data, values.shape, MAX), values)


@pytest.mark.parametrize(("integers", "threads"), [(2**12, False), (2**14, True)])
def test_threads_begin_where_there_is_work_for_them(
    integers: int, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(form, "NATIVE", SimpleNamespace())
    monkeypatch.setattr(form.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(form, "ThreadPoolExecutor", lambda count: begun.append(1) or ThreadPoolExecutor(count))
    assert list(form.each(lambda at: at, [integers // 2] * 2)) == [0, 1]
    assert bool(begun) == threads


def test_results_come_in_order_and_before_those_behind_them_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()
    monkeypatch.setattr(form, "NATIVE", SimpleNamespace())
    monkeypatch.setattr(form.os, "cpu_count", lambda: 2)
    results = form.each(lambda at: at == 0 or seen.wait(30), [form.FEW] * 3)
    assert next(results)
    seen.set()
    assert all(results)


@pytest.mark.parametrize("level", [LITE, MAX])
def test_bytes_behind_the_last_are_not_an_encoders(level: int) -> None:
    values, grid = np.arange(-6, 6), Grid(3, 4, 1, 1)
    known, found = first(values, 0), np.empty(12, dtype=np.int64)
    data = plain.encode(values, level, known, grid)
    assert plain.decode(data, level, known, grid, found)
    assert not plain.decode(data + bytes(8) + b"\1", level, known, grid, found)
