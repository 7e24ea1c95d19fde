"""Apps in Marathon's format: `/v2/apps`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from orch.api import marathon, reads
from orch.api.bodies import read_json
from orch.api.room import Room
from orch.api.routes.common import Key, Now, TheRoom, answer, body_of, spec_ref
from orch.api.routes.pods import kill_instances, put, with_id
from orch.api.routes.services import absolute
from orch.api.schemas import Deployment
from orch.model.errors import NotFoundError
from orch.model.requests import DeleteService

router = APIRouter(tags=["apps"])
AppId = Annotated[str, Path(description="The app's id, such as demo/web.")]

_EXAMPLE = {"id": "/demo/sleep", "cmd": "sleep 3600", "cpus": 0.1, "mem": 32, "instances": 2}
_BODY = body_of(spec_ref("AppSpec"), example=_EXAMPLE, also={"application/yaml": {"schema": {"type": "object"}}})
_APP = {"content": {"application/json": {"example": _EXAMPLE}}, "description": "The app, with every default filled in."}


@router.post("/v2/apps", status_code=201, summary="Run an app", responses={201: _APP}, openapi_extra=_BODY)
async def create(request: Request, room: TheRoom, now: Now = False, key: Key = None) -> Response:
    """409 where there is a service of that id."""
    body = await read_json(request, room.settings.spec_bytes)
    path = await put(room, request, body, "app", now, replace=False)
    return answer(_app(room, path), 201, {"Location": f"/v2/apps{path}"})


@router.get("/v2/apps", summary="List apps")
async def list_apps(room: TheRoom) -> Response:
    """`{apps: [...]}`."""
    paths = [str(found["id"]) for found in reads.specs(room.replica, "app")]
    return answer({"apps": [_app(room, path) for path in paths]})


@router.get("/v2/apps/{id:path}/tasks", summary="The instances of an app, in Marathon's words")
async def tasks(room: TheRoom, id: AppId) -> Response:
    """`{tasks: [...]}`."""
    _app_or_404(room, absolute(id))
    return answer({"tasks": _tasks(room, absolute(id))})


@router.delete("/v2/apps/{id:path}/tasks/{task}", summary="Stop one instance of an app")
async def kill(request: Request, room: TheRoom, id: AppId, task: str, scale: bool = False, key: Key = None) -> Response:
    """Another takes its place, unless `scale`."""
    path = absolute(id)
    _app_or_404(room, path)
    found = reads.instance(room.replica, task)
    if found is None or found["path"] != path:
        raise NotFoundError(f"{path} has no instance {task!r}.")
    await kill_instances(room, request, path, [found], scale)
    return answer({"task": marathon.task(found)})


@router.get("/v2/apps/{id:path}", summary="One app", responses={200: _APP})
async def one(room: TheRoom, id: AppId) -> Response:
    """`{app: {...}}` with counts and its instances."""
    path = absolute(id)
    return answer({"app": {**_app(room, path), "tasks": _tasks(room, path)}})


@router.put(
    "/v2/apps/{id:path}",
    summary="Change an app, or run it",
    responses={200: {"model": Deployment}},
    openapi_extra=_BODY,
)
async def replace(
    request: Request,
    room: TheRoom,
    id: AppId,
    now: Now = False,
    partialUpdate: bool = True,
    key: Key = None,
) -> Response:
    """Fields that are left out keep their values, unless `partialUpdate=false`."""
    path = absolute(id)
    body = with_id(await read_json(request, room.settings.spec_bytes), path)
    before = reads.spec(room.replica, path, "app")
    if before is not None and partialUpdate and isinstance(body, dict):
        body = {**marathon.writable(before), **body}
    await put(room, request, body, "app", now, replace=True)
    return _deployment(room, path, 200 if before is not None else 201)


@router.delete("/v2/apps/{id:path}", summary="Stop an app", responses={200: {"model": Deployment}})
async def delete(request: Request, room: TheRoom, id: AppId, key: Key = None) -> Response:
    """All its instances are stopped; it is gone once they are."""
    path = absolute(id)
    _app_or_404(room, path)
    await room.call("services", lambda stamp: DeleteService(**stamp, path=path), request)
    return _deployment(room, path, 200)


def _deployment(room: Room, path: str, status: int) -> Response:
    identity = marathon.deployment_id(path, room.follower.index)
    found = reads.service(room.replica, path)
    version = marathon.timestamp(found["version"]) if found else marathon.timestamp(0)
    return answer({"version": version, "deploymentId": identity}, status, {"Marathon-Deployment-Id": identity})


def _app_or_404(room: Room, path: str) -> dict[str, Any]:
    found = reads.spec(room.replica, path, "app")
    if found is None:
        raise NotFoundError(f"App '{path}' does not exist. `orch ps` lists what there is.")
    return found


def _app(room: Room, path: str) -> dict[str, Any]:
    spec = _app_or_404(room, path)
    service = reads.service(room.replica, path)
    assert service is not None
    return marathon.app(spec, service, reads.service_instances(room.replica, path))


def _tasks(room: Room, path: str) -> list[dict[str, Any]]:
    rows = reads.service_instances(room.replica, path)
    return [marathon.task(row) for row in rows]
