"""What all flows share: one request with its retries, long-polls with a time limit, pieces of a stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from orch.client.effects import Call, Close, ConnectionLostError, Flow, Open, Reply, Sleep, json_body
from orch.client.places import Place
from orch.model.errors import OrchError, TooManyError, UnavailableError

RETRY_S = 30.0
"""How long a cluster that was reached once may be away (a restart of its gateway)."""
BUSY_S = 5.0
"""How long a refusal that says "try again" is taken at its word."""
POLL_S = 30.0
"""One long-poll; the next follows at once."""


class Wire:
    """The requests of one client. It remembers whether the cluster was ever reached, to tell away from not there."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.reached = False

    def send(self, call: Call) -> Flow[Reply]:
        """The reply to a call that succeeded; raises the OrchError that it stands for.

        Calls that may be sent twice are sent again while the gateway restarts: changes carry an idempotency key.
        """
        return (yield from self._attempts(call, call))

    def open(self, call: Call) -> Flow[Any]:
        """Begin a reply that is read piece by piece; returns the stream. Retries as `send` does."""
        stream = yield from self._attempts(Open(call), call)
        return stream

    def get(self, path: str, params: Mapping[str, Any] | None = None, timeout_s: float = 30.0) -> Flow[Any]:
        """The decoded body of a GET."""
        reply = yield from self.send(Call("GET", path, params or {}, timeout_s=timeout_s))
        return reply.data

    def change(
        self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None, key: str | None = None
    ) -> Flow[Any]:
        """Send a change with an idempotency key, so that it is carried out once however often it is sent."""
        data, headers = (None, {}) if body is None else json_body(body)
        reply = yield from self.send(Call(method, path, params or {}, data, {**headers, **key_header(key)}))
        return reply.data

    def poll(self, path: str, params: Mapping[str, Any], timeout: float | None) -> Flow[dict[str, Any]]:
        """Long-poll until `done`; returns the last answer, done or not when the time is over."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = POLL_S if end is None else max(0.0, min(POLL_S, end - time.monotonic()))
            asked = {**params, "timeout_ms": int(left * 1000)}
            answer: dict[str, Any] = yield from self.get(path, asked, timeout_s=left + 15.0)
            if answer["done"] or (end is not None and time.monotonic() >= end):
                return answer

    def _attempts(self, effect: Any, call: Call) -> Flow[Any]:
        delay_s, since = 0.05, time.monotonic()
        while True:
            try:
                found = yield effect
            except ConnectionLostError as lost:
                if not lost.reached and not self.reached:
                    raise self._nobody() from None
                self.reached = True
                error: OrchError = self._away(lost)
                patience_s = RETRY_S
            else:
                self.reached = True
                reply = found if isinstance(found, Reply) else found[0]
                refusal = reply.error()
                if refusal is None:
                    return found if isinstance(found, Reply) else found[1]
                if not isinstance(found, Reply):
                    yield Close(found[1])
                error, patience_s = refusal, BUSY_S
                if not isinstance(refusal, UnavailableError | TooManyError):
                    raise refusal
            if not call.again or time.monotonic() - since + delay_s > patience_s:
                raise error
            yield Sleep(delay_s)
            delay_s = min(1.0, delay_s * 2)

    def _nobody(self) -> UnavailableError:
        if self.place.is_ours:  # `orch down` takes the data folder's word for it away
            return UnavailableError(
                f"the cluster at {self.place.url} does not answer. Where one of its processes was killed it comes back "
                "by itself: try again in some seconds. If it stays away: `orch up`."
            )
        return UnavailableError(
            f"no cluster at {self.place.url}; start one with `orch up`, or set ORCH_ADDRESS to one that runs."
        )

    def _away(self, lost: ConnectionLostError) -> UnavailableError:
        return UnavailableError(
            f"the connection to the cluster at {self.place.url} was lost ({lost}). See `orch status`; if it is "
            "down, `orch up`."
        )


def key_header(key: str | None) -> dict[str, str]:
    """The header that makes a change safe to repeat."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}
