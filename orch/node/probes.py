"""Health probes: one question to one container, answered within its timeout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
from pathlib import Path

from orch.model.specs.template import HealthTemplate
from orch.node import reasons
from orch.node.environment import to_list
from orch.node.launchable import Launchable
from orch.node.process import StartError, start

HOST, HOST_6 = "127.0.0.1", "::1"
_LINE_BYTES = 4096
_TAIL_BYTES = 200


async def probe(check: HealthTemplate, port: int) -> tuple[bool, str]:
    """(ok, what was wrong) of an http, https or tcp check of a port of this machine. Never raises for the answer."""
    host = HOST_6 if check.ipv6 else HOST
    ask = _tcp(host, port) if check.kind == "tcp" else _http(check, host, port)
    try:
        async with asyncio.timeout(check.timeout_ms / 1000):
            return await ask
    except TimeoutError:
        return False, f"no answer in {check.timeout_ms / 1000:g} s"
    except ConnectionRefusedError:
        return False, f"connection to port {port} refused"
    except (OSError, ssl.SSLError, ValueError) as error:
        return False, f"port {port}: {error}"


async def _tcp(host: str, port: int) -> tuple[bool, str]:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()
    return True, ""


async def _http(check: HealthTemplate, host: str, port: int) -> tuple[bool, str]:
    """GET; 200 to 399 is healthy. 100 to 199 is, too, where the check says that it ignores them."""
    context = None
    if check.kind == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as in Marathon: alive, not trusted
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_LINE_BYTES)
    try:
        path = check.path if check.path.startswith("/") else f"/{check.path}"
        head = (f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "User-Agent: orch", "Accept: */*", "Connection: close")
        writer.write("\r\n".join([*head, "", ""]).encode("latin-1", "replace"))
        await writer.drain()
        line = (await reader.readline()).split()
        if len(line) < 2 or not line[0].startswith(b"HTTP/") or not line[1].isdigit():
            return False, f"port {port} does not speak HTTP"
        status = int(line[1])
        if 200 <= status < 400 or (100 <= status < 200 and check.ignore_1xx):
            return True, ""
        return False, f"HTTP {status}"
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 0.2)


async def run_command(check: HealthTemplate, ready: Launchable, env: dict[str, str], sandbox: Path) -> tuple[bool, str]:
    """(ok, what was wrong) of a command check, run as the container's user in its sandbox; exit code 0 is healthy."""
    argv = ["/bin/sh", "-c", check.shell] if check.shell else list(check.argv)
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(write_end, True)
    try:
        child = start(
            [os.fsencode(word) for word in argv], to_list(env), path=ready.path, cwd=os.fsencode(sandbox),
            stdout=write_end, stderr=write_end, uid=ready.user.uid, gid=ready.user.gid, groups=ready.user.groups,
            limits=ready.limits, death_signal=signal.SIGKILL,
        )  # fmt: skip
    except StartError as error:
        os.close(read_end)
        return False, reasons.not_started_sentence(error.stage, error.error, argv[0])
    finally:
        os.close(write_end)
    try:
        async with asyncio.timeout(check.timeout_ms / 1000):
            code = await child.wait()
    except TimeoutError:
        child.signal(signal.SIGKILL, group=True)
        await child.wait()
        return False, f"no answer in {check.timeout_ms / 1000:g} s"
    finally:
        tail = _tail(read_end)
    return code == 0, "" if code == 0 else f"{reasons.ended_sentence(code)}{': ' + tail if tail else ''}"


def _tail(pipe: int) -> str:
    """The last of what a check printed, one line; a check that prints more than a pipe holds waits, and times out."""
    with contextlib.suppress(BlockingIOError):
        text = os.read(pipe, 65536)[-_TAIL_BYTES:]
        os.close(pipe)
        return " ".join(text.decode(errors="replace").split())
    os.close(pipe)
    return ""
