"""Instances of apps in Marathon's words: `/v2/tasks`, `/v2/apps/{id}/tasks`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from orch.api import embeds, endpoint_lines, marathon, reads
from orch.api.bodies import field_error, read_json
from orch.api.room import Room
from orch.api.routes.common import AppId, Force, Key, TheRoom, Wipe, answer, body_of
from orch.api.routes.pods import kill_instances
from orch.api.routes.services import absolute
from orch.model.errors import NotFoundError, UsageError
from orch.model.ids import parse_instance_name
from orch.model.times import timestamp

router = APIRouter(tags=["apps"])
TaskId = Annotated[str, Path(description="An instance's name, such as demo_web.3.")]
Scale = Annotated[bool, Query(description="Make the app smaller by what is stopped, instead of replacing it.")]

_STATUS = {"running": "RUNNING", "staging": "STAGING"}
_LIST: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, "text/plain": {}}}}


@router.get("/v2/tasks", summary="The instances of all apps", responses=_LIST)
async def all_tasks(
    request: Request,
    room: TheRoom,
    status: Annotated[list[str] | None, Query(description="Only these: running, staging.")] = None,
    statuses: Annotated[list[str] | None, Query(alias="status[]", include_in_schema=False)] = None,
) -> Response:
    """`{tasks: [...]}`; with `Accept: text/plain` a line for each service port: id, port, where it is reached."""
    paths = embeds.chosen(room.replica, None, None, None)
    if _wants_text(request):
        return _lines(room, paths)
    states = {_STATUS[one.lower()] for one in (*(status or ()), *(statuses or ())) if one.lower() in _STATUS}
    found = [task for path in paths for task in _tasks(room, path)]
    return answer({"tasks": [task for task in found if not states or task["state"].removeprefix("TASK_") in states]})


_IDS: dict[str, Any] = {
    "type": "object",
    "required": ["ids"],
    "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
}


@router.post(
    "/v2/tasks/delete", summary="Stop instances of apps", openapi_extra=body_of(_IDS, example={"ids": ["demo_web.3"]})
)
async def kill_these(
    request: Request, room: TheRoom, scale: Scale = False, wipe: Wipe = False, force: Force = False, key: Key = None
) -> Response:
    """`{tasks: [...]}`, those that ran; with `scale` the deployment. Instances that have ended are passed over."""
    check_wipe(scale, wipe)
    body = await read_json(request, room.settings.other_bytes)
    ids = body.get("ids") if isinstance(body, dict) else None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise field_error("/ids", "must be a list of instance ids")
    for name in ids:
        if parse_instance_name(name) is None:
            raise UsageError(f"{name!r} can't be the id of an instance, which is such as demo_web.3.")
    by_path: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(ids):
        row = reads.instance(room.replica, name)
        if row is not None and row["ended_ms"] is None and reads.spec(room.replica, row["path"], "app") is not None:
            by_path.setdefault(row["path"], []).append(row)
    for at, (path, found) in enumerate(by_path.items()):
        await kill_instances(room, request, path, found, scale, at)
    return killed(room, list(by_path), [row for found in by_path.values() for row in found], scale)


@router.get("/v2/apps/{id:path}/tasks", summary="The instances of an app", responses=_LIST)
async def of_app(request: Request, room: TheRoom, id: AppId) -> Response:
    """`{tasks: [...]}`; of `group/*`, those of all apps in a group. As text with `Accept: text/plain`."""
    paths = in_group(room, id) if id.endswith("*") else [app_or_404(room, absolute(id))]
    if _wants_text(request):
        return _lines(room, paths)
    return answer({"tasks": [task for path in paths for task in _tasks(room, path)]})


@router.delete("/v2/apps/{id:path}/tasks", summary="Stop the instances of an app")
async def kill_all(
    request: Request,
    room: TheRoom,
    id: AppId,
    host: Annotated[str | None, Query(description="Only those on this host or agent; `*` is any.")] = None,
    scale: Scale = False,
    wipe: Wipe = False,
    force: Force = False,
    key: Key = None,
) -> Response:
    """`{tasks: [...]}`, those that ran; with `scale` the deployment."""
    check_wipe(scale, wipe)
    path = app_or_404(room, absolute(id))
    rows = reads.service_instances(room.replica, path)
    rows = [row for row in rows if host in (None, "*", row["host"], row["agent"])]
    if rows:
        await kill_instances(room, request, path, rows, scale)
    return killed(room, [path], rows, scale)


@router.delete("/v2/apps/{id:path}/tasks/{task}", summary="Stop one instance of an app")
async def kill_one(
    request: Request,
    room: TheRoom,
    id: AppId,
    task: TaskId,
    scale: Scale = False,
    wipe: Wipe = False,
    force: Force = False,
    key: Key = None,
) -> Response:
    """`{task: {...}}`; with `scale` the deployment."""
    check_wipe(scale, wipe)
    path = app_or_404(room, absolute(id))
    row = next((row for row in reads.service_instances(room.replica, path) if row["name"] == task), None)
    if row is None:
        raise NotFoundError(f"Task '{task}' does not exist")
    await kill_instances(room, request, path, [row], scale)
    if scale:
        return killed(room, [path], [row], scale)
    return answer({"task": marathon.task(row, reads.service_ports(room.replica, path))})


# ---- shared with apps and pods ---------------------------------------------------------------------------------


def killed(room: Room, paths: list[str], rows: Iterable[dict[str, Any]], scale: bool) -> Response:
    """The answer to a stop: the instances as they were, or, where the apps get smaller by it, the deployment."""
    if scale:
        return deployed(room, paths)
    ports = {path: reads.service_ports(room.replica, path) for path in paths}
    return answer({"tasks": [marathon.task(row, ports.get(row["path"])) for row in rows]})


def deployed(room: Room, paths: Iterable[str], status: int = 200) -> Response:
    """The answer to a change of apps: its version, and the deployment that brings it about."""
    found = [service for service in (reads.service(room.replica, path) for path in paths) if service is not None]
    version = timestamp(max((service["version"] for service in found), default=0))
    identity = marathon.deployment_id("/".join(paths), room.follower.index)
    return answer({"version": version, "deploymentId": identity}, status, {"Marathon-Deployment-Id": identity})


def app_or_404(room: Room, path: str) -> str:
    """The path of an app that is there. Raises NotFoundError."""
    if reads.spec(room.replica, path, "app") is None:
        raise NotFoundError(f"App '{path}' does not exist")
    return path


def in_group(room: Room, pattern: str) -> list[str]:
    """The apps in the group of `group/*`, and below. Raises NotFoundError where there is none such."""
    group = absolute(pattern.removesuffix("*"))
    found = embeds.chosen(room.replica, None, None, None, under=group)
    if not found and group != "/":
        raise NotFoundError(f"Group '{group}' does not exist")
    return found


def check_wipe(scale: bool, wipe: bool) -> None:
    """Raises UsageError where both are asked for."""
    if scale and wipe:
        raise UsageError("You cannot use scale and wipe at the same time.")


def _tasks(room: Room, path: str) -> list[dict[str, Any]]:
    ports = reads.service_ports(room.replica, path)
    return [marathon.task(row, ports) for row in reads.service_instances(room.replica, path)]


def _lines(room: Room, paths: list[str]) -> Response:
    return Response(endpoint_lines.of_apps(room.replica, paths), media_type="text/plain")


def _wants_text(request: Request) -> bool:
    """Whether plain text is preferred: named before JSON."""
    kinds = [part.partition(";")[0].strip() for part in request.headers.get("accept", "").split(",")]
    return "text/plain" in kinds and "application/json" not in kinds[: kinds.index("text/plain")]
