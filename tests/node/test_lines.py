"""The supervisor's lines: the unix socket of the postmen, and the WebSocket to the gateway, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from orch.model.codec import decode, encode
from orch.model.errors import NotFoundError, OrchError, UnavailableError
from orch.model.messages import HeartbeatAck
from orch.node.blobs import Blobs
from orch.node.door import HEAD, Door
from orch.node.line import Line
from orch.node.users import User
from tests.node.driving import run, short_folder, until

OWN = User(-1, -1, (), "own")

# ---- the door --------------------------------------------------------------------------------------------------


class Room:
    """A door and what came through it."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.opened: list[str] = []
        self.path = folder / "node.sock"
        self.door = Door(self.path, lambda agent, message: self.heard.append((agent, message)), self._open)

    def _open(self, agent: str) -> bool:
        self.opened.append(agent)
        return agent != "stranger"

    async def dial(self, *frames: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect and send."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        for frame in frames:
            writer.write(HEAD.pack(len(frame)) + frame)
        return reader, writer


def test_messages_pass_both_ways_and_the_socket_is_the_owner_s_only() -> None:
    async def body() -> None:
        with short_folder() as folder:
            room = Room(folder)
            room.path.write_text("left by a killed supervisor")
            await room.door.open()
            assert stat.S_IMODE(room.path.stat().st_mode) & 0o077 == 0
            message = HeartbeatAck(1, 2, 3)
            reader, writer = await room.dial(encode({"agent": "a1"}), encode(message))
            await until("the message", lambda: room.heard)
            assert (room.heard, room.opened) == ([("a1", message)], ["a1"])
            room.door.send("a1", message)
            room.door.send("a2", message)
            (size,) = HEAD.unpack(await reader.readexactly(4))
            assert decode(await reader.readexactly(size)) == message
            writer.close()
            await room.door.close()
            assert not room.path.exists()

    run(body())


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1 nonsense"],
        [encode({"no": "agent"})],
        [encode({"agent": "stranger"})],
        [encode({"agent": "a1"}), b"\xc1"],
    ],
)
def test_who_makes_no_sense_is_hung_up_on(frames: list[bytes]) -> None:
    async def body() -> None:
        with short_folder() as folder:
            room = Room(folder)
            await room.door.open()
            reader, writer = await room.dial(*frames)
            assert await reader.read() == b""
            writer.close()
            too_long, other = await room.dial()
            other.write(HEAD.pack(1 << 31))
            assert await too_long.read() == b""
            other.close()
            await room.door.close()
            assert room.heard == []

    run(body())


