"""Services of both kinds (pods and apps) in our own shape: what the client and the CLI use."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from orch.api import endpoints as endpoint_rows
from orch.api import reads
from orch.api.bodies import read_object
from orch.api.room import Room
from orch.api.routes.common import Key, Limit, ServicePath, Story, TheRoom, TimeoutMs, answer, body_of
from orch.api.schemas import Endpoints, Instances, Services, ServiceShape, WaitedService
from orch.api.story import story as told
from orch.model.errors import NotFoundError
from orch.model.requests import DeleteService, ScaleService

router = APIRouter(tags=["services"])

_SCALE: dict[str, Any] = {
    "type": "object",
    "required": ["instances"],
    "properties": {"instances": {"type": "integer", "minimum": 0, "maximum": 1_000_000}},
    "additionalProperties": False,
}


@router.get("/v2/services", summary="List services by path", responses={200: {"model": Services}})
async def list_services(
    room: TheRoom,
    limit: Limit = 1000,
    offset: Annotated[str, Query(description="Only services whose path comes after this.")] = "",
    under: Annotated[str, Query(description="Only services in this group and below.")] = "/",
) -> Response:
    """`next` is the offset of the next page."""
    items, following = reads.services(room.replica, offset, limit, under)
    return answer({"items": items, "next": following})


@router.get(
    "/v2/services/{path:path}::instances", summary="Its instances, oldest first", responses={200: {"model": Instances}}
)
async def instances(room: TheRoom, path: ServicePath) -> Response:
    """With endpoints, containers and health, as their agents told last."""
    identity = absolute(path)
    service_or_404(room, identity)
    return answer({"items": reads.service_instances(room.replica, identity), "next": None})


@router.get("/v2/endpoints", summary="Where services are reached", responses={200: {"model": Endpoints}})
async def endpoints(
    room: TheRoom,
    under: Annotated[str, Query(description="Only of this service, or of the services in this group.")] = "/",
) -> Response:
    """The endpoints of all instances that run, each with host, port, protocols, health and virtual addresses."""
    return answer({"items": endpoint_rows.of_services(room.replica, absolute(under))})


@router.get(
    "/v2/services/{path:path}::endpoints", summary="Where it is reached", responses={200: {"model": Endpoints}}
)
async def service_endpoints(room: TheRoom, path: ServicePath) -> Response:
    """The endpoints of its instances that run."""
    identity = absolute(path)
    service_or_404(room, identity)
    return answer({"items": endpoint_rows.of_services(room.replica, identity)})


@router.get(
    "/v2/services/{path:path}::wait",
    summary="Block until a service is so far",
    responses={200: {"model": WaitedService}},
)
async def wait(
    room: TheRoom,
    path: ServicePath,
    until: Annotated[
        Literal["running", "gone"],
        Query(alias="for", description="running: all wanted instances are ready. gone: it is no more."),
    ] = "running",
    timeout_ms: TimeoutMs = 30_000,
) -> Response:
    """Answers as soon as it is so, pushed by the feed; `done` is false when the time was over before.

    An instance without health checks counts as running once it has run for a second: one that crashes at once does not.
    """
    identity = absolute(path)
    if until == "running":
        done, found = await _until_running(room, identity, timeout_ms)
    else:
        done, found = await _until_gone(room, identity, timeout_ms)
    return answer({"done": done, "status": found})


async def _until_gone(room: Room, path: str, timeout_ms: int) -> tuple[bool, dict[str, Any]]:
    last = reads.gone_service(path)

    def look() -> tuple[bool, dict[str, Any]]:
        nonlocal last
        found = reads.service(room.replica, path)
        if found is None:
            return True, reads.as_gone(last)
        last = found
        return False, found

    return await room.wait_until(look, timeout_ms)


async def _until_running(room: Room, path: str, timeout_ms: int) -> tuple[bool, dict[str, Any]]:
    """Ready, and still the same instances when the youngest of those without checks is no longer new."""
    end = time.monotonic() + timeout_ms / 1000

    def left_ms() -> int:
        return max(0, round((end - time.monotonic()) * 1000))

    def look() -> tuple[bool, dict[str, Any]]:
        found = service_or_404(room, path)
        ready = found["ready"] >= found["instances"] and found["settled"] and not found["deleting"]
        return ready, found

    while True:
        done, found = await room.wait_until(look, left_ms())
        since_ms = time.time() * 1000 - room.settings.steady_ms
        new = _running(room, path, since_ms) if done else set()
        if not new:
            return done, found
        if await _stay(room, path, new, since_ms, min(room.settings.steady_ms, left_ms())):
            return left_ms() > 0, found


async def _stay(room: Room, path: str, new: set[int], since_ms: float, for_ms: int) -> bool:
    """Whether these instances run on for so long."""
    changed, _ = await room.wait_until(lambda: (not new <= _running(room, path, since_ms), None), for_ms)
    return not changed


def _running(room: Room, path: str, since_ms: float) -> set[int]:
    """Ids of a service's running instances that have no checks and started after `since_ms`."""
    rows = reads.service_instances(room.replica, path)
    return {
        row["id"]
        for row in rows
        if row["state"] == "RUNNING" and row["healthy"] is None and (row["started_ms"] or 0) > since_ms
    }


