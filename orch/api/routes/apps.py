"""Apps in Marathon's format: `/v2/apps`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from orch.api import embeds, marathon, reads
from orch.api.bodies import field_error, read_json
from orch.api.room import Room
from orch.api.routes.common import AppId, Force, Key, Now, TheRoom, answer, body_of, spec_ref
from orch.api.routes.pods import checked, put, send, with_id
from orch.api.routes.services import absolute
from orch.api.routes.tasks import app_or_404, deployed, in_group
from orch.api.schemas import Deployment
from orch.model.requests import DeleteService, RestartService

router = APIRouter(tags=["apps"])

_EXAMPLE = {"id": "/demo/sleep", "cmd": "sleep 3600", "cpus": 0.1, "mem": 32, "instances": 2}
_BODY = body_of(spec_ref("AppSpec"), example=_EXAMPLE, also={"application/yaml": {"schema": {"type": "object"}}})
_BODIES = body_of({"type": "array", "items": spec_ref("AppSpec")}, example=[_EXAMPLE])
_APP = {"content": {"application/json": {"example": _EXAMPLE}}, "description": "The app, with every default filled in."}
Embed = Annotated[
    list[str] | None,
    Query(description="What to show besides: apps.tasks, apps.lastTaskFailure, apps.failures, apps.taskStats."),
]
Partial = Annotated[bool, Query(description="Fields that are left out keep their values; false: take their defaults.")]


@router.post("/v2/apps", status_code=201, summary="Run an app", responses={201: _APP}, openapi_extra=_BODY)
async def create(request: Request, room: TheRoom, now: Now = False, force: Force = False, key: Key = None) -> Response:
    """409 where there is a service of that id."""
    body = await read_json(request, room.settings.spec_bytes)
    path = await put(room, request, body, "app", now, replace=False)
    identity = marathon.deployment_id(path, room.follower.index)
    shown = {**embeds.app(room.replica, path, embeds.ONE), "deployments": [{"id": identity}]}
    return answer(shown, 201, {"Location": f"/v2/apps{path}", "Marathon-Deployment-Id": identity})


@router.get("/v2/apps", summary="List apps")
async def list_apps(
    room: TheRoom,
    cmd: Annotated[str | None, Query(description="Only apps with this in their cmd.")] = None,
    id: Annotated[str | None, Query(description="Only apps with this in their id.")] = None,
    label: Annotated[
        str | None, Query(description="Only apps that this selects: `a==x, b!=y, c in (x, y), d notin (z), e`.")
    ] = None,
    embed: Embed = None,
) -> Response:
    """`{apps: [...]}`."""
    paths = embeds.chosen(room.replica, cmd, id, label)
    parts = embeds.asked(embed or ())
    return answer({"apps": [embeds.app(room.replica, path, parts) for path in paths]})


@router.get("/v2/apps/{id:path}", summary="One app", responses={200: _APP})
async def one(room: TheRoom, id: AppId, embed: Embed = None) -> Response:
    """`{app: {...}}` with counts, instances and the last failure; of `group/*`, `{"*": [...]}`: all apps in a group."""
    parts = embeds.asked(embed or (), least=embeds.ONE)
    if id.endswith("*"):
        return answer({"*": [embeds.app(room.replica, path, parts) for path in in_group(room, id)]})
    path = app_or_404(room, absolute(id))
    return answer({"app": embeds.app(room.replica, path, parts)})


@router.put(
    "/v2/apps", summary="Change apps, or run them", responses={200: {"model": Deployment}}, openapi_extra=_BODIES
)
async def replace_many(
    request: Request, room: TheRoom, partialUpdate: Partial = True, force: Force = False, key: Key = None
) -> Response:
    """A list. All are checked before the first is changed."""
    return await _change_many(room, request, partialUpdate)


@router.patch("/v2/apps", summary="Change apps", responses={200: {"model": Deployment}}, openapi_extra=_BODIES)
async def change_many(request: Request, room: TheRoom, force: Force = False, key: Key = None) -> Response:
    """A list. Fields that are left out keep their values."""
    return await _change_many(room, request, partial=True)


@router.put(
    "/v2/apps/{id:path}",
    summary="Change an app, or run it",
    responses={200: {"model": Deployment}, 201: {"model": Deployment}},
    openapi_extra=_BODY,
)
async def replace(
    request: Request,
    room: TheRoom,
    id: AppId,
    now: Now = False,
    partialUpdate: Partial = True,
    force: Force = False,
    key: Key = None,
) -> Response:
    """201 where it is new. Fields that are left out keep their values, unless `partialUpdate=false`."""
    path = absolute(id)
    body = with_id(await read_json(request, room.settings.spec_bytes), path)
    is_new = reads.spec(room.replica, path, "app") is None
    await put(room, request, _merged(room, body, partialUpdate), "app", now, replace=True)
    return deployed(room, [path], 201 if is_new else 200)


@router.patch(
    "/v2/apps/{id:path}", summary="Change an app", responses={200: {"model": Deployment}}, openapi_extra=_BODY
)
async def change(request: Request, room: TheRoom, id: AppId, force: Force = False, key: Key = None) -> Response:
    """Fields that are left out keep their values."""
    return await replace(request, room, id, partialUpdate=True)


@router.post("/v2/apps/{id:path}/restart", summary="Restart an app", responses={200: {"model": Deployment}})
async def restart(request: Request, room: TheRoom, id: AppId, force: Force = False, key: Key = None) -> Response:
    """All its instances are replaced, as by a new version of the same spec."""
    path = app_or_404(room, absolute(id))
    await room.call("services", lambda stamp: RestartService(**stamp, path=path), request)
    return deployed(room, [path])


@router.delete("/v2/apps/{id:path}", summary="Stop an app", responses={200: {"model": Deployment}})
async def delete(request: Request, room: TheRoom, id: AppId, force: Force = False, key: Key = None) -> Response:
    """All its instances are stopped; it is gone once they are."""
    path = app_or_404(room, absolute(id))
    room.tell("api_post_event", request, appDefinition={"id": path})
    await room.call("services", lambda stamp: DeleteService(**stamp, path=path), request)
    return deployed(room, [path])


async def _change_many(room: Room, request: Request, partial: bool) -> Response:
    bodies = await read_json(request, room.settings.spec_bytes)
    if not isinstance(bodies, list):
        raise field_error("/", "must be a list of apps")
    merged = []
    for at, body in enumerate(bodies):
        if not isinstance(body, dict) or not isinstance(body.get("id"), str):
            raise field_error(f"/({at})/id", "is required: add it")
        merged.append(_merged(room, {**body, "id": absolute(body["id"])}, partial))
    specs = [checked(room, body, "app", now=False) for body in merged]
    paths = []
    for at, (spec, template) in enumerate(specs):
        paths.append(await send(room, request, spec, template, replace=True, at=at))
    return deployed(room, paths)


def _merged(room: Room, body: Any, partial: bool) -> Any:
    """The body over what the app is now, where only a part of it is given."""
    if not isinstance(body, dict) or not partial:
        return body
    before, service = reads.spec(room.replica, body["id"], "app"), reads.service(room.replica, body["id"])
    if before is None or service is None:
        return body
    return {**marathon.writable(before), "instances": service["instances"], **body}
