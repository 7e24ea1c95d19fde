"""The supervisor's unix socket: one postman for each agent. Frames are 4 bytes length and an encoded message.

The first frame says for which agent: `{"agent": name}`. Only processes of our own user, or root, are let in. A newer
connection for an agent takes the place of the older one; while there is none, what the agent sends is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from orch.model.codec import CodecError, decode, encode

log = structlog.get_logger("orch.node")

HEAD = struct.Struct("<I")
MAX_FRAME_BYTES = 256 << 20
_HELLO_S = 5.0
_MAX_QUEUED_BYTES = 128 << 20


class Door:
    """Listens at `path`. take(agent, message) gets what the master says; opened(agent) is told of a new line."""

    def __init__(self, path: Path, take: Callable[[str, Any], None], opened: Callable[[str], bool]) -> None:
        self._path, self._take, self._opened = path, take, opened
        self._lines: dict[str, asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; a socket that a killed supervisor left is replaced."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._greet, str(self._path), limit=1 << 20)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Hang up on all, and take the socket away."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for writer in self._lines.values():
            writer.close()
        self._lines.clear()
        self._path.unlink(missing_ok=True)

    def send(self, agent: str, message: Any) -> None:
        """To the master, if the agent's line is up."""
        writer = self._lines.get(agent)
        if writer is None:
            return
        if writer.transport.get_write_buffer_size() > _MAX_QUEUED_BYTES:
            log.warning("the postman is too slow; its line is cut", agent=agent)
            writer.transport.abort()
            return
        body = encode(message)
        writer.write(HEAD.pack(len(body)))
        writer.write(body)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        agent = ""
        try:
            if not _is_ours(writer.get_extra_info("socket")):
                return
            hello = decode(await asyncio.wait_for(_frame(reader), _HELLO_S))
            agent = str(hello["agent"])
            older = self._lines.pop(agent, None)
            if older is not None:
                older.close()
            self._lines[agent] = writer
            if not self._opened(agent):
                log.warning("a postman for an agent that is not here", agent=agent)
                return
            while True:
                self._take(agent, decode(await _frame(reader)))
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        except asyncio.CancelledError:
            # The door is being closed. Left cancelled, the task would make asyncio's own callback for a connection's
            # end print a traceback: nobody awaits it.
            pass
        except (CodecError, ValueError, TypeError, KeyError) as error:
            log.warning("a postman said what nobody understands", agent=agent, error=str(error))
        finally:
            self._tasks.discard(task)
            if self._lines.get(agent) is writer:
                del self._lines[agent]
            with contextlib.suppress(OSError):
                writer.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes")
    return await reader.readexactly(size)


def _is_ours(sock: Any) -> bool:
    """Whether the process at the other end is of our own user, or root."""
    packed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", packed)
    if uid in (os.geteuid(), 0):
        return True
    log.warning("a process of another user was sent away", pid=pid, uid=uid)
    return False
