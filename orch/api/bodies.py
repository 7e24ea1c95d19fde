"""Reading bodies within the limits of their routes; and `each` into the environments of a job's pods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect, Request

from orch.model.codec import CodecError, decode
from orch.model.errors import OrchError, SpecError, TooLargeError, UsageError

JSON, MSGPACK, YAML = "application/json", "application/msgpack", "application/yaml"
GATHER_ROWS = 16_384
_MISSING = np.uint8(0)


def kind_of(request: Request) -> str:
    """The media type of the body, JSON where none is said."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


async def chunks_of(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body in pieces. Raises TooLargeError, which states the limit, before more than it is read."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(request, limit)
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(request, limit)
            yield chunk
    except ClientDisconnect:
        raise UsageError("the client went away in the middle of its body; nothing was done.") from None


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLargeError."""
    return b"".join([chunk async for chunk in chunks_of(request, limit)])


async def read_json(request: Request, limit: int) -> Any:
    """The body's JSON (YAML where it says so). Raises TooLargeError, and UsageError where it is neither."""
    data = await read_body(request, limit)
    kind = kind_of(request)
    if kind in (YAML, "text/yaml", "application/x-yaml"):
        from orch.model.specs import load_text

        return load_text(_text(data))
    if kind not in (JSON, "text/json", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        raise UsageError(f"a body of type {kind} is not taken here; send {JSON}.")
    return parse_json(data)


def parse_json(data: bytes) -> Any:
    """A JSON text. Raises UsageError with the place of the mistake."""
    if not data.strip():
        raise UsageError("the body is empty; send a JSON object.")
    try:
        return json.loads(_text(data), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise UsageError(f"the body is no JSON: {error.msg} at line {error.lineno} column {error.colno}.") from None
    except RecursionError:
        raise UsageError("the body is no JSON that is taken: it is nested too deeply.") from None


async def read_object(request: Request, limit: int, fields: dict[str, type]) -> dict[str, Any]:
    """A small body with exactly these fields. Raises SpecError with the place of what is wrong."""
    body = await read_json(request, limit)
    if not isinstance(body, dict):
        raise field_error("/", f"must be an object with {', '.join(fields)}")
    for name in body:
        if name not in fields:
            raise field_error(f"/{name}", f"is no field here; there are {', '.join(fields)}")
    for name, kind in fields.items():
        if name not in body:
            raise field_error(f"/{name}", "is required: add it")
        if not isinstance(body[name], kind) or (kind is int and isinstance(body[name], bool)):
            raise field_error(f"/{name}", f"got {body[name]!r}; it must be of type {kind.__name__}")
    return body


def field_error(path: str, message: str) -> SpecError:
    """One wrong field."""
    return SpecError(f"{path}: {message}", details=[{"path": path, "errors": [message]}])


async def read_job(request: Request, json_limit: int, columns_limit: int) -> dict[str, Any]:
    """A job's body, from JSON or msgpack; `each` as it was sent."""
    kind = kind_of(request)
    if kind != MSGPACK:
        body = await read_json(request, json_limit)
    else:
        try:
            body = decode(await read_body(request, columns_limit))
        except CodecError as error:
            raise UsageError(f"the body is no msgpack that is taken: {error}") from None
    if not isinstance(body, dict):
        raise field_error("/", "must be an object")
    return body


Column = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8] | None]
"""The bytes, the offsets int64[n + 1], and uint8[n], 0 where a row lacks the name (None: all have it)."""


Environments = tuple[NDArray[np.int64], bytes, int]
"""(env_off int64[n + 1], env_blob, n) of `SubmitJob`."""


def env_of(each: Any) -> Environments:
    """`(env_off int64[n + 1], env_blob, n)` for `SubmitJob` from `each`.

    each: a list of objects; an object of lists; or an object of columns `{"blob": bytes, "off": int64[n + 1][,
    "has": uint8[n]]}`. Raises SpecError with the row.
    """
    if isinstance(each, list):
        columns, rows = _from_objects(each)
    elif isinstance(each, dict) and each:
        columns, rows = _from_columns(each)
    else:
        raise field_error("/each", "must be a list of objects, or an object of columns, with at least one row")
    if rows < 1:
        raise field_error("/each", "has no rows: a job has at least one pod")
    return (*_interleave(columns, rows), rows)


def _from_objects(each: list[Any]) -> tuple[dict[bytes, Column], int]:
    names: dict[str, None] = {}
    for index, row in enumerate(each):
        if not isinstance(row, dict):
            raise field_error(f"/each({index})", "must be an object of environment variables")
        names.update(dict.fromkeys(row))
    return {_name(name): _strings(name, [row.get(name) for row in each]) for name in names}, len(each)


def _from_columns(each: dict[Any, Any]) -> tuple[dict[bytes, Column], int]:
    columns: dict[bytes, Column] = {}
    rows = -1
    for name, given in each.items():
        column = _strings(name, given) if isinstance(given, list) else _checked(str(name), given)
        if rows not in (-1, len(column[1]) - 1):
            raise field_error(f"/each/{name}", f"has {len(column[1]) - 1} rows; the first column has {rows}")
        rows = len(column[1]) - 1
        columns[_name(name)] = column
    return columns, rows


def _strings(name: str, values: list[Any]) -> Column:
    encoded = []
    for index, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            raise field_error(f"/each({index})/{name}", f"got {value!r}; an environment variable is a string")
        if value is not None and "\0" in value:
            raise field_error(f"/each({index})/{name}", "holds a NUL character, which no environment variable can")
        encoded.append(None if value is None else value.encode("utf-8", "surrogatepass"))
    off = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(value or b"") for value in encoded], out=off[1:])
    blob = np.frombuffer(b"".join(value or b"" for value in encoded), dtype=np.uint8)
    has = np.array([value is not None for value in encoded], dtype=np.uint8) if None in encoded else None
    return blob, off, has


