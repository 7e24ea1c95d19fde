"""Client logic without I/O: a flow is a generator that yields what it wants done and is sent what came of it.

Every operation of the client is written once, as a flow; `transport.py` carries flows out, blocking or with asyncio. An
effect that fails is thrown into the flow as the error it is, so flows retry and clean up in plain Python.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from orch.model.errors import OrchError, from_dict

T = TypeVar("T")
Flow = Generator[Any, Any, T]
"""A flow whose result is a T."""

JSON, MSGPACK = "application/json", "application/msgpack"


@dataclass(frozen=True, slots=True)
class Call:
    """Effect: one request; its result is a `Reply`. timeout_s: the longest silence. again: it may be sent twice."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 30.0
    again: bool = True


@dataclass(frozen=True, slots=True)
class Open:
    """Effect: begin a request whose reply is read piece by piece; its result goes into `Read` and `Close`."""

    call: Call


@dataclass(frozen=True, slots=True)
class Read:
    """Effect: the next bytes of an opened reply, b"" at its end."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Close:
    """Effect: the rest of an opened reply is not wanted. Twice does not matter."""

    stream: Any


@dataclass(frozen=True, slots=True)
class Sleep:
    """Effect: wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Effect: hand a value to whoever iterates over the flow."""

    value: Any


class ConnectionLostError(Exception):
    """The request did not come through, or its reply did not come back: it is not known whether it was carried out."""

    def __init__(self, reason: str, reached: bool) -> None:
        super().__init__(reason)
        self.reached = reached
        """Whether there was somebody to talk to: False when nobody listens at the address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """status, headers (names in lower case) and body of a reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body, decoded: JSON or msgpack with columns."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        if kind == MSGPACK:
            from orch.model.codec import decode

            return decode(self.body)
        return json.loads(self.body) if self.body else None

    @property
    def index(self) -> int:
        """The journal's index that the reply is of."""
        return int(self.headers.get("x-orch-index", 0))

    def error(self) -> OrchError | None:
        """The error that it is, if it is one."""
        if self.status < 400:
            return None
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            text = self.body[:200].decode("utf-8", "replace")
            found = {"status": self.status, "detail": f"the cluster answered {self.status}: {text}"}
        return from_dict(found)


def json_body(value: Any) -> tuple[bytes, dict[str, str]]:
    """A body and its headers."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), {"Content-Type": JSON}


def msgpack_body(value: Any) -> tuple[bytes, dict[str, str]]:
    """A body of columns and its headers."""
    from orch.model.codec import encode

    return encode(value), {"Content-Type": MSGPACK}


def in_path(text: str | int) -> str:
    """An id as it goes into a URL's path; the slashes of a path stay."""
    return quote(str(text).lstrip("/"), safe="/:@")
