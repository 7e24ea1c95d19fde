"""Pods in Marathon's format: `/v2/pods`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request, Response

from orch.api import marathon, reads, why
from orch.api.bodies import field_error, read_json
from orch.api.room import Room
from orch.api.routes.common import Key, Now, TheRoom, Wipe, answer, body_of, spec_ref
from orch.api.routes.services import absolute
from orch.model.errors import NotFoundError, UnplaceableError
from orch.model.requests import DeleteService, KillInstances, PutService

if TYPE_CHECKING:
    from orch.model.specs import AppSpec, PodSpec, Template

router = APIRouter(tags=["pods"])
PodId = Annotated[str, Path(description="The pod's id, such as demo/web.")]

_EXAMPLE = {
    "id": "/demo/web",
    "scaling": {"kind": "fixed", "instances": 3},
    "containers": [
        {
            "name": "app",
            "exec": {"command": {"shell": "exec python3 -m http.server $ENDPOINT_HTTP"}},
            "resources": {"cpus": 0.1, "mem": 64},
            "endpoints": [{"name": "http", "hostPort": 0}],
            "healthCheck": {"http": {"endpoint": "http", "path": "/"}},
        }
    ],
}


_BODY = body_of(spec_ref("PodSpec"), example=_EXAMPLE, also={"application/yaml": {"schema": {"type": "object"}}})
_POD = {"content": {"application/json": {"example": _EXAMPLE}}, "description": "The pod, with every default filled in."}


@router.post("/v2/pods", status_code=201, summary="Run a pod", responses={201: _POD}, openapi_extra=_BODY)
async def create(request: Request, room: TheRoom, now: Now = False, key: Key = None) -> Response:
    """409 where there is a service of that id."""
    body = await read_json(request, room.settings.spec_bytes)
    path = await put(room, request, body, "pod", now, replace=False)
    return _shown(room, path, 201)


@router.get("/v2/pods", summary="List pods", responses={200: {"description": "Specs."}})
async def list_pods(room: TheRoom) -> Response:
    """Every pod's spec."""
    return answer([_pod_or_404(room, str(found["id"])) for found in reads.specs(room.replica, "pod")])


@router.head("/v2/pods", summary="Whether pods are served")
async def head_pods() -> Response:
    """They are."""
    return Response()


@router.get("/v2/pods::status", summary="The status of every pod")
@router.get("/v2/pods/::status", include_in_schema=False)
async def all_statuses(room: TheRoom) -> Response:
    """As of one pod."""
    return answer([_status(room, str(found["id"])) for found in reads.specs(room.replica, "pod")])


@router.get("/v2/pods/{id:path}::status", summary="The status of a pod")
async def status(room: TheRoom, id: PodId) -> Response:
    """`{id, spec, status: STABLE | DEGRADED | TERMINAL, instances: [...], ...}`."""
    _pod_or_404(room, absolute(id))
    return answer(_status(room, absolute(id)))


@router.get("/v2/pods/{id:path}::instances", summary="The instances of a pod")
async def instances(room: TheRoom, id: PodId) -> Response:
    """As in its status."""
    _pod_or_404(room, absolute(id))
    return answer(_status(room, absolute(id))["instances"])


_IDS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}


@router.delete(
    "/v2/pods/{id:path}::instances",
    summary="Stop instances of a pod",
    openapi_extra=body_of(_IDS, example=["demo_web.3"]),
)
async def kill(request: Request, room: TheRoom, id: PodId, wipe: Wipe = False, key: Key = None) -> Response:
    """A list of instance ids; others take their places."""
    path = absolute(id)
    _pod_or_404(room, path)
    names = await read_json(request, room.settings.other_bytes)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise field_error("/", "must be a list of instance ids")
    found = [_instance_of(room, path, name) for name in names]
    await kill_instances(room, request, path, found, scale=False)
    shown = {one["id"]: one for one in _status(room, path)["instances"]}
    return answer([shown.get(one["name"], {"id": one["name"]}) for one in found])


@router.delete("/v2/pods/{id:path}::instances/{instance}", summary="Stop one instance of a pod")
async def kill_one(
    request: Request, room: TheRoom, id: PodId, instance: str, wipe: Wipe = False, key: Key = None
) -> Response:
    """Another takes its place."""
    path = absolute(id)
    _pod_or_404(room, path)
    found = _instance_of(room, path, instance)
    await kill_instances(room, request, path, [found], scale=False)
    return answer(next((one for one in _status(room, path)["instances"] if one["id"] == instance), {"id": instance}))


@router.get("/v2/pods/{id:path}", summary="One pod", responses={200: _POD})
async def one(room: TheRoom, id: PodId) -> Response:
    """Its spec, with every default filled in."""
    return _shown(room, absolute(id), 200)


