"""The master as a Ray actor: `Runner` between the journal in the data dir and the postmen of the agents."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from pathlib import Path
from typing import Any

from orch.model.codec import decode, encode
from orch.model.errors import OrchError, UnavailableError
from orch.runtime import logs
from orch.runtime.link import Item, Link
from orch.runtime.logs import get_logger
from orch.runtime.machines import make_machines
from orch.runtime.runner import Runner
from orch.runtime.spans import Spans
from orch.store import SqliteStore

log = get_logger("orch.runtime")

SIMULATED = "simulated-"
"""Begins the names of the actors that host simulated machines."""

LOCK_WAIT_S = 20.0
"""How long a master that was replaced may take to die: Ray's workers outlive a killed raylet by some seconds."""


class MasterActor:
    """One per cluster: detached, named, restarted for ever. An async actor; made by `ray.remote(MasterActor)`.

    data_dir: folder of the journal. settings: of the machines (`make_machines`). What can go wrong at the start is kept
    and told to every caller, because Ray gives up an actor whose constructor raises.
    """

    async def __init__(self, data_dir: str, settings: dict[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        logs.configure("master")
        self._via: dict[str, str] = {}
        self._links: dict[str, Link] = {}
        self._handles: dict[str, Any] = {}
        self._failure: UnavailableError | None = None
        self._calls_in = self._messages_in = 0
        self._spans = Spans()
        self._runner: Runner | None = None
        try:
            self._runner = await self._start(Path(data_dir), settings)
        except OrchError as error:
            self._failure = UnavailableError(error.detail)
            log.critical("the master cannot start", error=error.detail)
        except Exception as error:
            self._failure = UnavailableError(f"the master cannot start: {type(error).__name__}: {error}")
            log.critical("the master cannot start", error=str(error), exc_info=True)

    async def _start(self, data_dir: Path, settings: dict[str, Any]) -> Runner:
        loop = asyncio.get_running_loop()
        store = await loop.run_in_executor(None, SqliteStore, data_dir / "journal", LOCK_WAIT_S)
        runner = Runner(
            lambda: make_machines(settings), store, self._send, data_dir / "aside", secrets.token_hex(4), _end_process
        )
        runner.spans = self._spans
        runner.start()
        return runner

    # ---- for the gateway ---------------------------------------------------------------------------------------

    async def call(self, machine: str, request: bytes) -> bytes:
        """An encoded request for a machine; the encoded answer of `Runner.call`, once its facts are durable."""
        if self._runner is None:
            return encode({"body": None, "error": self._refusal().to_dict(), "index": 0})
        return encode(await self._runner.call(machine, decode(request)))

    async def image(self) -> bytes:
        """See `Runner.image`, or `{"error": error body}`."""
        if self._runner is None:
            return encode({"error": self._refusal().to_dict()})
        return await self._runner.image()

    async def follow(self, life: str, after: int, timeout_ms: int) -> bytes:
        """See `Feed.follow`."""
        if self._runner is None:
            return encode({"gap": True})
        return await self._runner.follow(life, after, timeout_ms)

    async def stats(self) -> dict[str, Any]:
        """Numbers of this process: journal, pid, agents heard."""
        own = self._runner.stats() if self._runner is not None else {"problem": self._refusal().detail}
        links = self._links.values()
        calls = {"calls_out": sum(link.calls for link in links), "messages_out": sum(link.items for link in links)}
        return {
            **own, **calls, "calls_in": self._calls_in, "messages_in": self._messages_in, "pid": os.getpid(),
            "agents_heard": len(self._via), "cpu_s": round(time.process_time(), 3),
        }  # fmt: skip

    async def spans(self, since: float) -> dict[str, list[tuple[str, float, float]]]:
        """`Spans.since` by process: of this one, and of those behind the postmen that have any (simulated machines)."""
        found = {"master": self._spans.since(since)}
        for via, handle in list(self._handles.items()):
            if via.startswith(SIMULATED):
                found[via] = await handle.spans.remote(since)
        return found

    async def save(self) -> None:
        """Write a snapshot now."""
        if self._runner is not None:
            await self._runner.save()

    async def stop(self) -> None:
        """Before the cluster goes down: make everything durable and let go of the journal. Nothing is served after."""
        runner, self._runner = self._runner, None
        self._failure = UnavailableError("the cluster is going down")
        if runner is not None:
            await runner.stop()

    def _refusal(self) -> UnavailableError:
        return self._failure or UnavailableError("the master is starting; try again in a moment")

    # ---- for the postmen ---------------------------------------------------------------------------------------

    async def from_agents(self, via: str, items: list[Item]) -> None:
        """Messages of agents, and the name of the actor that brought them and takes the answers."""
        self._calls_in += 1
        self._messages_in += len(items)
        for agent, _ in items:
            self._via[agent] = via
        if self._runner is not None:
            self._runner.from_agents(items)

    def _send(self, to: str, message: Any) -> None:
        kind, _, name = to.partition("/")
        via = self._via.get(name)
        if kind != "agent" or via is None:
            log.warning("no way to send", to=to, message=type(message).__name__)
            return
        link = self._links.get(via)
        if link is None:
            link = self._links[via] = Link(
                lambda batch: self._deliver(via, batch),
                lambda error: log.warning("not delivered", via=via, error=str(error)[:200]),
                self._spans,
            )
        link.send(name, encode(message))

    async def _deliver(self, via: str, batch: list[Item]) -> None:
        import ray

        handle = self._handles.get(via)
        if handle is None:
            loop = asyncio.get_running_loop()
            handle = self._handles[via] = await loop.run_in_executor(None, ray.get_actor, via)
        try:
            await handle.deliver.remote(batch)
        except ray.exceptions.ActorDiedError:
            self._handles.pop(via, None)
            raise


def _end_process(error: Exception) -> None:
    """Ray starts another one, which reads everything from the journal."""
    os._exit(1)
