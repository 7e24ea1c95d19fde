"""Bytes from sandboxes: logs, files, and a file of every pod of a job in bulk. They come from the node supervisors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import numpy as np

from orch.api import reads
from orch.api.errors import internal_error
from orch.api.nodes import Node
from orch.api.room import Room
from orch.model.codec import encode
from orch.model.errors import NotFoundError, OrchError, TooManyError
from orch.model.states import FIRST_TERMINAL

FRAMES = "application/vnd.orch.frames"
PIECE_BYTES = 8 * 1024 * 1024
BULK_BYTES = 1024 * 1024
ASK_IDS = 20_000
"""Pods that one question to a supervisor is about."""
NO_FILE, EXPIRED = -1, -2
LOGS = ("stdout", "stderr")
_TAIL_BYTES_A_LINE = 256
_TAIL_MOST = 4 * 1024 * 1024


async def file(room: Room, pod: dict[str, Any], path: str, offset: int, limit: int) -> bytes:
    """Bytes of a file in an instance's sandbox. Raises NotFoundError, ExpiredError, UnavailableError.

    A job's stdout and stderr count as one file each, however often they were rotated.
    """
    if limit == 0:
        return b""
    if path in LOGS and pod.get("job") is not None:
        args = {"attempt": -1, "container": "", "stream": path, "offset": offset, "follow": False}
        return b"".join([piece async for piece in log(room, pod, {**args, "limit": min(limit, PIECE_BYTES)})])
    args = {"instance": pod["number"], "path": path, "offset": offset, "limit": min(limit, PIECE_BYTES)}
    with _by_name(pod):
        return b"".join([piece async for piece in room.nodes.ask(agent_of(pod), "file", args)])


async def files(room: Room, pod: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """What is in a folder of an instance's sandbox."""
    found: list[dict[str, Any]] = []
    with _by_name(pod):
        async for piece in room.nodes.ask(agent_of(pod), "files", {"instance": pod["number"], "path": path}):
            found.extend(piece)
    return found


async def log(room: Room, pod: dict[str, Any], args: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    """A log in pieces. args: `container, stream, offset, limit, follow, attempt`."""
    asked = {**args, "instance": pod["number"]}
    answer = room.nodes.ask(agent_of(pod), "log", asked, patient=args["follow"])
    with _by_name(pod):
        async with contextlib.aclosing(answer) as pieces:
            async for piece in pieces:
                if piece:
                    yield piece


async def tail(room: Room, pod: dict[str, Any], args: dict[str, Any], lines: int) -> bytes:
    """The last `lines` lines that there are now."""
    want = max(4096, lines * _TAIL_BYTES_A_LINE)
    while True:
        asked = {**args, "offset": -want, "limit": want, "follow": False}
        data = b"".join([piece async for piece in log(room, pod, asked)])
        found = data.splitlines(keepends=True)
        if len(found) > lines or len(data) < want or want >= _TAIL_MOST:
            return b"".join(found[-lines:])
        want = min(_TAIL_MOST, want * 8)


@contextlib.contextmanager
def _by_name(pod: dict[str, Any]) -> Iterator[None]:
    """Supervisors know instances by number only; in what they refuse, people are to read the name."""
    try:
        yield
    except OrchError as error:
        error.detail = error.detail.replace(f"instance {pod['number']}", f"instance {pod['name']}")
        error.args = (error.detail,)
        raise


def agent_of(pod: dict[str, Any]) -> str:
    """The agent that has an instance's sandbox. Raises NotFoundError where it was never launched."""
    if pod["agent"] is None:
        raise NotFoundError(
            f"{pod['name']} was not launched yet, so it has no files. `orch why {pod['name']}` says why."
        )
    return str(pod["agent"])


async def bulk(room: Room, job: dict[str, Any], name: str, limit: int, start: int, stop: int) -> AsyncIterator[bytes]:
    """The frames of a bulk reply; an error is a frame too, because the status has been sent by then."""
    with room.stream():
        try:
            async for frame in _frames(room, job, name, limit, start, stop):
                yield _framed(frame)
            yield _framed({"end": True})
        except OrchError as error:
            yield _framed({"error": error.to_dict()})
        except Exception as error:  # noqa: BLE001  told in the stream; the log has the particulars
            yield _framed({"error": internal_error(error, "outputs").to_dict()})


async def _frames(
    room: Room, job: dict[str, Any], name: str, limit: int, start: int, stop: int
) -> AsyncGenerator[dict[str, Any], None]:
    columns = reads.job_columns(room.replica, job["job"])
    agents = columns["agents"][start:stop]
    first_id = int(job["first_id"])
    nowhere = start + np.flatnonzero(agents < 0)
    if len(nowhere):
        yield _nothing(nowhere, NO_FILE)
    for row in np.unique(agents[agents >= 0]).tolist():
        indexes = start + np.flatnonzero(agents == row)
        agent = reads.agent_name(room.replica, row)
        if not agent:
            yield _nothing(indexes, EXPIRED)  # The agent was removed, and its sandboxes with it.
            continue
        node = room.nodes.node_for(agent)
        over = columns["states"][start:stop] >= FIRST_TERMINAL
        for at in range(0, len(indexes), ASK_IDS):
            async for frame in _ask(node, indexes[at : at + ASK_IDS], first_id, name, limit):
                # What is only being started has no sandbox yet; that is not the same as having it no more.
                young = (frame["sizes"] == EXPIRED) & ~over[frame["index"] - start]
                yield {**frame, "sizes": np.where(young, NO_FILE, frame["sizes"])}


async def _ask(node: Node, indexes: Any, first_id: int, name: str, limit: int) -> AsyncIterator[dict[str, Any]]:
    """Ask until all are answered: a stream that ran ahead of its reader was ended, and is asked for the rest."""
    ids = indexes + first_id
    while len(ids):
        before = len(ids)
        args = {"ids": ids, "file": name, "limit": limit}
        try:
            async with contextlib.aclosing(node.ask("outputs", args)) as answer:
                async for found, sizes, blob in answer:
                    ids = ids[~np.isin(ids, found)]
                    yield {"index": found - first_id, "sizes": sizes, "blob": blob}
        except TooManyError:
            if len(ids) == before:
                raise
            continue
        if len(ids):
            yield _nothing(ids - first_id, NO_FILE)
            return


def _nothing(indexes: Any, size: int) -> dict[str, Any]:
    return {
        "index": indexes.astype(np.int64),
        "sizes": np.full(len(indexes), size, dtype=np.int64),
        "blob": b"",
    }


def _framed(value: Any) -> bytes:
    data = encode(value)
    return len(data).to_bytes(4, "little") + data
