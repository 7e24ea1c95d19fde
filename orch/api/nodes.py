"""The connections of the node supervisors, and questions to them: logs, files, outputs. Bytes do not cross Ray.

Each supervisor dials the gateway's `/internal/node` and says hello. A frame is the codec's bytes of `[rid, op,
args]`; the supervisor answers with any number of `[rid, "data", bytes or value]` and one `[rid, "end", value]` or
`[rid, "error", error body]`. `[rid, "cancel", None]` tells it that nobody listens any more. The other way round a
supervisor asks `[rid, "want", {"blob": sha256}]` for a payload and gets the same kinds of answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

import structlog

from orch.model.codec import CodecError, decode, encode
from orch.model.errors import OrchError, TooManyError, UnavailableError, UsageError, from_dict

log = structlog.get_logger("orch.api")
_OVER = object()


class Socket(Protocol):
    """A WebSocket of binary frames, as much of it as is used here."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def receive_bytes(self) -> bytes: ...


BlobSource = Callable[[str], AsyncIterator[bytes]]
"""From a sha256 to the chunks of the blob. Raises NotFoundError."""


class _Stream:
    """The answer to one question, as far as it has come and was not read yet."""

    def __init__(self, buffer_bytes: int) -> None:
        self._items: deque[tuple[Any, int]] = deque()
        self._held, self._limit = 0, buffer_bytes
        self._ready = asyncio.Event()
        self.overrun = False

    def put(self, item: Any, size: int) -> bool:
        """Add a piece. False when the reader is too slow: then the stream ends with an error and takes no more."""
        if self.overrun:
            return False
        if size and self._held + size > self._limit and self._items:
            self.overrun = True
            item = TooManyError(
                "the reader is too slow for what the agent sends, so the stream was ended. Read on from the "
                "last offset you have."
            )
            size = 0
        self._items.append((item, size))
        self._held += size
        self._ready.set()
        return not self.overrun

    async def get(self, timeout_ms: float | None) -> Any:
        """The next piece. Raises TimeoutError."""
        if not self._items:
            self._ready.clear()
            async with asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000):
                await self._ready.wait()
        item, size = self._items.popleft()
        self._held -= size
        return item


class Node:
    """One connected supervisor."""

    def __init__(self, name: str, agents: list[str], socket: Socket, buffer_bytes: int, silence_ms: int) -> None:
        self.name, self.agents = name, agents
        self._socket, self._buffer_bytes, self._silence_ms = socket, buffer_bytes, silence_ms
        self._streams: dict[int, _Stream] = {}
        self._last_rid = 0
        self._sending = asyncio.Lock()
        self._answers: set[asyncio.Task[None]] = set()
        self.closed = False

    async def ask(self, op: str, args: dict[str, Any], patient: bool = False) -> AsyncGenerator[Any, None]:
        """Yield the data of the answer. `patient`: the supervisor may be silent for any time (a log that is followed).

        Raises the supervisor's error, or UnavailableError when it is silent or gone.
        """
        self._last_rid += 1
        rid = self._last_rid
        stream = self._streams[rid] = _Stream(self._buffer_bytes)
        over = False
        try:
            await self._send([rid, op, args])
            while True:
                item = await self._next(stream, patient)
                if item is _OVER or isinstance(item, OrchError):
                    over = True
                if item is _OVER:
                    return
                if isinstance(item, OrchError):
                    raise item
                yield item
        finally:
            del self._streams[rid]
            if (not over or stream.overrun) and not self.closed:
                with contextlib.suppress(OrchError):
                    await asyncio.shield(self._send([rid, "cancel", None]))

    async def run(self, blobs: BlobSource) -> None:
        """Take frames until the connection ends (with the exception that the socket raises then)."""
        try:
            while True:
                self._take(await self._socket.receive_bytes(), blobs)
        finally:
            self.closed = True
            for task in list(self._answers):
                task.cancel()
            for stream in list(self._streams.values()):
                stream.put(self._gone(), 0)

    def _take(self, frame: bytes, blobs: BlobSource) -> None:
        try:
            rid, op, value = decode(frame)
        except (CodecError, ValueError, TypeError) as error:
            raise UsageError(f"node {self.name} sent a frame that is no message: {error}") from error
        if op == "want":
            task = asyncio.get_running_loop().create_task(self._give(rid, str(value["blob"]), blobs))
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)
            return
        stream = self._streams.get(rid)
        if stream is None:
            return  # Its reader is gone, and the cancel is on its way.
        if op == "data":
            stream.put(value, len(frame))
        elif op == "end":
            stream.put(_OVER, 0)
        elif op == "error":
            stream.put(from_dict(value), 0)

    async def _give(self, rid: int, sha256: str, blobs: BlobSource) -> None:
        size = 0
        try:
            async for chunk in blobs(sha256):
                size += len(chunk)
                await self._send([rid, "data", chunk])
            await self._send([rid, "end", {"size": size}])
        except OrchError as error:
            if not self.closed:
                await self._send([rid, "error", error.to_dict()])

    async def _next(self, stream: _Stream, patient: bool) -> Any:
        try:
            return await stream.get(None if patient else self._silence_ms)
        except TimeoutError:
            raise UnavailableError(
                f"node {self.name} has not answered for {self._silence_ms // 1000} s. See its supervisor's log, "
                "then try again."
            ) from None

    async def _send(self, frame: list[Any]) -> None:
        if self.closed:
            raise self._gone()
        try:
            async with self._sending:
                await self._socket.send_bytes(encode(frame))
        except (RuntimeError, OSError, ConnectionError) as error:
            raise self._gone() from error

    def _gone(self) -> UnavailableError:
        return UnavailableError(f"the connection to node {self.name} was lost. It dials again by itself; try again.")


class NodeHub:
    """All connected supervisors, found by the agents they run."""

    def __init__(self, buffer_bytes: int, silence_ms: int) -> None:
        self._buffer_bytes, self._silence_ms = buffer_bytes, silence_ms
        self._by_agent: dict[str, Node] = {}
        self._nodes: list[Node] = []

    def __len__(self) -> int:
        return len(self._nodes)

    def node_for(self, agent: str) -> Node:
        """The supervisor that runs an agent. Raises UnavailableError when it is not connected."""
        node = self._by_agent.get(agent)
        if node is None:
            raise UnavailableError(
                f"the node of agent {agent!r} is not connected, so its files can't be read now. It dials by "
                "itself; try again."
            )
        return node

    async def serve(self, socket: Socket, hello: dict[str, Any], blobs: BlobSource) -> None:
        """Run one connection until it ends. A newer connection for the same agents takes them over."""
        agents = hello.get("agents")
        if not isinstance(agents, list) or not all(isinstance(agent, str) for agent in agents):
            raise UsageError("a hello holds the names of the node's agents")
        node = Node(str(hello.get("node", "")), agents, socket, self._buffer_bytes, self._silence_ms)
        self._nodes.append(node)
        self._by_agent.update((agent, node) for agent in agents)
        log.info("node connected", node=node.name, agents=agents)
        try:
            await node.run(blobs)
        finally:
            self._nodes.remove(node)
            for agent in agents:
                if self._by_agent.get(agent) is node:
                    del self._by_agent[agent]
            log.info("node disconnected", node=node.name)

    async def ask(self, agent: str, op: str, args: dict[str, Any], patient: bool = False) -> AsyncGenerator[Any, None]:
        """Ask the supervisor of an agent; yields its data. Raises its errors, and UnavailableError."""
        async with contextlib.aclosing(self.node_for(agent).ask(op, args, patient)) as answer:
            async for item in answer:
                yield item