def _checked(name: str, given: Any) -> Column:
    """A column as it came over the wire, trusted in nothing."""
    place = f"/each/{name}"
    if not isinstance(given, dict) or not isinstance(given.get("blob"), bytes):
        raise field_error(place, 'must be {"blob": bytes, "off": int64[n + 1]}')
    off, has = given.get("off"), given.get("has")
    if not isinstance(off, np.ndarray) or off.dtype != np.int64 or off.ndim != 1 or len(off) < 1:
        raise field_error(place, "off must be an int64 column of n + 1 offsets")
    blob = np.frombuffer(given["blob"], dtype=np.uint8)
    if off[0] != 0 or off[-1] != len(blob) or bool(np.any(off[1:] < off[:-1])):
        raise field_error(place, f"off does not cut the {len(blob)} bytes of blob into rows")
    if has is not None and not (isinstance(has, np.ndarray) and has.dtype == np.uint8 and has.shape == (len(off) - 1,)):
        raise field_error(place, "has must be a uint8 column with one entry a row")
    nul = np.flatnonzero(blob == 0)
    if len(nul):
        row = int(np.searchsorted(off, nul[0], side="right")) - 1
        raise field_error(f"/each({row})/{name}", "holds a NUL character, which no environment variable can")
    return blob, off, has


def _name(name: Any) -> bytes:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name or len(name) > 254:
        raise field_error("/each", f"{str(name)[:80]!r} can't be the name of an environment variable")
    return name.encode("utf-8", "surrogatepass")


def _interleave(columns: dict[bytes, Column], rows: int) -> tuple[NDArray[np.int64], bytes]:
    """Every row's `NAME=value\\0` one after the other: gathers of bytes, no loop over rows."""
    sizes = np.zeros(rows, dtype=np.int64)
    for name, (_, off, has) in columns.items():
        size = np.diff(off) + len(name) + 2
        sizes += size if has is None else np.where(has != _MISSING, size, 0)
    env_off = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(sizes, out=env_off[1:])
    blob = np.zeros(int(env_off[-1]), dtype=np.uint8)
    cursor = env_off[:-1].copy()
    for name, (values, off, has) in columns.items():
        prefix = np.frombuffer(name + b"=", dtype=np.uint8)
        for first in range(0, rows, GATHER_ROWS):
            last = min(first + GATHER_ROWS, rows)
            at = np.arange(first, last) if has is None else first + np.flatnonzero(has[first:last])
            start, length = cursor[at], off[at + 1] - off[at]
            blob[(start[:, None] + np.arange(len(prefix))).ravel()] = np.tile(prefix, len(at))
            inner = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
            blob[np.repeat(start + len(prefix), length) + inner] = values[np.repeat(off[at], length) + inner]
            cursor[at] += length + len(prefix) + 1
    return env_off, blob.tobytes()


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the body is not UTF-8 (byte {error.start}).") from None


def _no_constant(word: str) -> Any:
    raise UsageError(f"the body holds {word}, which is no JSON number.")


def _too_large(request: Request, limit: int) -> OrchError:
    route = getattr(request.scope.get("route"), "path", request.url.path)
    kind = kind_of(request)
    remedy = "send less, or split it"
    if route == "/v2/jobs" and kind != MSGPACK:
        remedy += f", or send columns as {MSGPACK}"
    return TooLargeError(f"{request.method} {route} takes at most {limit} bytes of {kind}: {remedy}.")
