"""A list of environments as columns: what `each` becomes before it is sent."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any

from orch.model.errors import SpecError


def columns_of(each: Any) -> tuple[dict[str, dict[str, Any]], int]:
    """`({NAME: {"blob": bytes, "off": int64[n + 1][, "has": uint8[n]]}}, n)` of a list of dicts, or of a dict of lists.

    Values are strings or numbers. `has` says which rows have the name, where not all do. Raises SpecError with the row.
    """
    if isinstance(each, Mapping):
        lengths = {name: len(column) for name, column in each.items()}
        if len(set(lengths.values())) > 1:
            raise _error("/each", f"the columns of `each` differ in length: {lengths}")
        rows = next(iter(lengths.values()), 0)
        return {_name(name): _column(name, list(column)) for name, column in each.items()}, _some(rows)
    if isinstance(each, str | bytes) or not isinstance(each, Sequence):
        each = list(each)
    names: dict[str, None] = {}
    for index, row in enumerate(each):
        if not isinstance(row, Mapping):
            raise _error(
                f"/each({index})", f"a row of `each` is a dict of environment variables; got a {type(row).__name__}"
            )
        names.update(dict.fromkeys(row))
    return {_name(name): _column(name, [row.get(name) for row in each]) for name in names}, _some(len(each))


def _column(name: str, values: list[Any]) -> dict[str, Any]:
    import numpy as np

    encoded = [_value(name, index, value) for index, value in enumerate(values)]
    off = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([0 if value is None else len(value) for value in encoded], out=off[1:])
    column: dict[str, Any] = {"blob": b"".join(value for value in encoded if value is not None), "off": off}
    if None in encoded:
        column["has"] = np.array([value is not None for value in encoded], dtype=np.uint8)
    return column


def _value(name: str, index: int, value: Any) -> bytes | None:
    if value is None:
        return None
    if hasattr(value, "__fspath__"):
        value = os.fsdecode(value)
    if not isinstance(value, str | bool | bytes) and isinstance(value, numbers.Real):
        value = str(value)
    if not isinstance(value, str):
        kind = type(value).__name__
        raise _error(f"/each({index})/{name}", f"an environment variable is a string or a number; got a {kind}")
    if "\0" in value:
        raise _error(f"/each({index})/{name}", "holds a NUL character, which no environment variable can")
    try:
        # Names of files that are no UTF-8 come as lone surrogates from the os module, and go as the bytes they were.
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _error(f"/each({index})/{name}", f"{value!r} can't be written as bytes") from None


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise _error("/each", f"{name!r} can't be the name of an environment variable")
    return name


def _some(rows: int) -> int:
    if rows == 0:
        raise _error("/each", "`each` has no rows: a job has at least one pod")
    return rows


def _error(path: str, message: str) -> SpecError:
    return SpecError(f"{path}: {message}", details=[{"path": path, "errors": [message]}])
