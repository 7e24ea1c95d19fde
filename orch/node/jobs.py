"""Jobs: plain processes by the batch, through the compiled engine. Columns in, columns out."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.agent.commands import StartJobs
from orch.agent.events import JobsChanged
from orch.model import payload as payloads
from orch.model.errors import OrchError
from orch.model.ids import framework_of
from orch.model.messages import Payload
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.node import _spawn, environment, exits, reasons
from orch.node.blobs import ASKED, GIVEN, Blobs
from orch.node.cgroups import limits_of
from orch.node.environment import Place
from orch.node.folders import Folders
from orch.node.launchable import NotLaunchableError, prepare
from orch.node.users import User, Users

Ints = NDArray[np.int64]

TEMPLATES_KEPT = 256
KEY_BITS = 10
"""Attempts are told apart modulo 1024, as the agent does."""
LOG_MAX_BYTES = 4 << 20
"""Of one stream's file; one older file is kept beside it."""
GATHER_S, GATHER_BUSY_S = 0.025, 0.1
QUEUE_ENOUGH = 2
"""Jobs that wait for a launcher: as long as there are more, the processors have work."""
_NEAR_FULL_BYTES = 1 << 20


@dataclass(slots=True)
class Lane:
    """The jobs of one agent: where they lie, and who is told."""

    number: int
    folders: Folders
    where: Place
    tell: Callable[[JobsChanged], None]
    templates: OrderedDict[tuple[int, int, int], tuple[dict[str, Any], Any, Any]] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class Waiting:
    """Rows that wait for their job's payload."""

    lane: Lane
    template: Any
    ids: Ints
    attempts: NDArray[np.int32]
    payload: Payload


