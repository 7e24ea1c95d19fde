"""msgpack for everything that is sent or journaled: plain values, numpy columns, and the records of `model`.

A record is a frozen dataclass marked by `@record(name, version)`. It travels as its name, its version and its fields in
order; numpy arrays travel as an extension with dtype, shape and the raw little-endian bytes, and come back
read-only, without a copy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import msgpack
import numpy as np

_ARRAY, _RECORD = 1, 2
_T = TypeVar("_T", bound=type)
_BY_NAME: dict[str, type] = {}
_UPGRADES: dict[tuple[str, int], Callable[[list[Any]], list[Any]]] = {}
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


def _default(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        head = msgpack.packb((array.dtype.str, array.shape))
        return msgpack.ExtType(_ARRAY, head + array.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    mark = getattr(type(value), "_record", None)
    if mark is not None:
        fields = [getattr(value, name) for name in type(value)._fields]
        return msgpack.ExtType(_RECORD, encode([mark[0], mark[1], fields]))
    raise TypeError(f"cannot encode a {type(value).__name__}")


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
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise CodecError(f"not a message of orch: {error}") from error
