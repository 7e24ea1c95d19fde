"""Jobs: submit, look, wait, results, stop, forget."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from orch.api import outputs, reads, why
from orch.api.bodies import Environments, env_of, field_error, read_job
from orch.api.room import Room
from orch.api.routes.common import (
    MSGPACK,
    Key,
    Limit,
    Offset,
    Story,
    TheRoom,
    TimeoutMs,
    answer,
    body_of,
    columns_answer,
    spec_ref,
    wants_msgpack,
)
from orch.api.schemas import Instances, Jobs, JobShape, Submitted, WaitedJob
from orch.api.story import story as told
from orch.model.errors import NotFoundError, OrchError, UnplaceableError
from orch.model.requests import ForgetJob, StopJob, SubmitJob

router = APIRouter(tags=["jobs"])
Number = Annotated[int, Path(description="The job's number.", ge=0, lt=2**44)]

_COLUMNS = {
    MSGPACK: {
        "schema": {
            "type": "object",
            "description": "As in JSON; `each` as `{NAME: {blob: bytes, off: int64[n + 1][, has: uint8[n]]}}`, "
            "arrays as "
            "extension type 1: msgpack of (dtype, shape), then the little-endian bytes.",
        }
    }
}


_EXAMPLE = {"id": "/demo/digest", "cmd": "sha256sum $FILE", "each": [{"FILE": "/etc/hosts"}], "cpus": 0.1, "mem": 16}


@router.post(
    "/v2/jobs",
    status_code=201,
    summary="Submit a job: one pod, n, or one for each row of `each`",
    responses={201: {"model": Submitted}},
    openapi_extra=body_of(spec_ref("JobSpec"), example=_EXAMPLE, also=_COLUMNS),
)
async def submit(request: Request, room: TheRoom, now: bool = False, key: Key = None) -> Response:
    """The reply comes once the job is durable: it survives everything from then on."""
    settings = room.settings
    body = await read_job(request, settings.job_json_bytes, settings.job_columns_bytes)
    # Many rows take a while: others are served meanwhile.
    environments = None if body.get("each") is None else await asyncio.to_thread(env_of, body["each"])
    make, first_why = prepare(room, body, environments, now)
    found = await room.call("batch", make, request)
    if first_why["never"]:
        found = {**found, "why": {**first_why, "id": found["job"]}}
    return answer(found, 201, {"Location": f"/v2/jobs/{found['job']}"})


def prepare(
    room: Room, body: dict[str, Any], environments: Environments | None, now: bool
) -> tuple[Any, dict[str, Any]]:
    """`(make, why)`: what to send to `batch`, and how its pods would fit now. Raises SpecError, UnplaceableError."""
    from orch.model.specs import compile_spec, parse_job, to_marathon

    body = {name: value for name, value in body.items() if name != "each"}
    now = bool(body.pop("now", False)) or now
    env_off, env_blob, count = environments or (np.zeros(0, dtype=np.int64), b"", 0)
    if environments is not None:
        if body.setdefault("instances", count) != count:
            raise field_error(
                "/instances", f"is {body['instances']}, and `each` has {count} rows. Leave instances out."
            )
    if isinstance(body.get("instances"), int) and body["instances"] > room.settings.rows_per_job:
        raise field_error("/instances", f"a job has at most {room.settings.rows_per_job} pods. Split it.")
    spec = parse_job(body)
    template = compile_spec(spec)
    found = why.of_template(room.replica, template)
    if now and (found["never"] or not why.fits(found, template.gang)):
        raise UnplaceableError(f"job {template.path} can't be placed now. {found['sentence']}", why=found)

    def make(stamp: dict[str, Any]) -> SubmitJob:
        return SubmitJob(
            **stamp,
            template=template.to_wire(),
            body=to_marathon(spec),
            count=template.instances,
            env_off=env_off,
            env_blob=env_blob,
            gang=template.gang,
            priority=template.priority,
            attempts=template.max_attempts,
        )

    return make, found


@router.get("/v2/jobs", summary="List jobs, oldest first", responses={200: {"model": Jobs}})
async def list_jobs(
    room: TheRoom,
    limit: Limit = 1000,
    offset: Annotated[int, Query(ge=0, description="Only jobs with a number above this.")] = 0,
    path: Annotated[str | None, Query(description="Only jobs of this path.")] = None,
) -> Response:
    """`next` is the offset of the next page."""
    items, following = reads.jobs(room.replica, offset, limit, path)
    return answer({"items": items, "next": following})


@router.get("/v2/jobs/{job}", summary="One job", responses={200: {"model": JobShape}})
async def one(room: TheRoom, request: Request, job: Number, story: Story = False) -> Response:
    """With its spec, and the number of its pods in each state."""
    found = job_or_404(room, job)
    if story:
        found = {**found, "story": await told(room, request, ("batch",), f"job {job}")}
    return answer(found)


@router.get("/v2/jobs/{job}/wait", summary="Block until a job is so far", responses={200: {"model": WaitedJob}})
async def wait(
    room: TheRoom,
    job: Number,
    until: Annotated[
        Literal["finished", "running"],
        Query(alias="for", description="finished: all pods ended. running: all have started."),
    ] = "finished",
    timeout_ms: TimeoutMs = 30_000,
) -> Response:
    """Answers as soon as it is so, pushed by the feed; `done` is false when the time was over before."""

    def look() -> tuple[bool, dict[str, Any]]:
        found = job_or_404(room, job, with_body=False)
        return (found["done"] if until == "finished" else reads.has_started(found)), found

    done, found = await room.wait_until(look, timeout_ms)
    return answer({"done": done, "status": found})


@router.get(
    "/v2/jobs/{job}/instances",
    summary="The pods of a job: pages of JSON, or columns of all as msgpack",
    responses={200: {"model": Instances, "content": {MSGPACK: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def instances(
    room: TheRoom,
    job: Number,
    accept: Annotated[str, Header(description="application/msgpack gives columns.")] = "application/json",
    limit: Limit = 1000,
    offset: Offset = 0,
    state: Annotated[str | None, Query(description="Only pods in this state (JSON only).")] = None,
) -> Response:
    """Columns: `{"job", "first_id", "columns": {states uint8, exit_codes int16, reasons uint8, attempts, agents
    int32}}`.

    An exit code is 0 to 255, minus the signal's number, or -32768 for none.
    """
    found = job_or_404(room, job, with_body=False)
    if wants_msgpack(accept):
        return columns_answer(
            {"job": job, "first_id": found["first_id"], "columns": reads.job_columns(room.replica, job)}
        )
    items, following = reads.job_instances(room.replica, job, offset, limit, state)
    return answer({"items": items, "next": following})


@router.get(
    "/v2/jobs/{job}/instances/{index}/file",
    summary="Bytes of a file in the sandbox of a job's pod",
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def file(
    room: TheRoom,
    job: Number,
    index: Annotated[int, Path(ge=0)],
    path: Annotated[str, Query(description="Relative to the sandbox.")],
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=0, le=outputs.PIECE_BYTES)] = outputs.PIECE_BYTES,
) -> Response:
    """At most 8 MiB at once."""
    found = job_or_404(room, job, with_body=False)
    if index >= found["count"]:
        raise NotFoundError(f"job {job} has pods 0 to {found['count'] - 1}, and no {index}.")
    pod = reads.instance(room.replica, found["first_id"] + index)
    assert pod is not None
    return Response(await outputs.file(room, pod, path, offset, limit), media_type="application/octet-stream")


@router.get(
    "/v2/jobs/{job}/outputs",
    summary="A file of every pod's sandbox, in bulk",
    responses={200: {"content": {outputs.FRAMES: {"schema": {"type": "string", "format": "binary"}}}}},
)
async def bulk(
    room: TheRoom,
    job: Number,
    file: Annotated[str, Query(description="Its name: stdout, stderr, result, ...")] = "stdout",
    limit: Annotated[
        int, Query(ge=0, le=outputs.BULK_BYTES, description="Bytes of each, at most.")
    ] = outputs.BULK_BYTES,
    offset: Offset = 0,
    count: Annotated[int | None, Query(ge=0)] = None,
) -> StreamingResponse:
    """Frames, each a length (4 bytes, little-endian) and msgpack: `{index int64[m], sizes int64[m], blob}`, then
    `{"end": true}`.

    A size is the file's; -1: there is none; -2: removed. `blob` has the first `limit` bytes of each, one after the
    other.
    """
    found = job_or_404(room, job, with_body=False)
    stop = found["count"] if count is None else min(found["count"], offset + count)
    room.check_streams()
    return StreamingResponse(outputs.bulk(room, found, file, limit, offset, stop), media_type=outputs.FRAMES)


@router.post("/v2/jobs/{job}/stop", status_code=202, summary="Stop a job", responses={202: {"model": JobShape}})
async def stop(request: Request, room: TheRoom, job: Number, key: Key = None) -> Response:
    """Nothing more of it is launched, and what runs gets SIGTERM, then SIGKILL."""
    await room.call("batch", lambda stamp: StopJob(**stamp, job=job), request)
    return answer(job_or_404(room, job, with_body=False), 202)


@router.delete("/v2/jobs/{job}", status_code=200, summary="Forget a finished job")
async def forget(request: Request, room: TheRoom, job: Number, key: Key = None) -> Response:
    """Its states and exit codes go from the tables; 409 while it runs."""
    return answer(await room.call("batch", lambda stamp: ForgetJob(**stamp, job=job), request))


def job_or_404(room: Room, job: int, with_body: bool = True) -> dict[str, Any]:
    """The job's summary. Raises NotFoundError."""
    found = reads.job(room.replica, job, with_body)
    if found is None:
        error: OrchError = NotFoundError(
            f"there is no job {job}: it was never submitted, or has been forgotten since it finished."
        )
        raise error
    return found