@router.put(
    "/v2/pods/{id:path}", summary="Change a pod, or run it", responses={200: _POD, 201: _POD}, openapi_extra=_BODY
)
async def replace(request: Request, room: TheRoom, id: PodId, now: Now = False, key: Key = None) -> Response:
    """201 where it is new. The id in the body may be left out."""
    body = await read_json(request, room.settings.spec_bytes)
    body = with_id(body, absolute(id))
    is_new = reads.service(room.replica, absolute(id)) is None
    path = await put(room, request, body, "pod", now, replace=True)
    return _shown(room, path, 201 if is_new else 200)


@router.delete("/v2/pods/{id:path}", status_code=202, summary="Stop a pod")
async def delete(request: Request, room: TheRoom, id: PodId, key: Key = None) -> Response:
    """All its instances are stopped; it is gone once they are."""
    path = absolute(id)
    _pod_or_404(room, path)
    await room.call("services", lambda stamp: DeleteService(**stamp, path=path), request)
    room.tell("pod_deleted_event", request)
    return Response(
        status_code=202, headers={"Marathon-Deployment-Id": marathon.deployment_id(path, room.follower.index)}
    )


# ---- shared with apps ------------------------------------------------------------------------------------------


async def put(room: Room, request: Request, body: Any, kind: str, now: bool, replace: bool) -> str:
    """Check a spec and hand it to `services`; returns its path. Raises SpecError, ConflictError, UnplaceableError."""
    spec, template = checked(room, body, kind, now)
    return await send(room, request, spec, template, replace)


def checked(room: Room, body: Any, kind: str, now: bool) -> tuple[PodSpec | AppSpec, Template]:
    """A body's spec and template. Raises SpecError; with `now`, UnplaceableError where it can't be placed now."""
    from orch.model.specs import compile_spec, parse_app, parse_pod

    spec = parse_pod(body) if kind == "pod" else parse_app(body)
    template = compile_spec(spec)
    if now:
        found = why.of_template(room.replica, template)
        if found["never"] or not found["feasible"]:
            raise UnplaceableError(f"{kind} {template.path} can't be placed now. {found['sentence']}", why=found)
    return spec, template


async def send(
    room: Room, request: Request, spec: PodSpec | AppSpec, template: Template, replace: bool, at: int | None = None
) -> str:
    """Hand a checked spec to `services`; returns its path. at: its place among the several of one request."""
    from orch.model.specs import to_marathon

    body = to_marathon(spec)
    if template.kind == "app":
        room.tell("api_post_event", request, appDefinition=marathon.shown(body))
    done = await room.call(
        "services",
        lambda stamp: PutService(
            **stamp,
            template=template.to_wire(),
            body=body,
            instances=template.instances,
            replace=replace,
        ),
        request,
        at,
    )
    if template.kind == "pod":
        room.tell("pod_created_event" if done["created"] else "pod_updated_event", request)
    return template.path


def with_id(body: Any, path: str) -> Any:
    """The body with the id of the URL. Raises SpecError where it states another."""
    if not isinstance(body, dict):
        return body
    stated = body.get("id")
    if isinstance(stated, str) and absolute(stated) != path:
        raise field_error("/id", f"is {stated!r}, and the URL names {path}. Leave it out, or make them equal")
    return {**body, "id": path}


async def kill_instances(
    room: Room, request: Request, path: str, found: list[dict[str, Any]], scale: bool, at: int | None = None
) -> None:
    """Stop instances of one service. at: its place among the several of one request."""
    ids = np.array([one["number"] for one in found], dtype=np.int64)
    await room.call("services", lambda stamp: KillInstances(**stamp, path=path, ids=ids, scale=scale), request, at)


def _instance_of(room: Room, path: str, name: str) -> dict[str, Any]:
    found = reads.instance(room.replica, name)
    if found is None or found["path"] != path:
        raise NotFoundError(f"{path} has no instance {name!r}.")
    return found


def _pod_or_404(room: Room, path: str) -> dict[str, Any]:
    found = reads.spec(room.replica, path, "pod")
    if found is None:
        raise NotFoundError(f"there is no pod {path}. `orch ps` lists what there is.")
    service = reads.service(room.replica, path)
    assert service is not None
    return marathon.pod(found, service["instances"])


def _shown(room: Room, path: str, status_code: int) -> Response:
    found = _pod_or_404(room, path)
    headers = {"Marathon-Deployment-Id": marathon.deployment_id(path, room.follower.index)}
    if status_code == 201:
        headers["Location"] = f"/v2/pods{path}"
    return answer(found, status_code, headers)


def _status(room: Room, path: str) -> dict[str, Any]:
    found, service = _pod_or_404(room, path), reads.service(room.replica, path)
    assert service is not None
    return marathon.pod_status(
        found, service, reads.service_instances(room.replica, path), reads.service_ended(room.replica, path)
    )
