"""The supervisor's socket: who is let in, and that closing it is no accident."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from orch.model.codec import encode
from orch.node.door import HEAD, Door


def framed(message: Any) -> bytes:
    body = encode(message)
    return HEAD.pack(len(body)) + body


def test_closing_hangs_up_without_a_word_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    accidents: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: accidents.append(context))
        there = asyncio.Event()

        def opened(agent: str) -> bool:
            there.set()
            return agent == "a1"

        door = Door(tmp_path / "node.sock", lambda agent, message: None, opened)
        await door.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "node.sock"))
        writer.write(framed({"agent": "a1"}))
        silent, _ = await asyncio.open_unix_connection(str(tmp_path / "node.sock"))  # has not said who it is
        await there.wait()
        await door.close()
        assert await reader.read() == b"" and await silent.read() == b""
        writer.close()

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        asyncio.run(main())
    assert accidents == [] and caplog.records == []
    assert not (tmp_path / "node.sock").exists()


def test_who_speaks_for_no_agent_of_here_is_sent_away(tmp_path: Path) -> None:
    taken: list[tuple[str, Any]] = []

    async def main() -> None:
        door = Door(tmp_path / "node.sock", lambda *said: taken.append(said), lambda agent: agent == "a1")
        await door.open()
        for name, answer in (("b1", b""), ("a1", framed({"hello": 1}))):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "node.sock"))
            writer.write(framed({"agent": name}) + framed({"from": name}))
            if answer:
                while not taken:
                    await asyncio.sleep(0)
                door.send(name, {"hello": 1})
            assert await reader.read(len(answer) or -1) == answer
            writer.close()
        await door.close()

    asyncio.run(main())
    assert taken == [("a1", {"from": "a1"})]
