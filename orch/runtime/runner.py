"""The master's process without Ray: the host of the machines, its journal, its clock, its feed.

All of it runs on one event loop; only the journal's acknowledgements come from another thread. The order is always the
same: handle an event, queue its records for the journal, and when they are durable, let out what waited for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from orch.machine.commands import Reply, Send
from orch.machine.host import EventError, Host, Outgoing, Record
from orch.machine.machine import Machine
from orch.model.codec import CodecError, decode, encode
from orch.model.errors import OrchError, UnavailableError
from orch.runtime.clock import Clock
from orch.runtime.feed import Feed
from orch.runtime.logs import get_logger
from orch.runtime.memory import settle, trim
from orch.runtime.setaside import set_aside
from orch.runtime.spans import WAIT, Spans
from orch.store import Entry, Store

log = get_logger("orch.runtime")

SNAPSHOT_BYTES = 32 << 20
"""Of records since the last snapshot that call for one; or as many bytes as that had, so that large ones are rare."""
SNAPSHOT_RECORDS = 50_000
MAX_PENDING_BYTES = 512 << 20
"""Records that wait for the disk; above it, requests are refused until it has caught up."""
TRIM_S = 2.0
"""Memory is given back when nothing was handled for so long."""
STRIKES = 5
"""Events of one agent that failed within `STRIKE_MS`; then it is not listened to for that time."""
STRIKE_MS = 60_000
_TICK_BACKOFF_MS = 1_000

SendOut = Callable[[str, Any], None]


class Runner:
    """Runs the machines that `make_machines` gives. Create it on a running loop, then `start`.

    send(to, message): carries a message out of the process. aside: the folder for events that failed.
    life: a random name for this run, drawn by the caller; another number is added each time the host is rebuilt.
    fatal: called when that rebuilding fails: nothing can be served any more, the process should end.
    """

    def __init__(
        self,
        make_machines: Callable[[], Sequence[Machine]],
        store: Store,
        send: SendOut,
        aside: Path,
        life: str,
        fatal: Callable[[Exception], None],
    ) -> None:
        self._make_machines, self._store, self._send, self._aside = make_machines, store, send, aside
        self._fatal = fatal
        self._life, self._lives = life, 0
        self._loop = asyncio.get_running_loop()
        self._clock = Clock()
        self._replies: dict[str, asyncio.Future[Reply]] = {}
        self._flush_due = False
        self._pending_bytes = 0
        self._unsaved_bytes = self._unsaved_records = self._snapshot_bytes = 0
        self._saving: asyncio.Task[None] | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._trim: asyncio.TimerHandle | None = None
        self._strikes: dict[str, deque[int]] = {}
        self._no_tick_before_ms = 0
        self.host = Host([])
        self.feed = Feed("")
        self.set_aside_count = 0
        self.spans = Spans()

    # ---- starting ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Restore, replay and start the machines. Raises StoreError and CodecError where the journal can't be used."""
        self._rebuild()
        settle()

    def _rebuild(self) -> None:
        host = Host(self._make_machines())
        last_ms = 0
        newest = self._store.newest_snapshot()
        if newest is not None:
            image = decode(newest[1])
            self._snapshot_bytes = len(newest[1])
            last_ms = int(image["at_ms"])
            host.restore(image)
        self._unsaved_bytes = self._unsaved_records = 0
        for entry in self._store.replay(host.index):
            host.replay(decode(entry.body))
            last_ms = max(last_ms, entry.at_ms)
            self._unsaved_bytes += len(entry.body)
            self._unsaved_records += 1
        assert host.index == self._store.last_index(), (host.index, self._store.last_index())
        if self._lives == 0:
            self._clock = Clock(not_before_ms=last_ms)
        self._lives += 1
        self.feed.end()
        self.host, self.feed = host, Feed(f"{self._life}.{self._lives}")
        host.watch = self.spans.of
        host.start(self._clock.now_ms())
        self._flush()

    # ---- events in ---------------------------------------------------------------------------------------------

    async def call(self, machine: str, request: Any) -> dict[str, Any]:
        """Give a request to a machine. When durable: `{"body", "error": None or an error body, "index"}`."""
        problem = self._problem()
        if problem is not None:
            return {"body": None, "error": UnavailableError(problem).to_dict(), "index": self.host.durable_index}
        if machine not in self.host.machines:
            error = OrchError(f"no machine is called {machine!r}; there are {', '.join(self.host.machines)}")
            return {"body": None, "error": error.to_dict(), "index": 0}
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._replies[request.request] = future
        try:
            self._handle(machine, request)
            reply = await future
        finally:
            self._replies.pop(request.request, None)
        return {"body": reply.body, "error": reply.error, "index": self.host.durable_index}

    def from_agents(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Messages from agents, `(agent, encoded message)`. What cannot be decoded is dropped, and logged."""
        now_ms = self._clock.now_ms()
        for agent, body in items:
            if self._is_out(agent, now_ms):
                continue
            try:
                with self.spans.of("messages"):
                    message = decode(body)
            except CodecError as error:
                log.warning("message dropped", agent=agent, error=str(error))
                continue
            self._handle("master", message, agent)

    def tell(self, machine: str, event: Any) -> None:
        """Any other event, which nobody waits for."""
        self._handle(machine, event)

    def _handle(self, machine: str, event: Any, agent: str = "") -> None:
        try:
            self.host.handle(self._clock.now_ms(), machine, event)
        except EventError as error:
            self._recover(error, agent)
        self._flush_soon()

    def _is_out(self, agent: str, now_ms: int) -> bool:
        strikes = self._strikes.get(agent)
        if not strikes:
            return False
        while strikes and strikes[0] < now_ms - STRIKE_MS:
            strikes.popleft()
        return len(strikes) >= STRIKES

    def _recover(self, error: EventError, agent: str) -> None:
        """The event changes nothing: the host goes, another one takes its place from the journal."""
        self.set_aside_count += 1
        now_ms = self._clock.now_ms()
        with contextlib.suppress(OSError):
            path = set_aside(self._aside, now_ms, error, self.host.machines)
            log.error("an event was set aside", error=str(error), file=str(path), agent=agent)
        if agent:
            self._strikes.setdefault(agent, deque()).append(now_ms)
        try:
            self._replace_host()
        except Exception as broken:  # noqa: BLE001  whatever it is, there is no host now
            log.critical("the machines could not be restored", error=str(broken))
            self._fatal(broken)
        reason = f"{error}; the event was set aside and changed nothing"
        request = getattr(error.event, "request", None)
        for waiting, future in list(self._replies.items()):
            if not future.done():
                own = (
                    OrchError(reason) if waiting == request else UnavailableError("the master started again; try again")
                )
                future.set_result(Reply(waiting, error=own.to_dict()))

    def _replace_host(self) -> None:
        """What was decided before the event is kept and let out; then everything is read back."""
        old = self.host
        self._queue_records()
        self._store.flush()
        old.durable(old.index)
        self._let_out(old.take_commands())
        self._rebuild()

    def _problem(self) -> str | None:
        if self._store.problem is not None:
            return self._store.problem
        if self._pending_bytes > MAX_PENDING_BYTES:
            return "the journal cannot keep up with what is submitted; try again in a moment"
        return None

    # ---- to the journal, and out -------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        self._queue_records()
        self._let_out(self.host.take_commands())
        self._arm()
        if self._trim is not None:
            self._trim.cancel()
        self._trim = self._loop.call_later(TRIM_S, trim)

    def _queue_records(self) -> None:
        entries = []
        size = 0
        for record in self.host.take_records():
            with self.spans.of("encode"):
                body = encode(record)
            self.feed.add(record.index, body)
            if not record.soft:
                size += len(body)
                entries.append(Entry(record.index, record.at_ms, body))
        self.feed.release(self.host.durable_index)
        if entries:
            self._pending_bytes += size
            life, began = self._lives, time.monotonic()

            def durable(index: int) -> None:
                self.spans.note("journal" + WAIT, began, time.monotonic())
                self._loop.call_soon_threadsafe(self._durable, life, index, size, len(entries))

            self._store.append(entries, durable)

    def _durable(self, life: int, index: int, size: int, records: int) -> None:
        self._pending_bytes -= size
        if life != self._lives:
            return
        self._unsaved_bytes += size
        self._unsaved_records += records
        self.host.durable(index)
        self._let_out(self.host.take_commands())
        self.feed.release(index)
        most = max(SNAPSHOT_BYTES, self._snapshot_bytes)
        if self._saving is None and (self._unsaved_bytes > most or self._unsaved_records > SNAPSHOT_RECORDS):
            self._saving = asyncio.ensure_future(self._save())

    def _let_out(self, commands: list[Outgoing]) -> None:
        for outgoing in commands:
            command = outgoing.command
            if isinstance(command, Send):
                with self.spans.of("messages"):
                    self._send(command.to, command.message)
            elif isinstance(command, Reply):
                future = self._replies.get(command.request)
                if future is not None and not future.done():
                    future.set_result(command)
            else:
                log.error("nobody can do this", machine=outgoing.machine, command=repr(command)[:500])

    # ---- time --------------------------------------------------------------------------------------------------

    def _arm(self) -> None:
        wake_ms = self.host.wake_ms()
        if wake_ms is None:
            self._wake_in(None)
        else:
            self._wake_in(max(0, wake_ms - self._clock.now_ms(), self._no_tick_before_ms - self._clock.now_ms()))

    def _wake_in(self, delay_ms: int | None) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None if delay_ms is None else self._loop.call_later(delay_ms / 1000, self._tick)

    def _tick(self) -> None:
        try:
            self.host.tick(self._clock.now_ms())
        except EventError as error:
            # One that fails each time must not take the whole processor.
            self._no_tick_before_ms = self._clock.now_ms() + _TICK_BACKOFF_MS
            self._recover(error, "")
        self._flush()

    # ---- images ------------------------------------------------------------------------------------------------

    async def image(self) -> bytes:
        """Encoded `{"life", "after", "image"}`: all that a follower needs; it goes on with `follow(life, after)`."""
        self._flush()
        feed, number = self.feed, self.feed.added
        body = encode({"life": feed.life, "after": number, "image": self.host.snapshot(soft=True)})
        await feed.wait_shown(number)
        return body

    async def follow(self, life: str, after: int, timeout_ms: int) -> bytes:
        """See `Feed.follow`."""
        return await self.feed.follow(life, after, timeout_ms)

    async def _save(self) -> None:
        """Write a snapshot of the present state once its index is durable, beside the journal's writer."""
        try:
            self._flush()
            life, index = self._lives, self.host.index
            with self.spans.of("snapshot"):
                image = self.host.snapshot()
                body = encode({**image, "at_ms": self._clock.now_ms()})
            self._snapshot_bytes = len(body)
            del image
            self._unsaved_bytes = self._unsaved_records = 0
            await self._loop.run_in_executor(None, self._write_snapshot, index, body)
            log.info("snapshot", index=index, bytes=len(body), life=life)
        except OrchError as error:
            log.error("no snapshot", error=str(error))
        finally:
            self._saving = None
            trim()

    def _write_snapshot(self, index: int, body: bytes) -> None:
        self._store.flush()
        self._store.snapshot(index, body)

    async def save(self) -> None:
        """Write a snapshot now (or wait for the one that is being written)."""
        if self._saving is None:
            self._saving = asyncio.ensure_future(self._save())
        await asyncio.shield(self._saving)

    async def stop(self) -> None:
        """Stop the timers, keep what was decided, let go of the journal."""
        self._flush()
        for handle in (self._wake, self._trim):
            if handle is not None:
                handle.cancel()
        if self._saving is not None:
            await self._saving
        await self._loop.run_in_executor(None, self._store.close)
        self.feed.end()

    def stats(self) -> dict[str, Any]:
        """Numbers for `status` and metrics."""
        return {
            "index": self.host.index,
            "durable_index": self.host.durable_index,
            "pending_bytes": self._pending_bytes,
            "set_aside": self.set_aside_count,
            "problem": self._problem(),
            "life": self.feed.life,
        }


def replay_all(host: Host, bodies: Sequence[bytes]) -> list[Record]:
    """Decode records of the feed and apply them to a replica; returns them."""
    records = [decode(body) for body in bodies]
    for record in records:
        host.replay(record)
    return records