def dial_as(uid: int, path: Path, frame: bytes) -> int:
    """Another process connects, sends a frame, and waits until it is hung up on; returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                line.sendall(HEAD.pack(len(frame)) + frame)
                line.recv(1)
        finally:
            os._exit(0)
    return pid


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("uid", "heard"), [(65534, []), (0, ["stranger"])])
def test_a_process_of_another_user_is_not_listened_to(uid: int, heard: list[str]) -> None:
    async def body() -> None:
        with short_folder() as folder:
            room = Room(folder)
            await room.door.open()
            room.path.chmod(0o666)
            pid = dial_as(uid, room.path, encode({"agent": "stranger"}))
            await asyncio.to_thread(os.waitpid, pid, 0)
            assert room.opened == heard
            await room.door.close()

    run(body())


def test_a_newer_line_of_an_agent_takes_the_place_of_the_older() -> None:
    async def body() -> None:
        with short_folder() as folder:
            room = Room(folder)
            await room.door.open()
            first, _ = await room.dial(encode({"agent": "a1"}))
            await until("the first", lambda: len(room.opened) == 1)
            second, writer = await room.dial(encode({"agent": "a1"}))
            assert await first.read() == b""
            room.door.send("a1", HeartbeatAck(1, 2, 3))
            assert len(await second.readexactly(4)) == 4
            writer.close()
            await room.door.close()

    run(body())


# ---- the line to the gateway -----------------------------------------------------------------------------------


class Gateway:
    """The gateway's end, in the test's hands."""

    def __init__(self) -> None:
        self.hellos: list[Any] = []
        self.frames: list[Any] = []
        self.socket: ServerConnection | None = None

    async def __call__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.hellos.append(decode(await socket.recv(decode=False)))
        async for frame in socket:
            assert isinstance(frame, bytes)
            self.frames.append(decode(frame))

    async def say(self, *frame: Any) -> None:
        """Send a frame."""
        assert self.socket is not None
        await self.socket.send(encode(list(frame)))

    def answers(self, rid: int) -> list[Any]:
        """What came for a question."""
        return [frame[1:] for frame in self.frames if frame[0] == rid]


async def echo(args: dict[str, Any]) -> AsyncIterator[Any]:
    """Two pieces."""
    yield args["text"].encode()
    yield args["text"].encode()


async def forever(args: dict[str, Any]) -> AsyncIterator[Any]:
    """A piece, and then none."""
    try:
        yield b"first"
        await asyncio.Event().wait()
    finally:
        args["ended"].append(True)


async def refuse(args: dict[str, Any]) -> AsyncIterator[Any]:
    """No piece."""
    raise NotFoundError("it is not here")
    yield b""


@contextlib.asynccontextmanager
async def connected(**operations: Any) -> AsyncIterator[tuple[Gateway, Line]]:
    """A gateway and a line that is up."""
    gateway = Gateway()
    async with serve(gateway, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        line = Line(f"http://127.0.0.1:{port}", {"node": "n1", "agents": ["a1"], "token": "t"}, operations)
        task = asyncio.create_task(line.run())
        await until("the hello", lambda: gateway.hellos)
        yield gateway, line
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def test_questions_are_answered_piece_by_piece_and_errors_told() -> None:
    async def body() -> None:
        async with connected(echo=echo, refuse=refuse) as (gateway, _):
            assert gateway.hellos == [{"node": "n1", "agents": ["a1"], "token": "t"}]
            await gateway.say(1, "echo", {"text": "x"})
            await gateway.say(2, "refuse", {})
            await gateway.say(3, "unheard-of", {})
            await gateway.say(4, "echo", {})
            await until("the answers", lambda: all(gateway.answers(rid) for rid in (1, 2, 3, 4)))
            await until("the end", lambda: gateway.answers(1)[-1][0] == "end")
            assert gateway.answers(1) == [["data", b"x"], ["data", b"x"], ["end", None]]
            assert gateway.answers(2)[0][1]["type"] == "urn:orch:error:not-found"
            assert "unheard-of" in gateway.answers(3)[0][1]["detail"]
            assert gateway.answers(4)[0][1]["type"] == "urn:orch:error:usage"

    run(body())


def test_an_answer_that_nobody_wants_any_more_ends_and_a_broken_line_is_dialled_again() -> None:
    ended: list[bool] = []

    async def patient(args: dict[str, Any]) -> AsyncIterator[Any]:
        async with contextlib.aclosing(forever({"ended": ended})) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece

    async def body() -> None:
        async with connected(patient=patient, echo=echo) as (gateway, _):
            await gateway.say(1, "patient", {})
            await until("a piece", lambda: gateway.answers(1))
            await gateway.say(1, "cancel", None)
            await until("the end", lambda: ended)
            await gateway.say(2, "patient", {})
            await until("a piece", lambda: gateway.answers(2))
            assert gateway.socket is not None
            await gateway.socket.close()
            await until("a new line", lambda: len(gateway.hellos) == 2)
            await until("the end of the other", lambda: len(ended) == 2)
            await gateway.say(3, "echo", {"text": "again"})
            await until("an answer", lambda: gateway.answers(3))

    run(body())


# ---- payloads --------------------------------------------------------------------------------------------------

DATA = b"payload" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


def test_a_payload_is_fetched_once_over_the_line_and_kept_for_its_user(tmp_path: Path) -> None:
    async def body() -> None:
        async with connected() as (gateway, line):
            blobs = Blobs(tmp_path / "blobs", line.blob)
            path = blobs.path(SHA, OWN)
            tasks = [asyncio.create_task(blobs.fetch(path, OWN)) for _ in range(3)]
            await until("the question", lambda: gateway.frames)
            (rid, op, args) = gateway.frames[0]
            assert (op, args) == ("want", {"blob": SHA})
            await gateway.say(rid, "data", DATA[:100])
            await gateway.say(rid, "data", DATA[100:])
            await gateway.say(rid, "end", {"size": len(DATA)})
            await asyncio.gather(*tasks)
            assert len(gateway.frames) == 1 and path.read_bytes() == DATA
            assert path.stat().st_mode & 0o777 == 0o400
            await blobs.fetch(path, OWN)
            assert len(gateway.frames) == 1
            blobs.tidy(now_s=path.stat().st_mtime + 3700)
            assert not blobs.is_here(path)

    run(body())


def test_a_question_may_have_the_number_of_our_own_one() -> None:
    async def body() -> None:
        async with connected(echo=echo) as (gateway, line):
            pieces = line.blob(SHA)
            first = asyncio.ensure_future(anext(pieces))
            await until("our question", lambda: gateway.frames)
            rid = gateway.frames.pop()[0]
            await gateway.say(rid, "echo", {"text": "x"})
            await until("the answer", lambda: gateway.answers(rid)[-1:] == [["end", None]])
            await gateway.say(rid, "data", DATA)
            assert await first == DATA
            await pieces.aclose()  # type: ignore[attr-defined]

    run(body())


@pytest.mark.parametrize(
    "answer", [["data", b"other bytes"], ["error", NotFoundError("no such blob").to_dict()]], ids=["wrong", "none"]
)
def test_a_payload_that_is_not_what_it_should_be_is_refused(tmp_path: Path, answer: list[Any]) -> None:
    async def body() -> None:
        async with connected() as (gateway, line):
            blobs = Blobs(tmp_path / "blobs", line.blob)
            task = asyncio.create_task(blobs.fetch(blobs.path(SHA, OWN), OWN))
            await until("the question", lambda: gateway.frames)
            await gateway.say(gateway.frames[0][0], *answer)
            await gateway.say(gateway.frames[0][0], "end", None)
            with pytest.raises(OrchError):
                await task
            assert not blobs.is_here(blobs.path(SHA, OWN))
            assert os.listdir(tmp_path / "blobs") == []

    run(body())


def test_a_line_that_breaks_while_a_payload_comes_is_an_error(tmp_path: Path) -> None:
    async def body() -> None:
        async with connected() as (gateway, line):
            blobs = Blobs(tmp_path / "blobs", line.blob)
            task = asyncio.create_task(blobs.fetch(blobs.path(SHA, OWN), OWN))
            await until("the question", lambda: gateway.frames)
            assert gateway.socket is not None
            await gateway.socket.close()
            with pytest.raises(UnavailableError, match="was lost"):
                await task

    run(body())


def test_a_name_that_is_no_sha256_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OrchError, match="no sha256"):
        Blobs(tmp_path, lambda sha256: forever({})).path("../../etc/passwd", OWN)
