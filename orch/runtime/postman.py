"""The actor in front of an agent: a postman without state between the supervisor's socket and the master.

Frames on the socket are 4 bytes length (little-endian) and the encoded message; the first one is the hello.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import Any

from orch.runtime import logs
from orch.runtime.link import Item, Link
from orch.runtime.logs import get_logger
from orch.runtime.spans import Spans

log = get_logger("orch.runtime")

HEAD = struct.Struct("<I")
MAX_FRAME_BYTES = 256 << 20
_RETRY_S = (0.02, 1.0)
"""First and longest pause between two tries to reach the supervisor."""


class Postman:
    """Carries frames of one agent both ways; connects again whenever the supervisor is back.

    path: the supervisor's socket. hello: the encoded first frame. to_master: delivers a batch. What cannot be
    delivered is dropped: agent and master notice by their numbers.
    """

    def __init__(self, agent: str, path: Path, hello: bytes, link: Link) -> None:
        self._agent, self._path, self._hello, self._link = agent, path, hello, link
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._problem = ""

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._task = asyncio.ensure_future(self._run())

    @property
    def connected(self) -> bool:
        """Whether the supervisor has taken the hello."""
        return self._writer is not None

    async def deliver(self, items: list[Item]) -> None:
        """Messages of the master for the agent; dropped while the supervisor is away."""
        writer = self._writer
        if writer is None:
            return
        for _, body in items:
            writer.write(HEAD.pack(len(body)))
            writer.write(body)
        with contextlib.suppress(OSError):
            await writer.drain()

    async def stop(self) -> None:
        """Close the socket and stop connecting."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        pause = _RETRY_S[0]
        while True:
            try:
                reader, writer = await self._connect()
                pause = _RETRY_S[0]
                await self._carry(reader, writer)
                log.info("the supervisor went away", agent=self._agent)
            except (OSError, ValueError, asyncio.IncompleteReadError) as error:
                self._say_once(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_S[1])

    def _say_once(self, error: Exception) -> None:
        """While the supervisor is away, the same thing goes wrong every second."""
        if str(error) != self._problem:
            self._problem = str(error)
            log.warning("no supervisor", agent=self._agent, error=str(error))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=1 << 20)
        peer = peer_uid(writer.get_extra_info("socket"))
        if peer not in (os.geteuid(), 0):
            writer.close()
            raise PermissionError(f"{self._path} belongs to a process of uid {peer}")
        writer.write(HEAD.pack(len(self._hello)) + self._hello)
        await writer.drain()
        return reader, writer

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._problem = ""
        try:
            while True:
                (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                if size > MAX_FRAME_BYTES:
                    raise ValueError(f"a frame of {size} bytes")
                self._link.send(self._agent, await reader.readexactly(size))
        finally:
            self._writer = None
            writer.close()


def peer_uid(sock: Any) -> int:
    """uid of the process at the other end of a unix socket."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", packed)[1])


class AgentPostman:
    """`Postman` as a Ray actor: one per agent, detached, named `agent-<name>`, on the agent's machine."""

    async def __init__(self, agent: str, path: str, hello: bytes, name: str) -> None:  # type: ignore[misc]
        logs.configure(name)
        self._postman = Postman(agent, Path(path), hello, to_master(name))
        self._postman.start()

    async def deliver(self, items: list[Item]) -> None:
        """From the master, for the agent."""
        await self._postman.deliver(items)

    async def stats(self) -> dict[str, Any]:
        """pid, and whether the supervisor is there."""
        return {"pid": os.getpid(), "connected": self._postman.connected}


def to_master(name: str, spans: Spans | None = None) -> Link:
    """A link from this actor (called `name`) to the master's `from_agents`."""
    import ray

    from orch.runtime.ray_env import MASTER

    handle: list[Any] = []

    async def call(batch: list[Item]) -> None:
        if not handle:
            loop = asyncio.get_running_loop()
            handle.append(await loop.run_in_executor(None, ray.get_actor, MASTER))
        try:
            await handle[0].from_agents.remote(name, batch)
        except ray.exceptions.ActorDiedError:
            handle.clear()
            raise

    return Link(call, lambda error: log.warning("the master was not reached", error=str(error)[:200]), spans)
