"""The agent's machine: what the master says and the node reports in, what to start, stop, probe and tell out.

It keeps no desired state. A launch is taken once for each (instance, attempt), durably; an end is told until the master
has it. Plain one-process jobs are columns from the launch to the report; instances with several containers, ports or
checks are objects (`Instance`). After a restart of the supervisor, jobs are LOST (their processes end with it) and
services are recovered from their stubs.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from orch.agent.commands import ClearJobs, Ended, Probe, Recover, StartJobs, Stop
from orch.agent.due import Due
from orch.agent.events import Connected, ContainerChanged, JobsChanged, Leaving, Probed, Usage
from orch.agent.instance import Instance
from orch.agent.link import Link
from orch.agent.ports import Ports
from orch.agent.table import Instances
from orch.machine.machine import Machine, Tick
from orch.model import payload as payloads
from orch.model.columns import distinct
from orch.model.facts_agent import Changed, Forgotten, Moved, Taken
from orch.model.messages import (
    FleetRegister,
    HeartbeatAck,
    Image,
    ImageRequest,
    LaunchBatch,
    Payload,
    Register,
    Registered,
    StopBatch,
    UpdateAck,
    UpdateBatch,
)
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.reader import TemplateReader
from orch.model.specs.template import Template
from orch.model.states import FIRST_TERMINAL, State

Ints = NDArray[np.int64]
UPDATE_ROWS = 65_536
"""Instances of one report, so that a fleet's is no long piece of work for anybody."""
MAX_ROUNDS = 5
"""Starts of one attempt, each with other ports, before a port taken by somebody else is its end."""


