"""msgpack for everything that is sent or journaled: plain values, numpy columns, and the records of `model`.

A record is a frozen dataclass marked by `@record(name, version)`. It travels as its name, its version and its fields in
order; numpy arrays travel as an extension with dtype, shape and the raw little-endian bytes, and come back
read-only, without a copy. A long column of whole numbers that all differ by the same step (none, where they are equal)
travels as its first number and the step; one that never falls, by less than 256 at a time, as a byte a number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgpack
import numpy as np

_ARRAY, _RECORD, _STEPS, _RISING = 1, 2, 3, 4
_LONG = 64
"""Columns of fewer numbers are sent as they are: there is little to gain."""
_T = TypeVar("_T", bound=type)
_BY_NAME: dict[str, type] = {}
_UPGRADES: dict[tuple[str, int], Callable[[list[Any]], list[Any]]] = {}
_MOST = 2**31
"""Numbers in one column: a few bytes must not ask for more memory than that."""
_ARRAY_HEAD_BYTES = 128
"""More than the dtype and shape of any array of ours need."""


class CodecError(ValueError):
    """Bytes that are not ours: truncated, of an unknown record, or of a newer version."""


def record(name: str, version: int = 1) -> Callable[[_T], _T]:
    """Class decorator: a dataclass that can be encoded. `name` is unique in the program and never changes."""

    def mark(cls: _T) -> _T:
        assert name not in _BY_NAME, f"two records are called {name}"
        cls._record = (name, version)  # type: ignore[attr-defined]
        cls._fields = tuple(f.name for f in dataclasses.fields(cls))  # type: ignore[attr-defined]
        _BY_NAME[name] = cls
        return cls

    return mark


def upgrade(
    name: str, from_version: int
) -> Callable[[Callable[[list[Any]], list[Any]]], Callable[[list[Any]], list[Any]]]:
    """Decorator of a function that turns the field list of `from_version` into that of the next version."""

    def mark(function: Callable[[list[Any]], list[Any]]) -> Callable[[list[Any]], list[Any]]:
        _UPGRADES[name, from_version] = function
        return function

    return mark


@lru_cache(maxsize=1024)
def _head(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers of an array; small ones are sent a thousand at a time."""
    head: bytes = msgpack.packb((dtype.str, shape or (1,)))
    return head


def _default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        short = _short(value) if value.ndim == 1 and len(value) >= _LONG and value.dtype.kind in "iu" else None
        if short is not None:
            return short
        return msgpack.ExtType(_ARRAY, _head(value.dtype, value.shape) + value.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    mark = getattr(type(value), "_record", None)
    if mark is not None:
        fields = [getattr(value, name) for name in type(value)._fields]
        return msgpack.ExtType(_RECORD, encode([mark[0], mark[1], fields]))
    raise TypeError(f"cannot encode a {type(value).__name__}")


def _short(column: np.ndarray[Any, Any]) -> msgpack.ExtType | None:
    """A column by its first number and its steps, where that is shorter. A look at the ends rules most others out."""
    first, second, last, count = int(column[0]), int(column[1]), int(column[-1]), len(column)
    step = second - first
    if last == first + step * (count - 1) and abs(step) < 2**31 and abs(last) < 2**62 and abs(first) < 2**62:
        even = (column == column[0]).all() if step == 0 else (column[1:] - column[:-1] == step).all()
        if even:
            return msgpack.ExtType(_STEPS, msgpack.packb((column.dtype.str, count, first, step)))
    if column.dtype.itemsize < 4 or not 0 <= last - first <= 255 * count or abs(first) > 2**62:
        return None
    steps = column[1:] - column[:-1]
    if steps.min() < 0 or steps.max() > 255:
        return None
    return msgpack.ExtType(_RISING, msgpack.packb((column.dtype.str, first, steps.astype(np.uint8).tobytes())))


def _steps(data: bytes) -> np.ndarray[Any, Any]:
    kind, count, first, step = msgpack.unpackb(data)
    dtype = np.dtype(kind)
    last = first + step * (count - 1)
    if dtype.kind not in "iu" or not 0 < count <= _MOST:
        raise CodecError(f"a column of {count} numbers of type {kind}")
    if not np.iinfo(dtype).min <= min(first, last) <= max(first, last) <= np.iinfo(dtype).max:
        raise CodecError(f"a column of {kind} from {first} to {last}")
    column = np.arange(first, last + step, step, dtype=dtype) if step else np.full(count, first, dtype)
    column.setflags(write=False)
    return column


def _rising(data: bytes) -> np.ndarray[Any, Any]:
    kind, first, packed = msgpack.unpackb(data)
    dtype = np.dtype(kind)
    if dtype.kind not in "iu":
        raise CodecError(f"a rising column of {kind}")
    column = np.empty(len(packed) + 1, dtype=dtype)
    column[0] = first
    np.cumsum(np.frombuffer(packed, dtype=np.uint8), dtype=dtype, out=column[1:])
    column[1:] += column[0]
    column.setflags(write=False)
    return column


def _array(data: bytes) -> np.ndarray[Any, Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:_ARRAY_HEAD_BYTES])
    dtype_str, shape = unpacker.unpack()
    dtype = np.dtype(dtype_str)
    if dtype.hasobject:
        raise CodecError("columns of objects are not sent")
    return np.frombuffer(data, dtype=dtype, offset=unpacker.tell()).reshape(shape)


def _ext(code: int, data: bytes) -> Any:
    if code == _ARRAY:
        return _array(data)
    if code == _STEPS:
        return _steps(data)
    if code == _RISING:
        return _rising(data)
    if code != _RECORD:
        raise CodecError(f"unknown extension {code}")
    name, version, fields = decode(data)
    cls = _BY_NAME.get(name)
    if cls is None:
        raise CodecError(f"unknown record {name!r}")
    newest = cls._record[1]  # type: ignore[attr-defined]
    if version > newest:
        raise CodecError(f"record {name!r} has version {version}, this program knows {newest}; upgrade it")
    while version < newest:
        fields = _UPGRADES[name, version](fields)
        version += 1
    return cls(*fields)


def encode(value: Any) -> bytes:
    """Bytes of a plain value, array or record, nested as you like. Tuples become lists. Raises TypeError for others."""
    packed: bytes = msgpack.packb(value, default=_default, use_bin_type=True)
    return packed


def decode(data: bytes) -> Any:
    """The value of `encode`. Arrays are read-only. Raises CodecError where the bytes are not ours."""
    try:
        return msgpack.unpackb(data, ext_hook=_ext, raw=False, strict_map_key=False, use_list=True)
    except CodecError:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError, msgpack.UnpackException) as error:
        raise CodecError(f"not a message of orch: {error}") from error