class Jobs:
    """The engine of one supervisor, shared by its agents. Needs a running event loop.

    journal: the file that the engine appends exits to. explain(id, text): told about launches that can't be.
    """

    def __init__(
        self, users: Users, journal: Path, workers: int, blobs: Blobs, explain: Callable[[int, str], None]
    ) -> None:
        self._users, self._journal, self._blobs, self._explain = users, journal, blobs, explain
        fd = exits.open_journal(journal)
        self._engine = _spawn.Engine(workers, fd)
        os.close(fd)
        self._written = 0
        self._lanes: dict[int, Lane] = {}
        self._waiting: list[Waiting] = []
        self._greedy: set[int] = set()
        self._fetches: set[asyncio.Task[None]] = set()

    def add(self, lane: Lane) -> None:
        """Take an agent in; its number comes back in the exit journal, so it stays the same over restarts."""
        self._lanes[lane.number] = lane

    def fileno(self) -> int:
        """Readable when `report` has something to tell."""
        return self._engine.fileno()

    @property
    def live(self) -> int:
        """Jobs that wait or run."""
        return self._engine.live + sum(len(waiting.ids) for waiting in self._waiting)

    def patience_s(self) -> float:
        """How long after the last report the next one may wait: there is less to do for everybody in large batches.

        Long, while jobs wait for one of the launchers. Not at all, once twice as many have ended as run still: the
        master must know before the processors run out of work.
        """
        if self._engine.queued > QUEUE_ENOUGH:
            return GATHER_BUSY_S
        return 0.0 if self._engine.ended >= 2 * self._engine.live else GATHER_S

    def running(self) -> Ints:
        """int64[k, 5] of what runs: id, attempt, pid, started_ms, mem_limit_kib (0: none)."""
        return self._engine.running()

    def pids(self) -> set[int]:
        """Of those that run; each leads a process group."""
        return set(self._engine.running()[:, 2].tolist())

    def end_for_memory(self, ids: Ints, attempts: NDArray[np.int32]) -> None:
        """Kill these; their ends will say why."""
        self._greedy.update(_keys(ids, attempts).tolist())
        self.kill(ids, attempts, signal.SIGKILL)

    def start(self, number: int, command: StartJobs) -> None:
        """Queue the rows of a command. Those that can't be launched at all are reported at once."""
        lane = self._lanes[number]
        for rows, wire, job in _parts(command.payload):
            part = slice(None) if rows is None else rows
            ids, attempts = command.ids[part], command.attempts[part]
            payload = command.payload if rows is None else payloads.take(command.payload, rows)
            try:
                template, copy = self._template(lane, int(ids[0]), payload, wire, job)
            except NotLaunchableError as error:
                self._refuse(lane, ids, attempts, State.ERROR, error.reason, str(error))
                continue
            waiting = Waiting(lane, template, ids, attempts, payload)
            if copy is None or self._blobs.is_here(copy[0]):
                self._launch(waiting)
                continue
            self._waiting.append(waiting)
            task = asyncio.get_running_loop().create_task(self._fetch(waiting, *copy))
            self._fetches.add(task)
            task.add_done_callback(self._fetches.discard)

    def kill(self, ids: Ints, attempts: NDArray[np.int32], number: int) -> NDArray[np.bool_]:
        """Signal the process group of each, or take it out of the queue; bool[k]: which of them were here."""
        here: NDArray[np.bool_] = self._engine.kill(_flat(ids), _flat(attempts), number) > 0
        for waiting in self._waiting:
            stopped = np.isin(_keys(waiting.ids, waiting.attempts), _keys(ids, attempts))
            if np.any(stopped):
                event = _ended(waiting.ids[stopped], waiting.attempts[stopped], State.FAILED, Reason.SIGNALED, -number)
                rows = np.flatnonzero(~stopped)
                waiting.ids, waiting.attempts = waiting.ids[rows], waiting.attempts[rows]
                waiting.payload = payloads.take(waiting.payload, rows)
                waiting.lane.tell(event)
        return here

    def _launch(self, rows: Waiting) -> None:
        if len(rows.ids):
            payload = rows.payload
            self._engine.launch(
                rows.template, _flat(rows.ids), _flat(rows.attempts), _flat(payload.index), payload.env_blob,
                _flat(payload.env_off),
            )  # fmt: skip

    async def _fetch(self, waiting: Waiting, path: Path, user: User) -> None:
        try:
            await self._blobs.fetch(path, user)
        except (OrchError, OSError) as error:
            text = f"the payload could not be fetched: {error}"
            lane, reason = waiting.lane, Reason.ARTIFACT_FAILED
            self._refuse(lane, waiting.ids, waiting.attempts, State.FAILED, reason, text)
        else:
            self._launch(waiting)
        finally:
            self._waiting.remove(waiting)

    def _refuse(
        self, lane: Lane, ids: Ints, attempts: NDArray[np.int32], state: State, reason: Reason, text: str
    ) -> None:
        if len(ids):
            self._explain(int(ids[0]), text)
            lane.tell(_ended(ids, attempts, state, reason, NO_EXIT_CODE))

    def report(self) -> None:
        """Tell the agents what the engine has seen since the last call."""
        events = self._engine.take()
        if len(events) == 0:
            return
        self._written += int(np.count_nonzero(events["what"] != _spawn.STARTED)) * _spawn.EVENT.itemsize
        for number in np.unique(events["user"]).tolist():
            lane = self._lanes.get(number)
            if lane is not None:
                changed = changes(events[events["user"] == number], lane.folders.sandboxes)
                lane.tell(self._name_greedy(changed) if self._greedy else changed)
        if self._written > exits.ROTATE_BYTES:
            self._written = 0
            fd = exits.rotate(self._journal)
            self._engine.rotate(fd)
            os.close(fd)

    def _name_greedy(self, changed: JobsChanged) -> JobsChanged:
        """Those that were killed for their memory say so."""
        keys = _keys(changed.ids, changed.attempts)
        killed = np.isin(keys, np.array(sorted(self._greedy))) & (changed.exit_codes == -signal.SIGKILL)
        self._greedy.difference_update(keys[changed.states >= State.FINISHED].tolist())
        return replace(changed, reasons=np.where(killed, Reason.MEMORY_LIMIT, changed.reasons).astype(np.uint8))

    def close(self) -> None:
        """Ends every job and the engine."""
        for task in self._fetches:
            task.cancel()
        self._engine.close()

    def _template(
        self, lane: Lane, first: int, payload: Payload, wire: dict[str, Any], job: int
    ) -> tuple[Any, tuple[Path, User] | None]:
        """(the engine's template, the copy of the payload that it needs), made once for a job.

        A template's number belongs to its framework and may be used again, so what it stands for is compared.
        """
        key = (framework_of(first), int(payload.template[0]), job)
        known = lane.templates.get(key)
        if known is not None and known[0] == wire:
            lane.templates.move_to_end(key)
            return known[1], known[2]
        spec = Template.from_wire(wire)
        ready = prepare(lane.where, self._users, spec, spec.containers[0])
        copy = None
        if ASKED in ready.env:
            try:
                copy = (self._blobs.path(ready.env[ASKED], ready.user), ready.user)
            except OrchError as error:
                raise NotLaunchableError(Reason.ARTIFACT_FAILED, str(error)) from None
            ready.env[GIVEN] = str(copy[0])
        made = _spawn.Template(
            ready.argv, environment.to_list(ready.env), ready.path, os.fsencode(lane.folders.sandboxes),
            os.fsencode(lane.folders.logs), environment.job_prefix(spec.path, job).encode(), uid=ready.user.uid,
            gid=ready.user.gid, groups=ready.user.groups, limits=ready.limits, log_max_bytes=LOG_MAX_BYTES,
            mem_limit_kib=_mem_limit_kib(spec), user=lane.number,
        )  # fmt: skip
        lane.templates[key] = (wire, made, copy)
        while len(lane.templates) > TEMPLATES_KEPT:
            lane.templates.popitem(last=False)
        return made, copy


