"""The app: routes, middleware and the documents about them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from orch import __version__
from orch.api import errors
from orch.api.backend import Backend
from orch.api.middleware import Front
from orch.api.room import Room
from orch.api.routes import (
    agents,
    apps,
    blobs,
    cluster,
    events,
    find,
    instances,
    internal,
    jobs,
    pods,
    queue,
    services,
    tasks,
)
from orch.api.routes.common import spec_components
from orch.api.schemas import problem_components
from orch.api.settings import Settings

ABOUT = """One line of communication with a cluster: services (pods and apps), jobs, agents, logs, events.

Every request but `/ping` carries `Authorization: Bearer TOKEN` (or `token=TOKEN`, or `Basic` with the token as
password). Every reply carries `X-Orch-Index`, the index of the
journal that it is of; `?after=INDEX` on any request waits until the answer is at least as new. A change that carries an
`Idempotency-Key` may be sent again: it is carried out once, and answered the same. Errors are
`application/problem+json` with `type, title, status, detail, message, details: [{path, errors}]`.
"""


def create_app(backend: Backend, settings: Settings) -> FastAPI:
    """The API over a backend. Its `state.room` holds what the process may want to close: `room.follower.close()`."""
    app = FastAPI(
        title="orch",
        description=ABOUT,
        version=__version__,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    room = app.state.room = Room(backend, settings)
    errors.install(app)
    for part in (cluster, find, services, queue, pods, tasks, apps, jobs, agents, instances, events, blobs, internal):
        app.include_router(part.router)
    app.add_middleware(Front, token=settings.token, follower=lambda: room.follower, latencies=room.metrics.latencies)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """OpenAPI with the security scheme and the headers that every route has."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        parts = document.setdefault("components", {})
        parts["schemas"] = {**problem_components(), **spec_components(), **parts.get("schemas", {})}
        parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
        for path, operations in document["paths"].items():
            for operation in operations.values():
                _finish(operation, open_to_all=path == "/ping")
        app.openapi_schema = document
    return app.openapi_schema


_INDEX = {"description": "The journal's index that the reply is of.", "schema": {"type": "integer"}}


def _finish(operation: dict[str, Any], open_to_all: bool) -> None:
    if open_to_all:
        operation["security"] = []
    operation["responses"].pop("422", None)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"].setdefault("default", {"description": "What was wrong, and what to do.", "content": problem})
    for response in operation["responses"].values():
        response.setdefault("headers", {})["X-Orch-Index"] = _INDEX
