"""What every request passes: who asks, how long it takes, which index the reply is of, and a net for our mistakes.

Plain ASGI, because streaming replies must see a client that goes away.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orch.api.errors import MEDIA_TYPE, CutOffError, error_response, internal_error, log
from orch.api.follower import Follower
from orch.api.metrics import Latencies
from orch.model.errors import OrchError, UnauthenticatedError, UnavailableError, UsageError

AFTER_MS = 5_000
"""How long a request with `after` waits for the feed."""
OPEN_PATHS = frozenset({"/ping"})


def token_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The token of a request's headers: `Bearer TOKEN`, `token=TOKEN` (DC/OS), or the password of `Basic`."""
    for name, value in headers:
        if name == b"authorization":
            given = value.decode("latin-1").strip()
            if given.lower().startswith("token="):
                return given.partition("=")[2]
            scheme, _, token = given.partition(" ")
            if scheme.lower() == "basic":
                return _password(token)
            return token.strip() if scheme.lower() == "bearer" else None
    return None


def _password(encoded: str) -> str | None:
    try:
        _, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return password if colon else None


def _wants_plain(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether the caller asks for JSON by that name: an older client, that would not look into a problem's body."""
    accepted = b",".join(value for name, value in headers if name == b"accept")
    return b"application/json" in accepted and b"application/problem+json" not in accepted


def same_token(given: str | None, expected: str) -> bool:
    """Whether they are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest((given or "").encode(), expected.encode())


class Front:
    """The outermost layer: refuses who has no token, stamps replies, counts, and turns exceptions into error bodies."""

    def __init__(self, app: ASGIApp, token: str, follower: Callable[[], Follower], latencies: Latencies) -> None:
        self._app, self._token, self._follower, self._latencies = app, token, follower, latencies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0
        plain = _wants_plain(scope["headers"])

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                if headers.get("content-type") == MEDIA_TYPE and plain:
                    headers["content-type"] = "application/json"
                headers["X-Orch-Index"] = str(self._follower().index)
                headers["X-Request-Id"] = request_id
                self._latencies.observe(scope, status, time.perf_counter() - started)
            await send(message)

        try:
            self._check(scope)
            await self._wait_for_index(scope)
            await self._app(scope, receive, stamped)
        except OrchError as error:
            await error_response(error)(scope, receive, stamped)
        except CutOffError as error:
            log.info("reply cut off", request=request_id, why=str(error))
        except asyncio.CancelledError:
            # The server stops, and does not wait for those who wait.
            if not status:
                stopping = UnavailableError("the gateway is stopping; ask again.")
                await error_response(stopping)(scope, receive, stamped)
            raise
        except Exception as error:
            if status:
                raise  # The reply has begun: only cutting it off can say that it is not whole.
            await error_response(internal_error(error, request_id))(scope, receive, stamped)

    def _check(self, scope: Scope) -> None:
        if scope["path"] in OPEN_PATHS:
            return
        given = token_of(scope["headers"])
        if given is None:
            raise UnauthenticatedError(
                "the request has no token. Send `Authorization: Bearer TOKEN`; the token is in the file that `orch up` "
                "names, clients take its place from ORCH_TOKEN_FILE."
            )
        if not same_token(given, self._token):
            raise UnauthenticatedError(
                "the token is not this cluster's. Point ORCH_TOKEN_FILE at the token file that `orch up` printed."
            )

    async def _wait_for_index(self, scope: Scope) -> None:
        """`?after=INDEX`: answer from a state that is at least as new."""
        query = scope.get("query_string", b"")
        if b"after=" not in query:
            return
        given = parse_qs(query.decode("latin-1")).get("after", [""])[0]
        if not given.isdigit():
            raise UsageError(f"after={given!r} is no index: it is a whole number, as X-Orch-Index shows it.")
        if not await self._follower().wait_index(int(given), AFTER_MS):
            seen = self._follower().index
            raise UnavailableError(f"the gateway has seen the journal up to index {seen}, not yet {given}. Try again.")


def request_id_of(request: Request) -> str:
    """The id that this request has in logs, and as an event."""
    return str(request.state.request_id)
