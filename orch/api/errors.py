"""Every refusal in one body: RFC 9457 with Marathon's `message` and `details`."""

from __future__ import annotations

import http
import traceback
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from orch.model.errors import (
    NotFoundError,
    OrchError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
    UsageError,
)

log = structlog.get_logger("orch.api")
MEDIA_TYPE = "application/problem+json"


class CutOffError(Exception):
    """A reply that has begun can't go on: ending it without its end is how the client is told."""


def error_response(error: OrchError) -> JSONResponse:
    """The reply for a refusal."""
    headers = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="orch"'
    if isinstance(error, UnavailableError | TooManyError):
        headers["Retry-After"] = "1"
    return JSONResponse(error.to_dict(), status_code=error.status, headers=headers, media_type=MEDIA_TYPE)


def internal_error(error: BaseException, request_id: str) -> OrchError:
    """What a client sees of a mistake of ours; the particulars are in the gateway's log under the same id."""
    # As text, without the values of variables: headers hold tokens, specs hold secrets.
    log.error("request failed", request=request_id, traceback="".join(traceback.format_exception(error)))
    return OrchError(
        f"the gateway made a mistake ({type(error).__name__}). Nothing is known to have changed. The gateway's "
        "log has the "
        f"particulars under request {request_id}; report it, or try again."
    )


def install(app: FastAPI) -> None:
    """Make the app answer in this body wherever it refuses."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OrchError)
        return error_response(error)

    async def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return error_response(parameters_error(error.errors()))

    async def routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        response = error_response(_routing_error(request, error))
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(OrchError, refused)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, routing)


def parameters_error(found: Any) -> UsageError:
    """The refusal for query, path and header parameters that are not what the route takes."""
    details = []
    for entry in found:
        place = ".".join(str(step) for step in entry["loc"])
        details.append({"path": place, "errors": [f"got {entry.get('input')!r}: {entry['msg'].lower()}"]})
    first = details[0]
    return UsageError(f"{first['path']}: {first['errors'][0]}", details=details)


class _OtherError(OrchError):
    """A status that no error of the model stands for."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = http.HTTPStatus(status).phrase
        self.kind = self.title.lower().replace(" ", "-")


def _routing_error(request: Request, error: HTTPException) -> OrchError:
    path = request.url.path
    if error.status_code == 404:
        return NotFoundError(f"there is no route {path}; /openapi.json lists them all.")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "other methods")
        return _OtherError(405, f"{request.method} is not possible on {path}; it takes {allowed}.")
    return _OtherError(error.status_code, str(error.detail))
