"""What all routes share: backend, limits, connections of nodes, and how a change or a blocking read is made."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import HTTPConnection, Request

from orch.api.backend import Answer, Backend
from orch.api.blobs import BlobStore
from orch.api.follower import Follower
from orch.api.metrics import Metrics
from orch.api.middleware import request_id_of
from orch.api.nodes import NodeHub
from orch.api.settings import Settings
from orch.machine.host import Host
from orch.machine.keys import sealed
from orch.model.codec import encode
from orch.model.errors import TooManyError, UnavailableError, UsageError

T = TypeVar("T")
SEEN_MS = 5_000
"""How long a reply waits for the replica to show what it changed."""
PACE = 4
"""A blocking read spends at most one part in this many on looking."""
SLOW_S = 0.002
"""Looks that take less are not paced."""


class Room:
    """One per app, at `request.app.state.room`."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        self.backend, self.settings = backend, settings
        self.nodes = NodeHub(settings.stream_buffer_bytes, settings.node_answer_ms)
        self.blobs = BlobStore(settings.blob_dir, settings.blob_bytes, settings.blobs_total_bytes)
        self.metrics = Metrics(backend.follower, self.nodes)
        self.started = time.time()
        self._streams = _Places("streams (followed logs, events, bulk outputs)", settings.streams)
        self._waits = _Places("blocking reads", settings.waits)

    @property
    def follower(self) -> Follower:
        """What follows the machines."""
        return self.backend.follower

    @property
    def replica(self) -> Host:
        """The machines as of `follower.index`; it may be another object after a wait."""
        return self.backend.follower.replica

    async def call(
        self, machine: str, make: Callable[[dict[str, Any]], Any], request: Request, at: int | None = None
    ) -> Any:
        """Send a machine what `make` builds of `{request, key, user, at_ms}`; its answer, once the replica shows it.

        at: of a request that is carried out in several calls, the number of this one.
        """
        key = key_of(request)
        if key:
            key = key if at is None else f"{key}.{at}"
            asked = encode(make({"request": "", "key": "", "user": self.settings.user, "at_ms": 0}))
            key = sealed(key, hashlib.blake2b(asked, digest_size=12).hexdigest())
        stamp = {
            "request": request_id_of(request) if at is None else f"{request_id_of(request)}.{at}",
            "key": key,
            "user": self.settings.user,
            "at_ms": int(time.time() * 1000),
        }
        answer: Answer = await self.backend.call(machine, make(stamp))
        await self.follower.wait_index(answer.index, SEEN_MS)
        return answer.body

    def tell(self, kind: str, request: Request, **more: Any) -> None:
        """Tell those who listen in Marathon's form of a request that changes something."""
        address = "" if request.client is None else request.client.host
        data = {"clientIp": address, "uri": request.url.path, **more}
        self.follower.tell([(kind, data)], int(time.time() * 1000))

    async def wait_until(self, look: Callable[[], tuple[bool, T]], timeout_ms: int) -> tuple[bool, T]:
        """Look after every move of the feed until `look` says done, or the time is over; returns its last answer.

        Where looking is slow (a job of a million pods), it is done less often than the feed moves.
        """
        end = time.monotonic() + min(timeout_ms, self.settings.wait_ms) / 1000
        self._waits.check()
        with self._waits.one():
            while True:
                moves, begun = self.follower.moves, time.monotonic()
                done, found = look()
                took = time.monotonic() - begun
                left = end - time.monotonic()
                if done or left <= 0:
                    return done, found
                if self.follower.closed:
                    raise UnavailableError("the gateway is stopping; ask again.")
                await self.follower.wait_beyond(moves, left * 1000)
                if took > SLOW_S:
                    await asyncio.sleep(min(took * PACE, max(0.0, end - time.monotonic())))

    def check_streams(self) -> None:
        """Before a streaming reply begins: raises TooManyError where too many are open."""
        self._streams.check()

    def stream(self) -> contextlib.AbstractContextManager[None]:
        """Within a streaming reply: counts it while it is open."""
        return self._streams.one()


class _Places:
    """A number of places; who finds none is told to come back."""

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most, self.taken = what, most, 0

    def check(self) -> None:
        if self.taken >= self._most:
            raise TooManyError(
                f"{self._most} {self._what} are open, and no more are allowed. Close some, or try again later."
            )

    @contextmanager
    def one(self) -> Iterator[None]:
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


def room_of(request: HTTPConnection) -> Room:
    """The room of the app that a request came to."""
    room = request.app.state.room
    assert isinstance(room, Room)
    return room


def key_of(request: Request) -> str:
    """The idempotency key, "" for none. Raises UsageError where it is unreasonable."""
    key = request.headers.get("idempotency-key", "")
    if len(key) > 255 or not key.isascii() or not key.isprintable():
        raise UsageError("an Idempotency-Key has at most 255 printable ASCII characters.")
    return key