@router.put(
    "/v2/services/{path:path}::scale",
    summary="Keep another number of instances",
    responses={200: {"model": ServiceShape}},
    openapi_extra=body_of(_SCALE, example={"instances": 5}),
)
async def scale(request: Request, room: TheRoom, path: ServicePath, key: Key = None) -> Response:
    """Those that are too many are stopped, the youngest first unless its spec says otherwise."""
    identity = absolute(path)
    body = await read_object(request, room.settings.other_bytes, {"instances": int})
    check_count(body["instances"])
    await room.call(
        "services", lambda stamp: ScaleService(**stamp, path=identity, instances=body["instances"]), request
    )
    return answer(service_or_404(room, identity))


@router.get("/v2/services/{path:path}", summary="One service", responses={200: {"model": ServiceShape}})
async def one(request: Request, room: TheRoom, path: ServicePath, story: Story = False) -> Response:
    """With its spec, what is wanted, and how many instances are in which state."""
    identity = absolute(path)
    found = service_or_404(room, identity, with_spec=True)
    if story:
        found = {**found, "story": await told(room, request, ("services",), identity)}
    return answer(found)


@router.delete(
    "/v2/services/{path:path}", status_code=202, summary="Stop a service", responses={202: {"model": ServiceShape}}
)
async def delete(request: Request, room: TheRoom, path: ServicePath, key: Key = None) -> Response:
    """All its instances are stopped; it is gone once they are."""
    identity = absolute(path)
    last = reads.service(room.replica, identity)
    await room.call("services", lambda stamp: DeleteService(**stamp, path=identity), request)
    found = reads.service(room.replica, identity)
    return answer(found or reads.as_gone(last or reads.gone_service(identity)), 202)


def absolute(path: str) -> str:
    """The path of a service from the URL's: `demo/web` and `/demo/web/` -> `/demo/web`."""
    return "/" + path.strip("/")


def check_count(instances: int) -> None:
    """Raises SpecError where it is no number of instances."""
    from orch.api.bodies import field_error
    from orch.model.specs import limits

    if not 0 <= instances <= limits.INSTANCES:
        raise field_error("/instances", f"got {instances}; a service has 0 to {limits.INSTANCES} instances")


def service_or_404(room: Room, path: str, with_spec: bool = False) -> dict[str, Any]:
    """The service's status. Raises NotFoundError."""
    found = reads.service(room.replica, path, with_spec)
    if found is None:
        raise _not_found(path)
    return found


def _not_found(path: str) -> NotFoundError:
    return NotFoundError(f"there is no service {path}. `orch ps` lists them.")
