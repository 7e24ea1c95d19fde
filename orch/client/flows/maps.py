"""`map`: submit the chunks, wait, fetch the results in order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orch.client import mapper, own_python
from orch.client.effects import Call, Flow
from orch.client.flows import jobs
from orch.client.flows.base import Wire
from orch.model.errors import NotFoundError, SpecError
from orch.model.reasons import NO_EXIT_CODE, SENTENCES, Reason
from orch.model.states import State

CHUNKS_PER_CPU = 4
UPLOAD_S = 600.0
_STDERR_BYTES = 2_000
PAYLOAD_VARIABLE = "ORCH_BLOB"
"""Names the blob that the node fetches once for all pods of a job; ORCH_PAYLOAD is then the path of its copy."""


class MapRun:
    """A map in progress; `job` is its job's number once it was submitted, so that an interrupted caller can stop it."""

    def __init__(self) -> None:
        self.job: int | None = None


def run(
    wire: Wire,
    state: MapRun,
    function: Callable[[Any], Any],
    items: Iterable[Any],
    chunk: int | None,
    path: str,
    timeout: float | None,
    progress: jobs.Progress | None,
    options: Mapping[str, Any],
) -> Flow[list[Any]]:
    """`[function(item) for item in items]`, chunk by chunk in pods. Raises what the function raised, and MapError."""
    given = list(items)
    if not given:
        return []
    if chunk is None:
        chunk = yield from _good_chunk(wire, len(given), float(options.get("cpus") or 1.0))
    if chunk < 1:
        raise SpecError(f"chunk is the number of items a pod gets, 1 or more; got {chunk!r}.")
    chunks = [given[at : at + chunk] for at in range(0, len(given), chunk)]
    payload = mapper.pack(function, chunks)
    sha256 = yield from upload(wire, payload)
    del payload
    own = {
        **options,
        "argv": own_python.command("orch.client.mapper"),
        "env": {**own_python.environment(), **(options.get("env") or {}), PAYLOAD_VARIABLE: sha256},
        "user": options.get("user") or own_python.user(),
    }
    submitted = yield from jobs.submit(wire, path, None, len(chunks), None, own)
    state.job = submitted["job"]
    yield from jobs.wait(wire, state.job, "finished", timeout, progress)
    return (yield from _results(wire, state.job, chunks))


def upload(wire: Wire, payload: bytes) -> Flow[str]:
    """Make the payload known to the cluster, if it is not yet; returns its sha256."""
    sha256 = hashlib.sha256(payload).hexdigest()
    path = f"/v2/blobs/{sha256}"
    try:
        yield from wire.send(Call("HEAD", path))
    except NotFoundError:
        headers = {"Content-Type": "application/octet-stream"}
        yield from wire.send(Call("PUT", path, {}, payload, headers, timeout_s=UPLOAD_S))
    return sha256


def _good_chunk(wire: Wire, items: int, cpus: float) -> Flow[int]:
    info = yield from wire.get("/v2/info::orch")
    at_once = max(1.0, float(info["resources"]["total"]["cpus"]) / max(cpus, 0.001))
    return max(1, -(-items // int(CHUNKS_PER_CPU * at_once)))


def _results(wire: Wire, job: int, chunks: Sequence[Sequence[Any]]) -> Flow[list[Any]]:
    found = yield from jobs.outputs(wire, job, mapper.RESULT, None, None)
    values: list[Any] = []
    for index, data in enumerate(found):
        if not data:
            yield from _raise_failed(wire, job, index, chunks)
        values.extend(mapper.values_of(data))
    return values


def _raise_failed(wire: Wire, job: int, index: int, chunks: Sequence[Sequence[Any]]) -> Flow[None]:
    columns = yield from jobs.columns(wire, job)
    state, code = State(int(columns["states"][index])), int(columns["exit_codes"][index])
    reason = SENTENCES[Reason(int(columns["reasons"][index]))]
    words = yield from jobs.output(wire, job, index, "stderr")
    tail = words[-_STDERR_BYTES:].decode("utf-8", "replace").strip()
    first = sum(len(chunk) for chunk in chunks[:index])
    how = reason if code == NO_EXIT_CODE else f"exit code {code}: {reason}"
    raise mapper.MapError(
        f"the pod for items {first} to {first + len(chunks[index]) - 1} of the map is {state.name} without a result"
        f" ({how}). {'Its last words: ' + tail if tail else 'It wrote nothing to stderr.'}"
    )
