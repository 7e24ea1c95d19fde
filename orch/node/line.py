"""The supervisor's line to the gateway: it dials, says hello, and answers questions about logs and files.

A frame is the codec's bytes of [rid, op, args]; answers are any number of [rid, "data", value] and one
[rid, "end", value] or [rid, "error", error body]. [rid, "cancel", None] ends an answer. The other way round, "want"
fetches a blob.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from orch.model.codec import CodecError, decode, encode
from orch.model.errors import OrchError, UnavailableError, UsageError, from_dict

log = structlog.get_logger("orch.node")

_RETRY_S = (0.05, 2.0)
_BLOB_SILENCE_S = 30.0

Answer = Callable[[dict[str, Any]], AsyncIterator[Any]]
"""From the args of a question to the pieces of its answer."""


class Line:
    """Kept up for as long as it runs. hello: `{"node", "agents", "token"}`. operations: op -> answer."""

    def __init__(self, url: str, hello: dict[str, Any], operations: Mapping[str, Answer]) -> None:
        scheme, _, rest = url.partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest.rstrip('/')}/internal/node"
        self._hello, self._operations = hello, operations
        self._socket: ClientConnection | None = None
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._wanted: dict[int, asyncio.Queue[tuple[str, Any]]] = {}
        self._last_rid = 0
        self._up = asyncio.Event()

    async def run(self) -> None:
        """Dial, answer, and dial again, until cancelled."""
        pause = _RETRY_S[0]
        headers = {"Authorization": f"Bearer {self._hello['token']}"}
        while True:
            try:
                async with connect(
                    self._url, additional_headers=headers, max_size=None, compression=None, proxy=None
                ) as socket:
                    pause = _RETRY_S[0]
                    await self._serve(socket)
            except (OSError, TimeoutError, WebSocketException, CodecError) as error:
                log.debug("no line to the gateway", error=str(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RETRY_S[1])

    async def blob(self, sha256: str) -> AsyncIterator[bytes]:
        """A payload, in chunks. Raises the gateway's error, or UnavailableError."""
        try:
            await asyncio.wait_for(self._up.wait(), _BLOB_SILENCE_S)
        except TimeoutError:
            raise UnavailableError("the gateway can't be reached for the job's payload; the line dials again") from None
        self._last_rid += 1
        rid = self._last_rid
        queue = self._wanted[rid] = asyncio.Queue()
        try:
            await self._send([rid, "want", {"blob": sha256}])
            while True:
                async with asyncio.timeout(_BLOB_SILENCE_S):
                    op, value = await queue.get()
                if op == "data":
                    yield value
                elif op == "error":
                    raise from_dict(value)
                else:
                    return
        except TimeoutError:
            raise UnavailableError("the gateway does not send the job's payload; try again") from None
        finally:
            del self._wanted[rid]

    async def _serve(self, socket: ClientConnection) -> None:
        self._socket = socket
        await self._send_raw(self._hello)
        self._up.set()
        log.info("the line to the gateway is up")
        try:
            async for frame in socket:
                self._take(frame)
        finally:
            self._socket = None
            self._up.clear()
            for task in self._answers.values():
                task.cancel()
            for queue in self._wanted.values():
                queue.put_nowait(("error", UnavailableError("the line to the gateway was lost").to_dict()))

    def _take(self, frame: bytes | str) -> None:
        if isinstance(frame, str):
            raise CodecError("the gateway sent text")
        rid, op, args = decode(frame)
        if op in ("data", "end", "error") and rid in self._wanted:
            self._wanted[rid].put_nowait((op, args))
        elif op == "cancel":
            task = self._answers.get(rid)
            if task is not None:
                task.cancel()
        elif op not in ("data", "end", "error"):
            self._answers[rid] = asyncio.get_running_loop().create_task(self._answer(rid, op, args or {}))

    async def _answer(self, rid: int, op: str, args: dict[str, Any]) -> None:
        try:
            operation = self._operations.get(op)
            if operation is None:
                raise UsageError(f"this supervisor knows no operation {op!r}; it may be older than the gateway")
            async with contextlib.aclosing(operation(args)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    await self._send([rid, "data", piece])
            await self._send([rid, "end", None])
        except OrchError as error:
            await self._send([rid, "error", error.to_dict()])
        except (KeyError, TypeError, ValueError) as error:
            await self._send([rid, "error", UsageError(f"operation {op!r}: {error!r}").to_dict()])
        except OSError as error:
            await self._send([rid, "error", OrchError(f"operation {op!r} failed: {error}").to_dict()])
        finally:
            del self._answers[rid]

    async def _send(self, frame: list[Any]) -> None:
        with contextlib.suppress(WebSocketException, OSError):
            await self._send_raw(frame)

    async def _send_raw(self, value: Any) -> None:
        socket = self._socket
        if socket is not None:
            await socket.send(encode(value))
