"""The master's end of an agent's line, for tests: it lets the agent in, launches, stops, acknowledges and remembers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orch.model.codec import decode, encode
from orch.model.messages import (
    Heartbeat,
    HeartbeatAck,
    Image,
    LaunchBatch,
    Payload,
    Register,
    Registered,
    StopBatch,
    UpdateAck,
    UpdateBatch,
)
from orch.model.specs.template import ContainerTemplate, Template
from orch.node.door import HEAD
from orch.node.node import AgentPlan, Node, NodePlan

DEADLINE_S = 20.0
FIRST_PORT = 20_000 + os.getpid() % 50 * 200
"""Of the agents here: below the ephemeral ports, and seldom another test run's."""


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets, open to other uids; with all permissions given back at the end."""
    with tempfile.TemporaryDirectory(prefix="on-", dir="/tmp", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)
        yield Path(name)


async def until(what: str, holds: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; returns what it gave. Fails with its name after the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {deadline_s} s: {what}")


def plan(folder: Path, agents: int = 1, **options: Any) -> NodePlan:
    """A node of one trust domain in a folder; agents of ports of their own."""
    tenancy = options.pop("tenancy", "single")
    plans = tuple(
        AgentPlan(
            f"a{at + 1}", 2000, 4096, 10_000, 0, (FIRST_PORT + 100 * at, FIRST_PORT + 100 * at + 99), {"zone": "z"}
        )
        for at in range(agents)
    )
    return NodePlan("testcluster", "n1", folder / "node", folder / "node.sock", plans, tenancy, **options)


def job(shell: str = "", argv: Sequence[str] = (), **options: Any) -> Template:
    """The template of a job."""
    container = ContainerTemplate(
        "main", shell=shell, argv=tuple(argv), env=options.pop("env", ()), grace_ms=options.pop("grace_ms", 3000)
    )
    return Template("/test/job", "job", (container,), group="/test", **options)


class Driver:
    """One line to one agent."""

    def __init__(self, agent: str = "a1", epoch: int = 1) -> None:
        self.agent, self.epoch, self.session = agent, epoch, 0
        self._seq = 0
        self.states: dict[tuple[int, int], tuple[int, int, int]] = {}
        """(id, attempt) -> (state, exit code, reason), the last that was told."""
        self.history: dict[tuple[int, int], list[int]] = {}
        self.started_ms: dict[tuple[int, int], int] = {}
        self.details: dict[int, dict[str, Any]] = {}
        self.image: Image | None = None
        self.register: Register | None = None
        self.acknowledges = True
        self.usage: dict[str, float] = {}

    async def connect(self, socket: Path) -> None:
        """Dial, and wait until the agent is let in and has sent its image."""
        self._reader, self._writer = await asyncio.open_unix_connection(str(socket))
        self._write({"agent": self.agent})
        self._task = asyncio.create_task(self._run())
        await until("the agent's image", lambda: self.image)

    async def close(self) -> None:
        """Hang up."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()

    def launch(
        self, ids: Sequence[int], template: Template, each: Sequence[dict[str, str]] = (), attempt: int = 1
    ) -> None:
        """Launch instances of one template; each: their own environment."""
        entries = [b"".join(f"{k}={v}\0".encode() for k, v in env.items()) for env in each] or [b""] * len(ids)
        offsets = np.zeros(len(ids) + 1, np.int64)
        np.cumsum([len(entry) for entry in entries], out=offsets[1:])
        count = len(ids)
        number = 7 if template.kind == "job" else -1
        payload = Payload(
            {1: template.to_wire()}, np.ones(count, np.int32), np.arange(count, dtype=np.int64),
            np.full(count, number, np.int64), offsets, b"".join(entries),
        )  # fmt: skip
        self._seq += 1
        self._write(
            LaunchBatch(
                self.epoch, self.session, self._seq, np.array(ids, np.int64), np.full(count, attempt, np.int32), payload
            )
        )

    def stop(self, ids: Sequence[int], grace_ms: int = -1, reason: int = 10, attempt: int = 1) -> None:
        """Stop instances."""
        self._seq += 1
        count = len(ids)
        self._write(
            StopBatch(
                self.epoch, self.session, self._seq, np.array(ids, np.int64), np.full(count, attempt, np.int32),
                np.full(count, reason, np.uint8), grace_ms,
            )
        )  # fmt: skip

    def state(self, id: int, attempt: int = 1) -> tuple[int, int, int]:
        """(state, exit code, reason); (0, 0, 0) if nothing was told."""
        return self.states.get((id, attempt), (0, 0, 0))

    async def reaches(self, id: int, state: int, attempt: int = 1) -> tuple[int, int, int]:
        """Wait for a state; returns the triple."""
        await until(
            f"instance {id} in state {state}", lambda: self.state(id, attempt)[0] == state or self._over(id, attempt)
        )
        assert self.state(id, attempt)[0] == state, f"instance {id}: {self.state(id, attempt)} {self.details.get(id)}"
        return self.state(id, attempt)

    def _over(self, id: int, attempt: int) -> bool:
        return self.state(id, attempt)[0] >= 6

    def _write(self, message: Any) -> None:
        body = encode(message)
        self._writer.write(HEAD.pack(len(body)) + body)

    async def _run(self) -> None:
        while True:
            (size,) = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            self._take(decode(await self._reader.readexactly(size)))

    def _take(self, message: Any) -> None:
        if isinstance(message, Register):
            self.register = message
            self.session, self._seq = self.session + 1, 0
            self._write(Registered(self.agent, message.nonce, self.session, self.epoch))
        elif isinstance(message, Image | UpdateBatch):
            if isinstance(message, Image):
                self.image = message
            self._remember(message)
            if isinstance(message, UpdateBatch) and self.acknowledges:
                self._write(UpdateAck(self.epoch, self.session, message.seq))
        elif isinstance(message, Heartbeat):
            self.usage = message.usage or self.usage
            self._write(HeartbeatAck(self.epoch, message.session, message.sent_ms))

    def _remember(self, message: Image | UpdateBatch) -> None:
        for row in range(len(message.ids)):
            key = (int(message.ids[row]), int(message.attempts[row]))
            told = int(message.states[row]), int(message.exit_codes[row]), int(message.reasons[row])
            self.states[key] = told
            self.history.setdefault(key, []).append(told[0])
            self.started_ms[key] = int(message.started_ms[row])
        self.details.update(message.details)


@contextlib.asynccontextmanager
async def running(of: NodePlan) -> AsyncIterator[tuple[Node, Driver]]:
    """A node and the line to its first agent; at the end the node is stopped without grace."""
    node = Node(of)
    await node.start()
    driver = Driver(of.agents[0].name)
    try:
        await driver.connect(of.socket)
        yield node, driver
    finally:
        await driver.close()
        await node.stop(grace_ms=0)


def run(test: Awaitable[None]) -> None:
    """Run the body of a test."""

    async def whole() -> None:
        await asyncio.wait_for(test, 3 * DEADLINE_S)

    asyncio.run(whole())
