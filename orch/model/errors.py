"""Errors that a user can meet, each with the HTTP status, the exit code and the words for it.

One body on every surface: RFC 9457's `type, title, status, detail` with Marathon's `message` and
`details: [{path, errors}]` as members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class OrchError(Exception):
    """Base of everything orch refuses. `detail` says what was asked, what is true, and what to do."""

    kind = "error"
    title = "orch could not do this"
    status = 500
    exit_code = 1

    def __init__(self, detail: str, details: Sequence[dict[str, Any]] = (), why: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.details = list(details)
        self.why = why

    def to_dict(self) -> dict[str, Any]:
        """The error body, ready for JSON: `{type, title, status, detail, message, details[, why]}`."""
        body: dict[str, Any] = {
            "type": f"urn:orch:error:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "message": self.detail,
            "details": self.details,
        }
        if self.why is not None:
            body["why"] = self.why
        return body


class SpecError(OrchError):
    """A body is not what it should be. `details` holds `{"path": "/containers(0)/mem", "errors": [...]}` for each
    field.
    """

    kind = "invalid"
    title = "Object is not valid"
    status = 422
    exit_code = 2


class UsageError(OrchError):
    """The request itself makes no sense (bad parameter, malformed text)."""

    kind = "usage"
    title = "The request is malformed"
    status = 400
    exit_code = 2


class NotFoundError(OrchError):
    """Nothing has that id."""

    kind = "not-found"
    title = "Not found"
    status = 404
    exit_code = 3


class ExpiredError(NotFoundError):
    """It existed; its files have been removed by the retention rules."""

    kind = "expired"
    title = "Expired"
    status = 410


class DeniedError(OrchError):
    """Authenticated, and not allowed."""

    kind = "denied"
    title = "Not allowed"
    status = 403
    exit_code = 4


class UnauthenticatedError(DeniedError):
    """No token, or a wrong one."""

    kind = "unauthenticated"
    title = "Who are you?"
    status = 401


class ConflictError(OrchError):
    """It can't be done in the present state."""

    kind = "conflict"
    title = "Conflict"
    status = 409
    exit_code = 5


class UnplaceableError(OrchError):
    """No agent can hold it; `why` says which agents were ruled out by what."""

    kind = "unplaceable"
    title = "No agent can hold this"
    status = 409
    exit_code = 6


class TimeoutExceededError(OrchError):
    """The caller's time limit ran out before it was so."""

    kind = "timeout"
    title = "Not in time"
    status = 504
    exit_code = 7


class TooLargeError(OrchError):
    """A body is larger than the route takes."""

    kind = "too-large"
    title = "Too large"
    status = 413
    exit_code = 2


class UnavailableError(OrchError):
    """The cluster, or the part of it that is needed, does not answer."""

    kind = "unavailable"
    title = "Not available"
    status = 503
    exit_code = 1


class TooManyError(OrchError):
    """A limit on requests, streams or queued work is reached."""

    kind = "too-many"
    title = "Too many"
    status = 429
    exit_code = 1


BY_KIND: dict[str, type[OrchError]] = {
    cls.kind: cls
    for cls in (
        OrchError, SpecError, UsageError, NotFoundError, ExpiredError, DeniedError, UnauthenticatedError, ConflictError,
        UnplaceableError, TimeoutExceededError, TooLargeError, UnavailableError, TooManyError,
    )
}  # fmt: skip


def from_dict(body: dict[str, Any]) -> OrchError:
    """The exception that an error body stands for; of an unknown kind, the nearest by status."""
    kind = str(body.get("type", "")).rpartition(":")[2]
    cls = BY_KIND.get(kind)
    if cls is None:
        by_status = [c for c in BY_KIND.values() if c.status == body.get("status")]
        cls = by_status[0] if by_status else OrchError
    detail = str(body.get("detail") or body.get("message") or body.get("title") or "unknown error")
    return cls(detail, details=body.get("details") or (), why=body.get("why"))
