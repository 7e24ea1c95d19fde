"""Jobs: submit, wait, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orch.client.columns import columns_of
from orch.client.effects import Call, Flow, Reply, json_body, msgpack_body
from orch.client.flows.base import Wire, key_header
from orch.client.flows.streams import frames
from orch.model.errors import ExpiredError, SpecError, TimeoutExceededError
from orch.model.words import number_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[dict[str, Any]], None]
PROGRESS_S = 0.25
WHOLE_BYTES = 1 << 20
"""Outputs up to this size come in bulk; the rest of larger ones is fetched piece by piece."""
PIECE_BYTES = 8 << 20
_COUNT_WORDS = {"running": "has not started", "finished": "has not ended"}


def job_body(path: str, each: Any, count: int | None, options: Mapping[str, Any]) -> tuple[bytes, dict[str, str], int]:
    """`(body, headers, pods)` of a submission; checked in the caller's process. Raises SpecError.

    options: `cmd, argv, env, cpus, mem, disk, gpus, gang, priority, policy, constraints, preferences, affinity,
    attempts, timeout, user, now`, None where not given.
    """
    from orch.model.specs import parse_job

    columns, rows = (None, None) if each is None else columns_of(each)
    if rows is not None and count not in (None, rows):
        raise _spec_error("/count", f"count is {count}, and `each` has {rows} rows. Leave count out.")
    pods = rows if rows is not None else 1 if count is None else count
    body = _wire_body(path, pods, options)
    parse_job(body)
    extra = {"now": True} if options.get("now") else {}
    if columns is None:
        return (*json_body({**body, **extra}), pods)
    return (*msgpack_body({**body, **extra, "each": columns}), pods)


def submit(
    wire: Wire, path: str, each: Any, count: int | None, key: str | None, options: Mapping[str, Any]
) -> Flow[dict[str, Any]]:
    """Submit a job; returns `{job, path, count, first_id[, why]}`."""
    body, headers, _ = job_body(path, each, count, options)
    call = Call("POST", "/v2/jobs", {}, body, {**headers, **key_header(key)}, timeout_s=120.0)
    reply: Reply = yield from wire.send(call)
    found: dict[str, Any] = reply.data
    return found


def status(wire: Wire, job: int) -> Flow[dict[str, Any]]:
    """The job as it is now, with the number of its pods in each state."""
    return (yield from wire.get(f"/v2/jobs/{job}"))


def wait(wire: Wire, job: int, until: str, timeout: float | None, progress: Progress | None) -> Flow[dict[str, Any]]:
    """Return the status once all pods are so far (`finished` or `running`). Raises TimeoutExceededError."""
    if until not in _COUNT_WORDS:
        raise _spec_error("/until", f"a job is waited for until 'running' or 'finished'; got {until!r}.")
    path, asked = f"/v2/jobs/{job}/wait", {"for": until}
    if progress is None:
        answer = yield from wire.poll(path, asked, timeout)
    else:
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            answer = yield from wire.poll(path, asked, PROGRESS_S)
            progress(answer["status"])
            if answer["done"] or (end is not None and time.monotonic() >= end):
                break
    if not answer["done"]:
        yield from _raise_late(wire, job, until, timeout or 0.0, answer["status"])
    found: dict[str, Any] = answer["status"]
    return found


def _raise_late(wire: Wire, job: int, until: str, timeout: float, found: dict[str, Any]) -> Flow[None]:
    why = yield from wire.get(f"/v2/why/{job}")
    counts = ", ".join(f"{n} {state.lower()}" for state, n in found["states"].items() if n)
    raise TimeoutExceededError(
        f"job {job} ({found['path']}) {_COUNT_WORDS[until]} after {timeout:g} s. "
        f"Of {number_of(found['count'], 'pod')}: {counts}. {why['sentence']}",
        why=why,
    )


def columns(wire: Wire, job: int) -> Flow[dict[str, NDArray[Any]]]:
    """`states uint8[n], exit_codes int16[n], reasons uint8[n], attempts, agents` by column name."""
    headers = {"Accept": "application/msgpack"}
    reply: Reply = yield from wire.send(Call("GET", f"/v2/jobs/{job}/instances", {}, None, headers, timeout_s=60.0))
    found: dict[str, NDArray[Any]] = reply.data["columns"]
    return found


def stop(wire: Wire, job: int, wait_for_end: bool, timeout: float | None) -> Flow[dict[str, Any]]:
    """Start nothing more of it and stop what runs; returns the status."""
    yield from wire.change("POST", f"/v2/jobs/{job}/stop")
    if wait_for_end:
        return (yield from wait(wire, job, "finished", timeout, None))
    return (yield from status(wire, job))


def output(wire: Wire, job: int, index: int, file: str) -> Flow[bytes]:
    """All of what one pod wrote to a file of its sandbox. Raises ExpiredError when it was removed, IndexError."""
    found = {} if index < 0 else (yield from _rows(wire, job, file, WHOLE_BYTES, index, 1))
    if index not in found:
        raise IndexError(f"job {job} has no pod {index}")
    size, data = found[index]
    if size == -2:
        raise ExpiredError(
            f"the output of pod {index} of job {job} has expired: sandboxes of finished pods are removed by "
            "age, count and disk."
        )
    return (yield from _rest(wire, job, index, file, data))


def outputs(wire: Wire, job: int, file: str, limit: int | None, expired: bytes | None) -> Flow[list[bytes]]:
    """What every pod wrote, by index; b"" where it wrote nothing. limit: at most so many bytes of each, None = all.

    expired: stands for outputs that were removed; None = raise ExpiredError.
    """
    found = yield from _rows(wire, job, file, WHOLE_BYTES if limit is None else limit, 0, None)
    gone = [index for index, (size, _) in found.items() if size == -2]
    if gone and expired is None:
        raise ExpiredError(f"{len(gone)} of {len(found)} outputs of job {job} have expired (the first: pod {gone[0]}).")
    whole: list[bytes] = []
    for index in sorted(found):
        size, data = found[index]
        if size == -2:
            data = expired or b""
        elif limit is None:
            data = yield from _rest(wire, job, index, file, data)
        whole.append(data)
    return whole


def _rows(
    wire: Wire, job: int, file: str, limit: int, first: int, count: int | None
) -> Flow[dict[int, tuple[int, bytes]]]:
    params = {"file": file, "limit": limit, "offset": first, "count": count}
    pieces = yield from frames(wire, Call("GET", f"/v2/jobs/{job}/outputs", params, timeout_s=60.0))
    found: dict[int, tuple[int, bytes]] = {}
    for piece in pieces:
        at = 0
        for index, size in zip(piece["index"].tolist(), piece["sizes"].tolist(), strict=True):
            end = at + max(0, min(size, limit))
            found[index] = (size, piece["blob"][at:end])
            at = end
    return found


def _rest(wire: Wire, job: int, index: int, file: str, data: bytes) -> Flow[bytes]:
    """All of a file of which `data` came in bulk: where that is as much as was asked for, there may be more."""
    if len(data) < WHOLE_BYTES:
        return data
    parts, have = [data], len(data)
    while True:
        params = {"path": file, "offset": have, "limit": PIECE_BYTES}
        call = Call("GET", f"/v2/jobs/{job}/instances/{index}/file", params, timeout_s=60.0)
        reply: Reply = yield from wire.send(call)
        parts.append(reply.body)
        have += len(reply.body)
        if not reply.body:
            return b"".join(parts)


def _wire_body(path: str, pods: int, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    attempts = given.pop("attempts", 1)
    if isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise _spec_error("/attempts", f"attempts is the number of launches a pod gets, 1 or more; got {attempts!r}.")
    given.pop("now", None)
    names = {"timeout": "timeoutSeconds", "grace": "graceSeconds"}
    body = {names.get(name, name): _plain(value) for name, value in given.items()}
    if not body.get("gang"):
        body.pop("gang", None)
    return {"id": path, "instances": pods, "retries": attempts - 1, **body}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _spec_error(path: str, message: str) -> SpecError:
    return SpecError(message, details=[{"path": path, "errors": [message]}])
