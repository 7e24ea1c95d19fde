"""Checks at the door of the kernel: the right type, shape and range, or a `ShapeError` that says what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch import _placement
from orch.placement.errors import ShapeError

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
UInt16 = NDArray[np.uint16]
UInt64 = NDArray[np.uint64]

LANES: int = _placement.LANES
R_LEAST, R_MOST = 4, LANES


def column(name: str, values: Any, dtype: type[np.integer[Any]], *shape: int | None) -> NDArray[Any]:
    """`values` as a C-contiguous array of `dtype`; copied only where it has to be. `shape`: lengths, None = any.

    Raises ShapeError where a value would not fit (no silent wrap-around), is no integer, or a dimension differs.
    """
    array = np.asarray(values)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.size == 0 and array.ndim == 1 and len(shape) == 1:
        array = array.astype(dtype)
    if array.dtype.kind not in "iu":
        raise ShapeError(f"{name} is {array.dtype}, and must hold integers that fit {np.dtype(dtype)}")
    if array.ndim != len(shape) or any(
        want is not None and have != want for have, want in zip(array.shape, shape, strict=True)
    ):
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ShapeError(f"{name} has shape {list(array.shape)}, and must have [{wanted}]")
    if array.dtype != dtype:
        limits = np.iinfo(dtype)
        if array.size and (int(array.min()) < limits.min or int(array.max()) > limits.max):
            raise ShapeError(f"{name} holds {array.min()} to {array.max()}, and {np.dtype(dtype)} can not")
    return np.ascontiguousarray(array, dtype=dtype)


def at_least(name: str, array: NDArray[Any], least: int) -> None:
    """Raises ShapeError where a value is less than `least`."""
    if array.size and int(array.min()) < least:
        raise ShapeError(f"{name} holds {array.min()}, and must be at least {least}")


def below(name: str, array: NDArray[Any], limit: int, what: str) -> None:
    """Raises ShapeError where a value is `limit` or more; `what` names the things counted by limit."""
    if array.size and int(array.max()) >= limit:
        raise ShapeError(f"{name} holds {array.max()}, but there are only {limit} {what}")


def resources(dims: int) -> None:
    """Raises ShapeError where the number of resource columns is not one that the kernel takes."""
    if not R_LEAST <= dims <= R_MOST:
        raise ShapeError(f"{dims} resource columns; the kernel takes {R_LEAST} to {R_MOST}")


def requests(values: Any, dims: int) -> Int32:
    """int32[S, R] requests, none negative."""
    array = column("requests", values, np.int32, None, dims)
    at_least("requests", array, 0)
    return array


def padded(array: Int32) -> Int32:
    """int32[n, R] -> int32[n, LANES], the further lanes 0."""
    wide = np.zeros((array.shape[0], LANES), np.int32)
    wide[:, : array.shape[1]] = array
    return wide


def writable(name: str, array: NDArray[Any], dtype: type[np.integer[Any]], *shape: int | None) -> NDArray[Any]:
    """An array that will be changed in place: the very dtype and shape, and writable. Strides do not matter."""
    if array.dtype != dtype or not array.flags.writeable:
        raise ShapeError(f"{name} must be a writable {np.dtype(dtype)} array: it is changed in place")
    column(name, array[:0], dtype, *((0, *shape[1:]) if shape else ()))
    if shape and shape[0] is not None and array.shape[0] != shape[0]:
        raise ShapeError(f"{name} has {array.shape[0]} rows, and must have {shape[0]}")
    return array
