"""The codec: what goes in comes out, and what is not ours is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from orch.model import codec
from orch.model.codec import CodecError, decode, encode, record, upgrade


@record("test.point", version=3)
@dataclass(frozen=True)
class Point:
    """A record that was changed twice: version 2 split `at`, version 3 added `tags`."""

    x: int
    y: int
    tags: list[str] = field(default_factory=list)


upgrade("test.point", 1)(lambda fields: [fields[0][0], fields[0][1]])
upgrade("test.point", 2)(lambda fields: [*fields, []])

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.integers(0, 2**60), inner, max_size=4)
        | st.builds(Point, st.integers(0, 9), st.integers(0, 9), st.lists(st.text()))
    ),
    max_leaves=12,
)


def ext(code: int, value: Any) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(code, msgpack.packb(value)))
    return packed


@given(plain)
def test_plain_values_and_records_come_back_equal(value: Any) -> None:
    assert decode(encode(value)) == value


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.int16, np.int32, np.int64, np.float64, np.bool_]),
        arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
    )
)
def test_arrays_come_back_with_type_and_shape_read_only(array: np.ndarray) -> None:
    back = decode(encode({"column": array}))["column"]
    assert back.dtype == array.dtype and back.shape == array.shape
    assert array.tobytes() == back.tobytes()
    assert not back.flags.writeable


def test_slices_and_scalars_of_numpy_are_fine_and_tuples_become_lists() -> None:
    grid = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert decode(encode(grid[::2, 1:3])).tolist() == [[1, 2], [9, 10]]
    assert decode(encode((np.int64(7), np.float64(0.5), np.bool_(True)))) == [7, 0.5, True]


def test_equal_values_have_equal_bytes() -> None:
    assert encode(Point(1, 2)) == encode(Point(1, 2, []))


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j])
def test_what_can_not_travel_is_refused_at_once(value: Any) -> None:
    with pytest.raises(TypeError, match=f"cannot encode a {type(value).__name__}"):
        encode(value)


@pytest.mark.parametrize(
    ("fields", "version", "point"),
    [([[1, 2]], 1, Point(1, 2)), ([1, 2], 2, Point(1, 2)), ([1, 2, ["a"]], 3, Point(1, 2, ["a"]))],
)
def test_older_versions_of_a_record_are_read(fields: list[Any], version: int, point: Point) -> None:
    assert decode(ext(2, ["test.point", version, fields])) == point


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a message"),
        (encode([1, 2, 3])[:-1], "not a message"),
        (encode(1) + b"\x00", "not a message"),
        (b"\xc1", "not a message"),
        (ext(9, 1), "unknown extension 9"),
        (ext(2, ["test.nobody", 1, []]), "unknown record 'test.nobody'"),
        (ext(2, ["test.point", 4, [1, 2]]), "has version 4, this program knows 3; upgrade it"),
        (ext(2, ["test.point", 3, [1, 2, [], 4]]), "not a message"),
        (ext(2, ["test.point", 0, []]), "not a message"),
        (ext(2, [1]), "not a message"),
        (ext(1, ("|O", (1,))), "columns of objects"),
        (ext(1, ("<i8", (3,))), "not a message"),
        (ext(1, ("nonsense", (1,))), "not a message"),
    ],
)
def test_bytes_that_are_not_ours_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        decode(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_either_read_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except CodecError:
        return


@given(plain, st.data())
def test_a_message_cut_short_or_changed_is_either_read_or_refused(value: Any, data: st.DataObject) -> None:
    whole = bytearray(encode(value))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except CodecError:
        return


def test_two_records_can_not_have_one_name() -> None:
    with pytest.raises(AssertionError, match="two records are called"):
        record("test.point")(type("Other", (), {}))


@pytest.fixture(autouse=True)
def _only_known_records() -> Iterator[None]:
    before = dict(codec._BY_NAME)
    yield
    assert before == codec._BY_NAME


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64])
@given(st.integers(0, 255), st.integers(-2, 2), st.integers(60, 120), st.lists(st.integers(0, 119), max_size=2))
def test_long_columns_come_back_equal_whatever_their_steps(
    dtype: type, first: int, step: int, count: int, odd: list[int]
) -> None:
    column = (first + step * np.arange(count)).astype(dtype)
    for at in odd:
        column[at % count] ^= dtype(3)
    back = decode(encode(column))
    assert back.dtype == column.dtype and np.array_equal(back, column) and not back.flags.writeable


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=64, max_size=80), st.booleans())
def test_long_columns_of_any_numbers_come_back_equal(numbers: list[int], ascending: bool) -> None:
    column = np.array(sorted(numbers) if ascending else numbers, dtype=np.int64)
    assert np.array_equal(decode(encode(column)), column)


def test_a_million_equal_or_consecutive_numbers_are_a_few_bytes_and_rising_ones_a_byte_each() -> None:
    million = 1_000_000
    assert len(encode(np.full(million, 7, dtype=np.int32))) < 40
    assert len(encode(np.arange(2**44, 2**44 + million))) < 40
    assert len(encode(np.repeat(np.arange(million // 10, dtype=np.int32), 10))) < million + 40


@pytest.mark.parametrize(
    "code, value",
    [
        (3, ("<i4", -1, 0, 1)),
        (3, ("<i4", 2**40, 0, 0)),
        (3, ("<i1", 200, 0, 1)),
        (3, ("<f8", 3, 0, 1)),
        (3, ("<i4", 3, "x", 1)),
        (3, (1, 2)),
        (4, ("<f8", 0, b"")),
        (4, ("<i1", 300, b"")),
        (4, "x"),
    ],
)
def test_columns_that_no_program_of_ours_wrote_are_refused(code: int, value: Any) -> None:
    with pytest.raises(CodecError):
        decode(ext(code, value))
