"""One instance: look, logs, files, stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from orch.api import outputs, reads
from orch.api.errors import CutOffError
from orch.api.room import Room
from orch.api.routes.common import Key, Offset, Story, TheRoom, TimeoutMs, answer
from orch.api.schemas import InstanceShape, WaitedInstance
from orch.api.story import story as told
from orch.model.errors import NotFoundError, OrchError, UsageError
from orch.model.requests import KillInstances, StopPods
from orch.model.states import TERMINAL

router = APIRouter(tags=["instances"])
Id = Annotated[str, Path(description="The instance's name (demo_web.3, demo_digest.j7.12) or its number.")]
FIRST_S = 0.25
_ENDED = frozenset(state.name for state in TERMINAL)


@router.get("/v2/instances/{id}", summary="One instance", responses={200: {"model": InstanceShape}})
async def one(request: Request, room: TheRoom, id: Id, story: Story = False) -> Response:
    """Its state, where it runs, its containers and endpoints."""
    found = instance_or_404(room, id)
    if story:
        framework = "batch" if found.get("job") is not None else "services"
        found = {**found, "story": await told(room, request, (framework, "master"), found["number"])}
    return answer(found)


@router.get(
    "/v2/instances/{id}/wait", summary="Block until an instance is so far", responses={200: {"model": WaitedInstance}}
)
async def wait(
    room: TheRoom,
    id: Id,
    until: Annotated[Literal["running", "terminal"], Query(alias="for", description="running, or over.")] = "terminal",
    timeout_ms: TimeoutMs = 30_000,
) -> Response:
    """Answers as soon as it is so; `done` is false when the time was over before."""

    def look() -> tuple[bool, dict[str, Any]]:
        found = instance_or_404(room, id)
        return found["state"] in _ENDED or (until == "running" and found["state"] == "RUNNING"), found

    done, found = await room.wait_until(look, timeout_ms)
    return answer({"done": done, "instance": found})


@router.get(
    "/v2/instances/{id}/logs",
    summary="What an instance printed",
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def logs(
    room: TheRoom,
    id: Id,
    container: Annotated[str, Query(description="Of a pod with several: which one; its first if none is named.")] = "",
    stream: Literal["stdout", "stderr"] = "stdout",
    offset: Annotated[int, Query(description="Bytes from the start; negative: from the end.")] = 0,
    limit: Annotated[int | None, Query(ge=0, description="Bytes, at most.")] = None,
    lines: Annotated[int, Query(ge=0, le=100_000, description="Only so many of the last lines; 0: all.")] = 0,
    follow: Annotated[bool, Query(description="Go on as more is printed, until the instance ends.")] = False,
    attempt: Annotated[int, Query(description="Of a pod that was launched again: which launch; -1: the last.")] = -1,
) -> StreamingResponse:
    """Raw bytes. The stream ends when the client goes, or the log does."""
    pod = instance_or_404(room, id)
    args = {
        "attempt": attempt, "container": container, "stream": stream, "offset": offset,
        "limit": -1 if limit is None else limit, "follow": follow,
    }  # fmt: skip
    room.check_streams()
    if lines:
        data = await outputs.tail(room, pod, args, lines)
        if not follow:
            return StreamingResponse(iter([data]), media_type="application/octet-stream")
        args["offset"] = -len(data)
    pieces = outputs.log(room, pod, args)
    return StreamingResponse(_pieces(room, await _first(pieces), pieces), media_type="application/octet-stream")


@router.get("/v2/instances/{id}/files", summary="The files in a folder of an instance's sandbox")
async def files(
    room: TheRoom, id: Id, path: Annotated[str, Query(description="Relative to the sandbox.")] = ""
) -> Response:
    """`{items: [{name, size, is_dir, ...}]}`."""
    return answer({"items": await outputs.files(room, instance_or_404(room, id), path)})


@router.get(
    "/v2/instances/{id}/file",
    summary="Bytes of a file in an instance's sandbox",
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def file(
    room: TheRoom,
    id: Id,
    path: Annotated[str, Query(description="Relative to the sandbox.")],
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=0, le=outputs.PIECE_BYTES)] = outputs.PIECE_BYTES,
) -> Response:
    """At most 8 MiB at once."""
    data = await outputs.file(room, instance_or_404(room, id), path, offset, limit)
    return Response(data, media_type="application/octet-stream")


@router.delete(
    "/v2/instances/{id}", status_code=202, summary="Stop one instance", responses={202: {"model": InstanceShape}}
)
async def kill(
    request: Request,
    room: TheRoom,
    id: Id,
    scale: Annotated[bool, Query(description="Make the service smaller, instead of starting another.")] = False,
    key: Key = None,
) -> Response:
    """Its service starts another in its place. A pod of a job gets no further attempt; the others go on."""
    found = instance_or_404(room, id)
    if scale and found.get("job") is not None:
        raise UsageError(f"{found['name']} is a pod of job {found['job']}; scale is for services. Leave it out.")
    one = np.array([found["number"] if found.get("job") is None else found["index"]], dtype=np.int64)
    if found.get("job") is not None:
        await room.call("batch", lambda stamp: StopPods(**stamp, job=found["job"], indexes=one), request)
    else:
        path = found["path"]
        await room.call("services", lambda stamp: KillInstances(**stamp, path=path, ids=one, scale=scale), request)
    return answer(reads.instance(room.replica, found["number"]) or found, 202)


def instance_or_404(room: Room, id: str) -> dict[str, Any]:
    """The instance. Raises NotFoundError."""
    found = reads.instance(room.replica, id)
    if found is None:
        raise NotFoundError(f"there is no instance {id!r}: it never was, or was forgotten since it ended.")
    return found


async def _first(pieces: AsyncGenerator[bytes, None]) -> asyncio.Task[bytes | None]:
    """The first piece, awaited for a moment, so that an error still finds its status. A quiet log begins without."""
    task = asyncio.ensure_future(anext(pieces, None))
    try:
        await asyncio.wait({task}, timeout=FIRST_S)
        if task.done():
            task.result()
    except BaseException:
        task.cancel()
        raise
    return task


async def _pieces(
    room: Room, first: asyncio.Task[bytes | None], pieces: AsyncGenerator[bytes, None]
) -> AsyncIterator[bytes]:
    with room.stream():
        try:
            piece = await first
            while piece is not None:
                yield piece
                piece = await anext(pieces, None)
        except OrchError as error:
            raise CutOffError(error.detail) from error
        finally:
            first.cancel()
            await asyncio.wait({first})
            await pieces.aclose()
