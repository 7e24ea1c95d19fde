"""Health probes against real sockets and commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from orch.model.specs.template import HealthTemplate
from orch.node import probes
from orch.node.hostports import taken
from orch.node.launchable import Launchable
from orch.node.users import User

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def ask(check: HealthTemplate, answer: bytes | None) -> tuple[bool, str]:
    """The result of a probe of a server that answers with these bytes, or never."""

    held = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        if answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

    async def body() -> tuple[bool, str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await probes.probe(check, port)
        finally:
            server.close()

    return asyncio.run(body())


@pytest.mark.parametrize(
    ("answer", "ok", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, ""),
        (b"HTTP/1.0 302 Found\r\n\r\n", True, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", False, "HTTP 404"),
        (b"HTTP/1.1 503 x\r\n\r\n", False, "HTTP 503"),
        (b"HTTP/1.1 102 x\r\n\r\n", False, "HTTP 102"),
        (b"SSH-2.0\r\n", False, "does not speak HTTP"),
        (b"", False, "does not speak HTTP"),
        (b"x" * 10_000, False, ""),
    ],
)
def test_http_is_healthy_from_200_to_399(answer: bytes, ok: bool, words: str) -> None:
    result = ask(HealthTemplate("http", path="status"), answer)
    assert result[0] == ok and words in result[1]


def test_informational_answers_may_be_ignored() -> None:
    assert ask(HealthTemplate("http", ignore_1xx=True), b"HTTP/1.1 102 x\r\n\r\n") == (True, "")


def test_no_answer_in_time_is_unhealthy() -> None:
    assert ask(HealthTemplate("http", timeout_ms=50), None) == (False, "no answer in 0.05 s")


def test_tcp_is_healthy_when_somebody_listens() -> None:
    assert ask(HealthTemplate("tcp"), None) == (True, "")
    assert asyncio.run(probes.probe(HealthTemplate("tcp"), 9)) == (False, "connection to port 9 refused")
    assert not ask(HealthTemplate("https", timeout_ms=200), b"HTTP/1.1 200 OK\r\n\r\n")[0]


READY = Launchable([], {}, User(-1, -1, (), "own"), b"/usr/bin:/bin", ())


@pytest.mark.parametrize(
    ("check", "ok", "words"),
    [
        (HealthTemplate("command", shell="test -e here"), True, ""),
        (HealthTemplate("command", shell="echo $WORD; exit 3"), False, "exit code 3: hello"),
        (HealthTemplate("command", argv=("no-such-command",)), False, "No such file"),
        (HealthTemplate("command", shell="sleep 100 & wait", timeout_ms=50), False, "no answer in 0.05 s"),
        (HealthTemplate("command", shell="kill -9 $$"), False, "ended by SIGKILL"),
    ],
)
def test_a_command_is_healthy_when_it_ends_with_0(tmp_path: Path, check: HealthTemplate, ok: bool, words: str) -> None:
    (tmp_path / "here").touch()
    result = asyncio.run(probes.run_command(check, READY, {"WORD": "hello"}, tmp_path))
    assert result[0] == ok and words in result[1]


def test_ports_in_use_are_seen() -> None:
    async def body() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert taken([(port, ("tcp",)), (0, ("tcp",))]) == [port]
        assert taken([(port, ("udp",))]) == []
        server.close()
        await server.wait_closed()
        assert taken([(port, ("tcp", "udp"))]) == []

    asyncio.run(body())