class Agent(Machine):
    """One machine's (or one share of a machine's) agent; or a fleet's, which stands for many alike behind one line.

    agent: its name, unique in the cluster. nonce: unique to this start of the supervisor. total: int32[R]. ports: first
    and last host port of its range. fleet: names of the agents of a fleet, each with this total, these attributes and
    ports of its own.
    """

    name = "agent"

    def __init__(
        self, agent: str, nonce: str, total: NDArray[np.int32], attributes: dict[str, str],
        ports: tuple[int, int] = (31_000, 31_999), fleet: list[str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.agent, self.total, self.attributes = agent, total, dict(attributes)
        self.instances = Instances()
        self.several: dict[tuple[int, int], Instance] = {}
        self._due = Due(self.several)
        self._reader = TemplateReader()
        self._range = ports
        self.ports: dict[int, Ports] = {}
        """By place in the fleet, of those that have given some out; 0 for an agent alone."""
        self.fleet = fleet
        self.link = Link(agent, nonce, lambda message: self.send("master", message))
        self._dirty: list[Ints] = []
        self._told: deque[tuple[int, Ints]] = deque()
        """Rows of each update that is not acknowledged, by its number."""

    # -- the line to the master ------------------------------------------------------------------------------

    def started(self, now_ms: int) -> list[Any]:
        """After a restart: jobs are lost, services are looked for, and the master is asked to let us in."""
        rows = self.instances.rows()
        alive = rows[self.instances.alive(rows)]
        jobs = alive[~self.instances["several"][alive]]
        if len(rows):
            self.do(ClearJobs())
        if len(jobs):
            self._end(now_ms, jobs, State.LOST, Reason.SUPERVISOR_LOST)
        for instance in self.several.values():
            if self.instances.alive(self._rows_of(instance))[0]:
                self.do(Recover(instance.start()))
        self.link.register(now_ms, self._register)
        return super().started(now_ms)

    def _register(self, nonce: str) -> Register | FleetRegister:
        if self.fleet is not None:
            totals = np.tile(self.total, (len(self.fleet), 1))
            return FleetRegister(self.agent, nonce, self.fleet, totals, self.attributes)
        return Register(self.agent, nonce, self.total, self.attributes)

    def _connected(self, now_ms: int, event: Connected) -> None:
        self.link.register(now_ms, self._register)

    def _leaving(self, now_ms: int, event: Leaving) -> None:
        self.link.leave()

    def _registered(self, now_ms: int, event: Registered) -> None:
        if event.agent != self.agent or event.nonce != self.link.nonce or self.link.session:
            return
        self.link.registered(now_ms, event.session, event.epoch)
        self._told.clear()
        rows = self.instances.rows()
        image = Image(
            self.agent, event.session, event.epoch, 0, **self.instances.columns(rows), details=self._details(rows)
        )
        self.send("master", image)
        self._dirty = [rows[~self.instances.alive(rows)]]
        self._flush(now_ms)

    def _again(self, now_ms: int, event: HeartbeatAck | ImageRequest) -> None:
        """A master that restarted, forgot us, or missed something: begin a new session. An old message: nothing."""
        newer = event.epoch > self.link.epoch
        ours = self.link.current(event.epoch, event.session)
        if self.link.session and (newer or (event.epoch == self.link.epoch and not ours) or _asks(event, ours)):
            self.link.register(now_ms, self._register)

    def _take(self, now_ms: int, event: LaunchBatch | StopBatch) -> bool:
        if not self.link.current(event.epoch, event.session):
            if self.link.session and event.epoch > self.link.epoch:
                self.link.register(now_ms, self._register)
            return False
        taken = self.link.take(event.seq)
        if taken is None:
            self.link.register(now_ms, self._register)
        return bool(taken)

    # -- launching -------------------------------------------------------------------------------------------

    def _launch(self, now_ms: int, event: LaunchBatch) -> None:
        if not self._take(now_ms, event):
            return
        new = np.flatnonzero(self.instances.find(event.ids, event.attempts) < 0)
        if len(new) == 0:
            return
        ids, attempts = event.ids[new], event.attempts[new]
        payload = event.payload if len(new) == len(event.ids) else payloads.take(event.payload, new)
        templates = {number: self._reader.read(wire) for number, wire in payload.templates.items()}
        several = _by_template(payload, {number: int(_is_several(one)) for number, one in templates.items()}) > 0
        grace = {number: max(c.grace_ms for c in one.containers) for number, one in templates.items()}
        self.story_book.note(now_ms, "taken", ids, f"launch {event.seq} of session {event.session}", attempt=attempts)
        jobs = np.flatnonzero(~several)
        if len(jobs):
            part = payload if len(jobs) == len(ids) else payloads.take(payload, jobs)
            self.emit(Taken(ids[jobs], attempts[jobs], _by_template(part, grace), now_ms, []))
            self.do(StartJobs(ids[jobs], attempts[jobs], part))
        for row in np.flatnonzero(several).tolist():
            number = int(payload.template[row])
            key = (int(ids[row]), int(attempts[row]))
            launch = _launch_of(payload, row)
            if len(event.places):
                launch["place"] = int(event.places[new[row]])
            self._launch_one(now_ms, key, launch, templates[number], grace[number])
        self._flush(now_ms)

    def _launch_one(
        self, now_ms: int, key: tuple[int, int], launch: dict[str, Any], template: Template, grace_ms: int
    ) -> None:
        ports = self._ports(launch).choose(now_ms, template)
        launch["ports"] = ports or [[0] * len(container.endpoints) for container in template.containers]
        ids, attempts = np.array([key[0]], dtype=np.int64), np.array([key[1]], dtype=np.int32)
        self.emit(Taken(ids, attempts, np.array([grace_ms], dtype=np.int64), now_ms, [launch]))
        if ports is None:
            self._end(now_ms, self.instances.find(ids, attempts), State.ERROR, Reason.PORT_TAKEN)
        else:
            self.do(self.several[key].start())

    def _apply_taken(self, fact: Taken) -> None:
        rows = self.instances.add(fact.ids, fact.attempts, fact.grace_ms, fact.at_ms)
        for at, launch in enumerate(fact.instances):
            template = self._reader.read(launch["template"])
            instance = Instance(int(fact.ids[at]), int(fact.attempts[at]), dict(launch), template)
            self.several[instance.id, instance.attempt] = instance
            self.instances["several"][rows[at]] = True
            self._ports(instance.launch).hold(instance.ports)

    def _ports(self, launch: dict[str, Any]) -> Ports:
        """Of the agent that a launch is for."""
        return self.ports.setdefault(int(launch.get("place", 0)), Ports(*self._range))

    # -- stopping --------------------------------------------------------------------------------------------

    def _stop(self, now_ms: int, event: StopBatch) -> None:
        if not self._take(now_ms, event):
            return
        rows = self.instances.find(event.ids, event.attempts)
        found = rows >= 0
        rows, reasons = rows[found], event.reasons[found]
        fresh = self.instances.alive(rows) & (self.instances["stop_reason"][rows] == 0)
        rows, reasons = rows[fresh], reasons[fresh]
        if len(rows) == 0:
            return
        self.instances["stop_reason"][rows] = reasons
        self._stop_rows(now_ms, rows, event.grace_ms)
        self._flush(now_ms)

    def _stop_rows(self, now_ms: int, rows: Ints, grace_ms: int = -1) -> None:
        table = self.instances
        grace = table["grace_ms"][rows] if grace_ms < 0 else np.full(len(rows), grace_ms, dtype=np.int64)
        table["state"][rows] = State.KILLING
        table["changed_ms"][rows] = now_ms
        self._mark(rows)
        self.do(Stop(table["id"][rows].copy(), table["attempt"][rows].copy(), grace.copy()))

    # -- what the node reports -------------------------------------------------------------------------------

    def _jobs_changed(self, now_ms: int, event: JobsChanged) -> None:
        table = self.instances
        rows = table.find(event.ids, event.attempts)
        known = np.flatnonzero(rows >= 0)
        known = known[table.alive(rows[known]) & ~table["several"][rows[known]]]
        known = known[event.states[known] != table["state"][rows[known]]]
        rows, states = rows[known], event.states[known]
        killing = table["state"][rows] == State.KILLING
        ended = states >= FIRST_TERMINAL
        states = np.where(killing & ended, State.KILLED, np.where(killing, State.KILLING, states)).astype(np.uint8)
        reasons = np.where(killing & ended, table["stop_reason"][rows], event.reasons[known]).astype(np.uint8)
        self._change(rows, states, event.exit_codes[known], reasons, event.started_ms[known], event.changed_ms[known])
        self._flush(now_ms)

    def _container_changed(self, now_ms: int, event: ContainerChanged) -> None:
        instance = self.several.get((event.id, event.attempt))
        if instance is None or event.round != instance.launch.get("round", 0):
            return
        row = self._rows_of(instance)
        if not self.instances.alive(row)[0]:
            return
        if event.reason == Reason.PORT_TAKEN and event.ports and self._move(now_ms, instance, event.ports):
            return
        if event.reason == Reason.PORT_TAKEN and event.ports:
            for container in instance.containers:
                container.state, container.reason = event.state, event.reason
            instance.failure = (event.state, event.exit_code, event.reason)
        failed = instance.change(event)
        self._due.push(instance)
        self._settle(now_ms, instance, row)
        if failed and self.instances.alive(row)[0] and self.instances["state"][row][0] != State.KILLING:
            self._stop_rows(now_ms, row)
        self._flush(now_ms)

    def _settle(self, now_ms: int, instance: Instance, row: Ints) -> None:
        """Make the row what its containers say."""
        state, exit_code, reason = instance.state()
        killing = self.instances["state"][row][0] == State.KILLING
        stop_reason = int(self.instances["stop_reason"][row][0])
        if state >= FIRST_TERMINAL and stop_reason:
            state, reason = int(State.KILLED), stop_reason
        elif state < FIRST_TERMINAL and killing:
            state = int(State.KILLING)
        self._change(
            row, np.array([state], dtype=np.uint8), np.array([exit_code], dtype=np.int16),
            np.array([reason], dtype=np.uint8), np.array([instance.started_ms()]), np.array([now_ms]),
        )  # fmt: skip

    def _move(self, now_ms: int, instance: Instance, taken: list[int]) -> bool:
        """Another start of the same attempt with other ports; False if there are none, or it was tried often enough."""
        own = self._ports(instance.launch)
        own.avoid(now_ms, taken)
        fixed = [e.host_port for c in instance.template.containers for e in c.endpoints if e.host_port]
        turn = int(instance.launch.get("round", 0)) + 1
        if turn >= MAX_ROUNDS or any(port in fixed for port in taken):
            return False
        ports = own.choose(now_ms, instance.template)
        if ports is None:
            return False
        self.emit(Moved(instance.id, instance.attempt, ports, turn))
        self.do(instance.start())
        return True

    def _apply_moved(self, fact: Moved) -> None:
        launch = self.several[fact.id, fact.attempt].launch
        own = self._ports(launch)
        own.release(launch["ports"])
        launch["ports"], launch["round"] = fact.ports, fact.round
        own.hold(fact.ports)

    def _probed(self, now_ms: int, event: Probed) -> None:
        instance = self.several.get((event.id, event.attempt))
        if instance is None:
            return
        row = self._rows_of(instance)
        checks = instance.containers[event.container].health
        if not self.instances.alive(row)[0] or event.check >= len(checks):
            return
        before = instance.healthy()
        must_stop = checks[event.check].probed(now_ms, event.ok, event.message)
        self._due.push(instance)
        if must_stop and instance.failure is None:
            instance.failure = (int(State.FAILED), NO_EXIT_CODE, int(Reason.HEALTH_CHECK))
            instance.failure_message = event.message
            instance.containers[event.container].message = event.message
            if self.instances["state"][row][0] != State.KILLING:
                self._stop_rows(now_ms, row)
        elif instance.healthy() is not before:
            self._mark(row)
        self._flush(now_ms)

    def _usage(self, now_ms: int, event: Usage) -> None:
        self.link.usage = event.usage

    # -- telling the master ----------------------------------------------------------------------------------

    def _change(
        self, rows: Ints, states: NDArray[Any], exit_codes: NDArray[Any], reasons: NDArray[Any],
        started_ms: NDArray[Any], changed_ms: NDArray[Any],
    ) -> None:  # fmt: skip
        if len(rows) == 0:
            return
        table = self.instances
        fact = Changed(
            table["id"][rows].copy(), table["attempt"][rows].copy(), states.astype(np.uint8),
            exit_codes.astype(np.int16), reasons.astype(np.uint8), started_ms.astype(np.int64),
            changed_ms.astype(np.int64),
        )  # fmt: skip
        if np.any(states >= FIRST_TERMINAL):
            self.emit(fact)
        else:
            self.publish(fact)
        self._mark(rows)

    def _apply_changed(self, fact: Changed) -> None:
        table = self.instances
        rows = table.find(fact.ids, fact.attempts)
        table["state"][rows] = fact.states
        table["exit_code"][rows] = fact.exit_codes
        table["reason"][rows] = fact.reasons
        table["started_ms"][rows] = np.where(fact.started_ms > 0, fact.started_ms, table["started_ms"][rows])
        table["changed_ms"][rows] = fact.changed_ms

    def _end(self, now_ms: int, rows: Ints, state: State, reason: Reason) -> None:
        count = len(rows)
        self._change(
            rows, np.full(count, state), np.full(count, NO_EXIT_CODE), np.full(count, reason), np.zeros(count),
            np.full(count, now_ms),
        )  # fmt: skip

    def _mark(self, rows: Ints) -> None:
        self._dirty.append(rows)

    def _flush(self, now_ms: int) -> None:
        """Send what changed, if the line has room; else it goes with the next acknowledgement."""
        while self._dirty and self.link.room():
            rows = distinct(np.concatenate(self._dirty))
            rows = rows[self.instances["id"][rows] != 0]
            self._dirty = [rows[UPDATE_ROWS:]] if len(rows) > UPDATE_ROWS else []
            if len(rows):
                self._update(now_ms, rows[:UPDATE_ROWS])

    def _update(self, now_ms: int, rows: Ints) -> None:
        seq = self.link.next_seq()
        self.instances["sent_seq"][rows] = seq
        self._told.append((seq, rows))
        batch = UpdateBatch(
            self.agent, self.link.session, self.link.epoch, seq, **self.instances.columns(rows),
            details=self._details(rows),
        )  # fmt: skip
        self.link.update(now_ms, batch)

    def _details(self, rows: Ints) -> dict[int, dict[str, Any]]:
        table = self.instances
        found = [
            self.several[int(table["id"][row]), int(table["attempt"][row])] for row in rows[table["several"][rows]]
        ]
        return {instance.id: instance.details() for instance in found}

    def _acknowledged(self, now_ms: int, event: UpdateAck) -> None:
        if not self.link.current(event.epoch, event.session):
            return
        self.link.acknowledged(event.seq)
        table = self.instances
        rows = self._told_by(event.seq)
        told = (table["sent_seq"][rows] > 0) & (table["sent_seq"][rows] <= event.seq)
        done = rows[told & ~table.alive(rows)]
        done = done[~np.isin(done, np.concatenate([*self._dirty, np.empty(0, dtype=np.int64)]))]
        if len(done):
            ids, attempts = table["id"][done].copy(), table["attempt"][done].copy()
            self.emit(Forgotten(ids, attempts))
            self.do(Ended(ids, attempts))
        self._flush(now_ms)

    def _told_by(self, seq: int) -> Ints:
        """Rows of the updates up to `seq`, each once; they are looked at once."""
        parts = []
        while self._told and self._told[0][0] <= seq:
            parts.append(self._told.popleft()[1])
        return distinct(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)

    def _apply_forgotten(self, fact: Forgotten) -> None:
        rows = self.instances.find(fact.ids, fact.attempts)
        for row in rows[self.instances["several"][rows]]:
            key = (int(self.instances["id"][row]), int(self.instances["attempt"][row]))
            instance = self.several.pop(key)
            self._ports(instance.launch).release(instance.ports)
        self.instances.remove(rows)

    # -- time ------------------------------------------------------------------------------------------------

    def _tick(self, now_ms: int, event: Tick) -> None:
        self.link.tick(now_ms, self._register)
        for instance in self._due.take(now_ms):
            if not self.instances.alive(self._rows_of(instance))[0]:
                continue
            for container, check in instance.due_probes(now_ms):
                ports = tuple(instance.ports[container])
                self.do(Probe(instance.id, instance.attempt, container, check, ports))
            self._due.push(instance)

    @property
    def wake_ms(self) -> int | None:
        """The next heartbeat, resend or probe."""
        dues = [due for due in (self._due.wake_ms(), self.link.wake_ms()) if due is not None]
        return min(dues, default=None)

    # -- keeping ---------------------------------------------------------------------------------------------

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """The table, and what the instances of several containers were launched with."""
        return {
            "instances": self.instances.to_dict(),
            "several": [[one.id, one.attempt, one.launch] for one in self.several.values()],
        }

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `snapshot` gave."""
        self.instances.restore(image["instances"])
        for number, attempt, launch in image["several"]:
            instance = Instance(number, attempt, launch, self._reader.read(launch["template"]))
            self.several[number, attempt] = instance
            self._ports(instance.launch).hold(instance.ports)

    def check(self) -> None:
        """Assert that table, objects and ports agree, and that the first probe that is due wakes us."""
        dues = [due_ms for instance in self.several.values() if (due_ms := instance.due_ms()) is not None]
        assert self._due.wake_ms() == min(dues, default=None), "a probe is due, and nobody would wake for it"
        self.instances.check()
        rows = self.instances.rows()
        several = rows[self.instances["several"][rows]]
        keys = [(int(self.instances["id"][row]), int(self.instances["attempt"][row])) for row in several]
        assert sorted(keys) == sorted(self.several), "the table and the instances disagree"

    def _rows_of(self, instance: Instance) -> Ints:
        row = self.instances.row(instance.id, instance.attempt)
        assert row >= 0, f"instance {instance.id} has no row"
        return np.array([row])

    EVENTS: ClassVar[dict[type, Any]] = {
        Connected: _connected, Leaving: _leaving, Registered: _registered, HeartbeatAck: _again, ImageRequest: _again,
        LaunchBatch: _launch, StopBatch: _stop, UpdateAck: _acknowledged, JobsChanged: _jobs_changed,
        ContainerChanged: _container_changed, Probed: _probed, Usage: _usage, Tick: _tick,
    }  # fmt: skip
    FACTS: ClassVar[dict[type, Any]] = {
        Taken: _apply_taken, Changed: _apply_changed, Moved: _apply_moved, Forgotten: _apply_forgotten,
    }  # fmt: skip


def _is_several(template: Template) -> bool:
    """Whether an instance is more than one plain process: then it is an object, started under stubs."""
    first = template.containers[0]
    return template.kind != "job" or len(template.containers) > 1 or bool(first.endpoints or first.health)


def _launch_of(payload: Payload, row: int) -> dict[str, Any]:
    """What one instance is started with, but for its ports."""
    blob = payload.env_blob[int(payload.env_off[row]) : int(payload.env_off[row + 1])]
    pairs = [pair.partition("=") for pair in blob.decode(errors="surrogateescape").split("\0") if pair]
    return {
        "template": payload.templates[int(payload.template[row])],
        "env": {name: value for name, _, value in pairs},
        "index": int(payload.index[row]),
        "job": int(payload.job[row]),
    }


def _by_template(payload: Payload, values: dict[int, int]) -> NDArray[np.int64]:
    """int64[k]: a value of each row's template."""
    result = np.zeros(len(payload.template), dtype=np.int64)
    for number, value in values.items():
        result[payload.template == number] = value
    return result


def _asks(event: HeartbeatAck | ImageRequest, ours: bool) -> bool:
    return ours and isinstance(event, ImageRequest)
