"""Every codec's laws: what comes back is what went in, nothing is left over, and bad bytes are a clean error."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from codec_edges import EDGES, LEAST, MOST, bell, rows, sparse, words
from hypothesis import given
from hypothesis import strategies as st
from lowbit.backends import frequencies
from lowbit.backends.bits import gamma, gamma_order, pack, zigzag
from lowbit.backends.codec import Words, codecs, names_by_code, smallest
from lowbit.backends.codecs import rans
from lowbit.backends.mixing import form
from lowbit.backends.wire import Cursor, FileError
from lowbit.compiler.errors import Unsupported, UserError
from programs import laws

LAWS = laws(80)
ANY_BYTES = ("cm", "cm_max", "older_cm", "older_cm_max")
"""Codecs that read almost any bytes as some integers; that they are the right ones, the checksums of a file tell."""
every_codec = pytest.mark.parametrize("name", sorted(codecs()))


small = st.lists(st.integers(-8, 7), max_size=200)
wide = st.lists(st.integers(LEAST, MOST), max_size=40)
mixed = st.lists(st.one_of(st.just(0), st.integers(-3, 3), st.integers(LEAST, MOST)), max_size=60)
runs = st.lists(st.tuples(st.integers(-300, 300), st.integers(1, 400)), max_size=6).map(
    lambda pairs: [value for value, times in pairs for _ in range(times)]
)
grids = st.tuples(*[st.integers(1, 4)] * 3, st.lists(st.integers(-9, 9), max_size=9)).map(
    lambda drawn: np.resize(np.array([0, *drawn[3]]), drawn[:3])
)
integers = st.one_of(st.one_of(small, wide, mixed, runs).map(words), grids)


def skip_what_takes_minutes(name: str, values: Words) -> None:
    if form.NATIVE is None and name in ANY_BYTES and values.size > 5000:
        pytest.skip("there was no C compiler at installation, and plain Python takes minutes")


def check_round_trip(name: str, values: Words) -> None:
    codec = codecs()[name]
    try:
        data = codec.encode(values)
    except Unsupported:
        return
    found = codec.decode(data, values.shape)
    assert found.dtype == np.int64
    assert np.array_equal(found, values)
    assert codec.encode(values.copy()) == data


@every_codec
@LAWS
@given(values=integers)
def test_what_comes_back_is_what_went_in(name: str, values: Words) -> None:
    check_round_trip(name, values)


@every_codec
@pytest.mark.parametrize("edge", EDGES)
def test_edges_come_back(name: str, edge: str) -> None:
    skip_what_takes_minutes(name, EDGES[edge])
    check_round_trip(name, EDGES[edge])


@LAWS
@given(values=integers)
def test_some_codec_takes_any_integers(values: Words) -> None:
    codec, data = smallest(values)
    assert np.array_equal(codec.decode(data, values.shape), values)


@every_codec
@pytest.mark.parametrize(
    "edge", ["zero", "extremes", "all equal", "around powers of two", "one rare", "many lanes", "kernels"]
)
def test_nothing_is_left_over_and_nothing_may_lack(name: str, edge: str) -> None:
    values = EDGES[edge]
    skip_what_takes_minutes(name, values)
    try:
        data = codecs()[name].encode(values)
    except Unsupported:
        return
    shorter = [data[:size] for size in sorted({*range(min(len(data), 40)), *range(max(len(data) - 9, 0), len(data))})]
    longer = [data + more for more in (b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\xff" * 9, bytes(8), bytes(8) + b"\x01")]
    for changed in [*shorter, *longer]:
        found = check_total(name, changed, values.shape)
        assert found is None or (name in ANY_BYTES and not np.array_equal(found, values))


def check_total(name: str, data: bytes, shape: tuple[int, ...]) -> Words | None:
    """Any bytes are integers of that shape or a FileError, never anything else."""
    try:
        found = codecs()[name].decode(data, shape)
    except FileError:
        return None
    assert found.dtype == np.int64
    assert found.shape == shape
    return found


@every_codec
@LAWS
@given(data=st.binary(max_size=60), count=st.integers(0, 200))
def test_any_bytes_are_integers_or_an_error(name: str, data: bytes, count: int) -> None:
    check_total(name, data, (count,))
    check_total(name, data, (2, count // 7, 3))


@every_codec
@pytest.mark.parametrize("edge", ["extremes", "powers of two", "two far apart", "many lanes"])
def test_damaged_bytes_are_integers_or_an_error(name: str, edge: str) -> None:
    values, chance = EDGES[edge], random.Random(5)
    skip_what_takes_minutes(name, values)
    try:
        data = codecs()[name].encode(values)
    except Unsupported:
        return
    for _ in range(400 if len(data) < 4000 else 40):
        changed = bytearray(data)
        changed[chance.randrange(min(len(data), 60))] = chance.randrange(256)
        check_total(name, bytes(changed), values.shape)


def test_a_value_past_int64_is_an_error() -> None:
    most = codecs()["packed"].encode(words([MOST]))
    with pytest.raises(FileError, match="more than 64 bits"):
        codecs()["packed"].decode(b"\x01" + most[1:] + b"\x01", (1,))


def test_an_integer_of_too_many_bits_is_an_error() -> None:
    with pytest.raises(FileError, match="more than 64 bits"):
        codecs()["gamma"].decode(bytes([0, 0, *[0] * 8, 2, *[255] * 8, 1]), (1,))


@pytest.mark.parametrize(
    ("shown", "says"),
    [([0, 0, 5], "do not sum"), ([1, 255, 5], "do not sum"), ([0, 200, 56], "do not sum"), ([0, 256, 0], "do not sum")],
)
def test_a_table_has_one_most_frequent_symbol(shown: list[int], says: str) -> None:
    written = pack(np.concatenate([gamma(np.zeros(2, dtype=np.uint64), 0), gamma(np.array(shown, dtype=np.uint64), 0)]))
    with pytest.raises(FileError, match=says):
        frequencies.read(Cursor(bytes([7, 2, 0, 0]) + written))


def test_lanes_must_end_where_they_began() -> None:
    data = bytearray(rans.CODEC.encode(words([0, 1, 0, 0])))
    assert data[-1] == 0  # the top of the only state: no words follow
    data[-2] += 1
    with pytest.raises(FileError, match="do not end where they should"):
        rans.CODEC.decode(bytes(data), (4,))


def entropy(values: Words) -> float:
    """Bytes of the zeroth-order entropy."""
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / values.size)).sum() / 8)


WEIGHTS = {
    "400k sparse": (sparse(400_000, 0.987), 1.005),
    "400k sparser": (sparse(400_000, 0.995), 1.01),
    "60k at 4 bits": (bell(60_000, 2.5, 7), 1.007),
    "60k at 8 bits": (bell(60_000, 30, 127), 1.01),
    "25k at 90 %": (sparse(25_000, 0.9), 1.01),
    "500 at 3 bits": (bell(500, 1.3, 3), 1.12),
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_come_near_their_entropy(kind: str) -> None:
    values, most = WEIGHTS[kind]
    assert len(smallest(values, "rans")[1]) <= most * entropy(values)


@pytest.mark.parametrize(("name", "most"), [("cm", 0.89), ("cm_max", 0.89), ("older_cm", 0.9), ("older_cm_max", 0.89)])
def test_context_mixing_sees_what_frequencies_do_not(name: str, most: float) -> None:
    values = rows(40, 120)
    assert len(codecs()[name].encode(values)) <= most * entropy(values)


@pytest.mark.parametrize("value", [0, -1, 5, 63, -64])
def test_a_constant_tensor_costs_two_bytes(value: int) -> None:
    assert len(smallest(words([value] * 10_000))[1]) == 2


def test_biases_cost_little_more_than_their_spread() -> None:
    biases = bell(512, 4000, 2**20)
    assert len(smallest(biases)[1]) <= 512 * (np.log2(4000) + 2.6) / 8


@pytest.mark.parametrize("spread", [0, 3, 1000, 2**40])
def test_gamma_takes_the_order_of_the_fewest_bits(spread: int) -> None:
    folded = zigzag(bell(200, spread, MOST))
    sizes = [gamma(folded, order).size for order in range(64)]
    assert gamma_order(folded) == sizes.index(min(sizes))


def test_multiples_of_a_power_of_two_cost_what_they_are_multiples_by() -> None:
    biases, codec = bell(512, 40, 2**20), codecs()["gamma"]
    assert len(codec.encode(biases << 9)) == len(codec.encode(biases)) + 1


def test_a_shift_of_nothing_is_an_error() -> None:
    with pytest.raises(FileError, match="the shift is 0"):
        codecs()["gamma"].decode(bytes([64, 0, 0, 1]), (1,))


def test_gamma_takes_no_memory_for_what_is_behind_its_integers() -> None:
    """A byte of ones is eight ends of integers, of eight bytes each."""
    data = bytes(2) + b"\xff" * 2**23
    tracemalloc.start()
    with pytest.raises(FileError, match="left over"):
        codecs()["gamma"].decode(data, (1,))
    with pytest.raises(FileError, match="left over"):
        codecs()["gamma"].decode(data, (2**19,))
    assert tracemalloc.get_traced_memory()[1] < 12 * len(data)
    tracemalloc.stop()


@pytest.mark.parametrize("edge", EDGES)
def test_edges_come_back_by_rans_without_the_extension(monkeypatch: pytest.MonkeyPatch, edge: str) -> None:
    monkeypatch.setattr(form, "NATIVE", None)
    check_round_trip("rans", EDGES[edge])


@pytest.mark.parametrize("edge", ["many lanes", "more than a chunk"])
def test_numpy_and_plain_integers_agree_on_every_lane(monkeypatch: pytest.MonkeyPatch, edge: str) -> None:
    values = EDGES[edge]
    data = rans.CODEC.encode(values)
    assert data[0] >> 4 >= 5
    assert np.array_equal(rans.CODEC.decode(data, values.shape), values)
    monkeypatch.setattr(form, "NATIVE", None)
    assert np.array_equal(rans.CODEC.decode(data, values.shape), values)
    monkeypatch.setattr(rans, "_write_rows", rans._write_each)
    monkeypatch.setattr(rans, "_read_rows", rans._read_each)
    assert rans.CODEC.encode(values) == data
    assert np.array_equal(rans.CODEC.decode(data, values.shape), values)


GOLDEN = {
    ("packed", "empty"): "0000",
    (
        "packed",
        "extremes",
    ): "40ffffffffffffffffff010000000000000000ffffffffffffffff0000000000000080ffffffffffffff7f0100000000000080",
    ("packed", "all equal"): "000d",
    ("gamma", "empty"): "0000",
    ("gamma", "extremes"): "010000000000000000800000000000000080fbfffffffffffffff7ffffffffffffff0b",
    ("gamma", "primes"): "020a2e11f13710907f06",
    ("gamma", "multiples"): "430900266c8d5004",
    ("packed", "primes"): "0504208c92d68b21841100",
    ("rans", "primes"): "0707040495d24d55090e11d100083aa6050053fedad9",
    ("rans", "one rare"): "0d0100004801b724eb11003279",
    ("older_cm", "primes"): "450e570a21add040d05b9f23",
    ("older_cm", "one row"): "0504164be2ba0a0a6d7f02d3e64829cd752fa8385c0a",
    ("older_cm", "widest for context mixing"): "0524f500000000000088f4803d",
    ("older_cm", "around a centre"): "4509558080808080401e9e",
    ("older_cm", "one rare"): "050540a8060e",
    ("older_cm_max", "one row"): "0504164c1bf759bef6e9fc89751ab830a25b3699fd",
    ("older_cm_max", "around a centre"): "4509558080808080401e9d",
    ("cm", "primes"): "450e570a05978e5b3dfde27577",
    ("cm", "one row"): "0504162413004018d735beee3248d2c236c2ebe95746",
    ("cm", "widest for context mixing"): "0524f5000000000000000000000026e7066e",
    ("cm", "around a centre"): "450955808080808040052a91",
    ("cm", "one rare"): "050540a807c6",
    ("cm_max", "one row"): "050416243b35c70affa0304aa79644c3466646efc988",
    ("cm_max", "around a centre"): "450955808080808040052a91",
}
INPUTS = EDGES | {"primes": words([2, 3, 5, 7, 11, 13, 17, 19, 3, 3, 3, 5, 3])}


@pytest.mark.parametrize(("name", "edge"), GOLDEN)
def test_bytes_never_change(name: str, edge: str) -> None:
    assert codecs()[name].encode(INPUTS[edge]).hex() == GOLDEN[name, edge]


@pytest.mark.parametrize("name", ["older_cm", "older_cm_max"])
def test_what_is_only_read_is_not_written(name: str) -> None:
    with pytest.raises(UserError, match="to write with"):
        smallest(rows(4, 5), name)
    assert smallest(rows(40, 120), "cm")[0] is codecs()["cm"]


def test_numbers_never_change() -> None:
    assert dict(names_by_code()) == {
        0: "packed",
        1: "gamma",
        2: "rans",
        3: "older_cm",
        4: "older_cm_max",
        5: "cm",
        6: "cm_max",
    }
