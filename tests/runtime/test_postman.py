"""The postman carries frames both ways, comes back when the supervisor does, and trusts no stranger's socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

from orch.runtime.link import Item, Link
from orch.runtime.postman import HEAD, Postman


class Supervisor:
    """The other end of the socket: takes one connection after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames: list[bytes] = []
        self.writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                self.frames.append(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def send(self, body: bytes) -> None:
        assert self.writer is not None
        self.writer.write(HEAD.pack(len(body)) + body)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self.writer is not None:
            self.writer.close()


async def eventually(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


def test_frames_go_both_ways_and_survive_a_restart_of_the_supervisor(tmp_path: Path) -> None:
    async def test() -> None:
        got: list[Item] = []

        async def to_master(batch: list[Item]) -> None:
            got.extend(batch)

        supervisor = Supervisor(tmp_path / "s")
        postman = Postman("a1", supervisor.path, b"hello", Link(to_master, lambda error: None))
        postman.start()
        await postman.deliver([("a1", b"nobody there")])
        await supervisor.start()
        await eventually(lambda: postman.connected and supervisor.frames == [b"hello"])
        supervisor.send(b"one")
        supervisor.send(b"")
        supervisor.send(b"x" * 3_000_000)
        await eventually(lambda: len(got) == 3)
        assert got == [("a1", b"one"), ("a1", b""), ("a1", b"x" * 3_000_000)]
        await postman.deliver([("a1", b"two"), ("a1", b"y" * 3_000_000)])
        await eventually(lambda: len(supervisor.frames) == 3)
        assert supervisor.frames[1:] == [b"two", b"y" * 3_000_000]
        await supervisor.stop()
        await eventually(lambda: not postman.connected)
        await supervisor.start()
        await eventually(lambda: postman.connected and supervisor.frames[3:] == [b"hello"])
        await postman.stop()
        await supervisor.stop()

    asyncio.run(test())


def test_a_frame_that_is_too_large_ends_the_connection_and_not_the_postman(tmp_path: Path) -> None:
    async def test() -> None:
        got: list[Item] = []

        async def to_master(batch: list[Item]) -> None:
            got.extend(batch)

        supervisor = Supervisor(tmp_path / "s")
        await supervisor.start()
        postman = Postman("a1", supervisor.path, b"hello", Link(to_master, lambda error: None))
        postman.start()
        await eventually(lambda: postman.connected and supervisor.frames == [b"hello"])
        assert supervisor.writer is not None
        supervisor.writer.write(HEAD.pack(2**32 - 1))
        await eventually(lambda: supervisor.frames == [b"hello", b"hello"])
        supervisor.send(b"fine")
        await eventually(lambda: got == [("a1", b"fine")])
        await postman.stop()
        await supervisor.stop()

    asyncio.run(test())