def changes(events: NDArray[Any], sandboxes: Path) -> JobsChanged:
    """Columns of the engine's events, the last one of each instance; a start and an end make one row."""
    keys = _keys(events["id"], events["attempt"])
    started = events["what"] == _spawn.STARTED
    keep = ~started | ~np.isin(keys, keys[~started])
    events = events[keep]
    what = events["what"]
    states, why = reasons.ended_columns(events["code"])
    codes = events["code"].astype(np.int16)
    states[what == _spawn.STARTED] = State.RUNNING
    why[what == _spawn.STARTED] = Reason.NONE
    codes[(what == _spawn.STARTED) | (what == _spawn.NOT_STARTED)] = NO_EXIT_CODE
    failed = np.flatnonzero(what == _spawn.NOT_STARTED)
    pairs = events["stage"][failed].astype(np.int64) * 65_536 + events["code"][failed]
    for pair in np.unique(pairs).tolist():
        state, reason = reasons.not_started(*divmod(pair, 65_536))
        states[failed[pairs == pair]], why[failed[pairs == pair]] = state, reason
    exited = (what == _spawn.EXITED) & (states == State.FAILED) & (why == Reason.EXITED)
    if np.any(exited):
        why[exited & ((events["lost_bytes"] > 0) | is_full(sandboxes))] = Reason.DISK_FULL
    ran = (what == _spawn.STARTED) | (what == _spawn.EXITED)
    return JobsChanged(
        events["id"].copy(), events["attempt"].copy(), states, codes, why, np.where(ran, events["started_ms"], 0),
        events["at_ms"].copy(),
    )  # fmt: skip


def is_full(folder: Path) -> bool:
    """Whether a file system has no room left for those who write there."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _NEAR_FULL_BYTES or (found.f_files > 0 and found.f_favail == 0)


def _ended(ids: Ints, attempts: NDArray[np.int32], state: State, reason: Reason, code: int) -> JobsChanged:
    """Rows that never ran."""
    count = len(ids)
    now_ms = np.full(count, time.time_ns() // 1_000_000, np.int64)
    return JobsChanged(
        ids, attempts, np.full(count, state, np.uint8), np.full(count, code, np.int16),
        np.full(count, reason, np.uint8), np.zeros(count, np.int64), now_ms,
    )  # fmt: skip


def _mem_limit_kib(spec: Template) -> int:
    limits = limits_of(spec.containers[0])
    return (limits.mem_mib or 0) << 10


def _keys(ids: NDArray[Any], attempts: NDArray[Any]) -> Ints:
    keys: Ints = (ids.astype(np.int64) << KEY_BITS) | (attempts.astype(np.int64) & ((1 << KEY_BITS) - 1))
    return keys


def _parts(payload: Payload) -> Iterable[tuple[Ints | None, dict[str, Any], int]]:
    """(rows, wire form, job number) for each job of each template; rows None: all."""
    pairs = np.stack([payload.template.astype(np.int64), payload.job])
    if len(payload.template) and np.all(pairs == pairs[:, :1]):
        yield None, payload.templates[int(payload.template[0])], int(payload.job[0])
        return
    for number, job in np.unique(pairs, axis=1).T.tolist():
        rows = np.flatnonzero((payload.template == number) & (payload.job == job))
        yield rows, payload.templates[number], job


def _flat(column: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(column)
