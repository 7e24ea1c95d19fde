"""The master once more, in plain dicts and loops: what its tables must hold after any sequence of messages.

It sends nothing; of a launch it learns the number on the link from the real one's messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from orch.model.reasons import Reason
from orch.model.resources import R
from orch.model.states import WAYS, AgentState, State, is_terminal
from orch.placement import Reason as Verdict


@dataclass
class Agent:
    name: str
    nonce: str = ""
    session: int = 0
    state: AgentState = AgentState.ABSENT
    drained: bool = False
    removed: bool = False
    total: tuple[int, ...] = (0,) * R
    heard_ms: int = 0
    silent_ms: int = 0
    in_seq: int = 0

    @property
    def connected(self) -> bool:
        return self.state in (AgentState.READY, AgentState.DRAINING)


@dataclass
class Row:
    attempt: int
    slot: int
    framework: str
    request: tuple[int, ...]
    state: State = State.STAGING
    reason: int = 0
    starting: bool = False
    stopping: bool = False
    stop_reason: int = 0
    grace_ms: int = -1
    started_ms: int = 0
    launch_seq: int = 0

    @property
    def shown(self) -> State:
        return State.STARTING if self.state == State.STAGING and self.starting else self.state


@dataclass
class Plain:
    unreachable_ms: int
    gone_ms: int
    remove_ms: int
    epoch: int = 1
    floor: int = 0
    slots: list[Agent | None] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    stops: list[tuple[int, int, int]] = field(default_factory=list)
    """(id, attempt, reason) of what agents were told to stop in this event."""
    asked: list[int] = field(default_factory=list)
    """ids whose payload was asked for in this event."""

    # ---- agents ----------------------------------------------------------------------------------------------------

    def agent(self, name: str) -> Agent | None:
        return next((each for each in self.slots if each and not each.removed and each.name == name), None)

    def slot(self, agent: Agent) -> int:
        return next(at for at, each in enumerate(self.slots) if each is agent)

    def of(self, agent: Agent) -> Iterator[tuple[int, Row]]:
        """Its rows that have not ended."""
        slot = self.slot(agent)
        return iter([(n, row) for n, row in self.rows.items() if row.slot == slot and not is_terminal(row.state)])

    def free(self, agent: Agent) -> list[int]:
        """Negative where a debt is left."""
        held = [row.request for _, row in self.of(agent)]
        return [total - sum(each[d] for each in held) for d, total in enumerate(agent.total)]

    def register(self, now_ms: int, name: str, nonce: str, total: tuple[int, ...]) -> None:
        agent = self.agent(name)
        if agent is not None and agent.nonce == nonce and (agent.connected or agent.state == AgentState.REGISTERING):
            return
        if agent is None:
            agent = Agent(name, session=self.floor)
            free = [at for at, each in enumerate(self.slots) if each is None]
            if free:
                self.slots[free[0]] = agent
            else:
                self.slots.append(agent)
        agent.session += 1
        agent.nonce, agent.total, agent.heard_ms, agent.in_seq = nonce, total, now_ms, 0
        agent.state = AgentState.REGISTERING
        for row in self.rows.values():
            if row.slot == self.slot(agent):
                row.launch_seq = 0

    def fenced(self, now_ms: int, name: str, session: int, epoch: int) -> Agent | None:
        agent = self.agent(name)
        known = agent is not None and (agent.connected or agent.state == AgentState.REGISTERING)
        if agent is None or not known or session != agent.session or epoch != self.epoch:
            return None
        agent.heard_ms = now_ms
        return agent

    def drain(self, name: str, wanted: bool) -> None:
        agent = self.agent(name)
        if agent is not None:
            agent.drained = wanted
            if agent.connected:
                agent.state = AgentState.DRAINING if wanted else AgentState.READY

    def remove(self, name: str) -> None:
        agent = self.agent(name)
        if agent is not None and agent.state in (AgentState.ABSENT, AgentState.UNREACHABLE):
            self._lose(agent)
            self._remove(agent)

    def _lose(self, agent: Agent) -> None:
        for _, row in self.of(agent):
            row.state, row.reason = State.LOST, Reason.AGENT_LOST

    def _remove(self, agent: Agent) -> None:
        agent.removed, agent.state = True, AgentState.REMOVED
        self.floor = max(self.floor, agent.session)
        self._tidy()

    def _tidy(self) -> None:
        """Slots of removed agents are free once no row is left that refers to them."""
        used = {row.slot for row in self.rows.values()}
        for at, each in enumerate(self.slots):
            if each is not None and each.removed and at not in used:
                self.slots[at] = None

    def time(self, now_ms: int, until_ms: int) -> None:
        """Deadlines in the order in which they come."""
        while (due := self._due(now_ms)) is not None and due <= until_ms:
            now_ms = due
            for agent in [each for each in self.slots if each and not each.removed]:
                if agent.state != AgentState.UNREACHABLE and agent.heard_ms + self.unreachable_ms <= now_ms:
                    agent.state, agent.silent_ms = AgentState.UNREACHABLE, now_ms
                    for _, row in self.of(agent):
                        if row.state != State.UNREACHABLE:
                            row.state, row.reason = State.UNREACHABLE, Reason.AGENT_LOST
                if agent.state == AgentState.UNREACHABLE and now_ms - agent.silent_ms >= self.gone_ms:
                    self._lose(agent)
                if agent.state == AgentState.UNREACHABLE and now_ms - agent.silent_ms >= self.remove_ms:
                    self._remove(agent)

    def _due(self, now_ms: int) -> int | None:
        times = []
        for agent in self.slots:
            if agent is not None and not agent.removed:
                if agent.state == AgentState.UNREACHABLE:
                    times += [agent.silent_ms + self.gone_ms, agent.silent_ms + self.remove_ms]
                else:
                    times.append(agent.heard_ms + self.unreachable_ms)
        # What was due at now_ms has been done, but for agents that became due since.
        pending = [each for each in times if each > now_ms]
        return min(pending) if pending else None

    def restart(self, now_ms: int) -> None:
        self.epoch += 1
        for agent in self.slots:
            if agent is not None and not agent.removed:
                agent.state, agent.heard_ms = AgentState.ABSENT, now_ms
        for row in self.rows.values():
            row.starting, row.launch_seq = False, 0

    # ---- what agents say -------------------------------------------------------------------------------------------

    def update(self, now_ms: int, name: str, session: int, epoch: int, seq: int, each: list[dict[str, Any]]) -> None:
        agent = self.fenced(now_ms, name, session, epoch)
        if agent is None:
            return
        news = seq > agent.in_seq
        if seq == agent.in_seq + 1:
            agent.in_seq = seq
        if news:
            self._report(agent, each)

    def _report(self, agent: Agent, each: list[dict[str, Any]]) -> None:
        for said in each:
            row = self.rows.get(said["id"])
            ours = row is not None and row.attempt == said["attempt"] and row.slot == self.slot(agent)
            if row is not None and ours and said["state"] in WAYS[row.shown] and said["state"] != State.UNREACHABLE:
                if said["state"] == State.STARTING and row.state == State.STAGING:
                    row.starting = True
                else:
                    row.state, row.reason = said["state"], said["reason"]
                    row.started_ms = max(row.started_ms, said["started_ms"])
            if not is_terminal(said["state"]) and (row is None or not ours or is_terminal(row.state)):
                replaced = row is not None and row.attempt > said["attempt"]
                reason = Reason.REPLACED if replaced else Reason.UNKNOWN_TO_MASTER
                self.stops.append((said["id"], said["attempt"], reason))

    def image(
        self, now_ms: int, name: str, session: int, epoch: int, received_seq: int, each: list[dict[str, Any]]
    ) -> None:
        agent = self.fenced(now_ms, name, session, epoch)
        if agent is None:
            return
        agent.state = AgentState.DRAINING if agent.drained else AgentState.READY
        held = dict(self.of(agent))
        there = {(said["id"], said["attempt"]) for said in each}
        for said in each:
            row = held.get(said["id"])
            back = row is not None and row.attempt == said["attempt"] and row.state == State.UNREACHABLE
            if back and said["state"] == State.STAGING:
                said["state"] = State.STARTING
        self._report(agent, each)
        for number, row in held.items():
            if (number, row.attempt) not in there:
                self._missing(number, row, received_seq)
            elif row.stopping and not is_terminal(row.state):
                row.state = State.KILLING
                self.stops.append((number, row.attempt, row.stop_reason))

    def _missing(self, number: int, row: Row, received_seq: int) -> None:
        if row.launch_seq > received_seq:
            return
        if row.started_ms > 0 or row.starting or row.state == State.RUNNING:
            row.state, row.reason = State.LOST, Reason.NO_EXIT_RECORD
        elif row.stopping:
            row.state, row.reason = State.KILLED, row.stop_reason
        elif row.state != State.STAGING:
            row.state, row.reason = State.DROPPED, Reason.AGENT_LOST
        else:
            self.asked.append(number)

    # ---- what frameworks say ---------------------------------------------------------------------------------------

    def accept(self, framework: str, each: list[dict[str, Any]]) -> list[int]:
        verdicts: list[int] = []
        committed: list[tuple[int, dict[str, Any]]] = []
        broken: set[int] = set()
        there = {}
        for at, wish in enumerate(each):
            row = self.rows.get(wish["id"])
            if row is not None and row.attempt < wish["attempt"] and is_terminal(row.state):
                del self.rows[wish["id"]]
                row = None
            there[at] = row
        self._tidy()
        for at, wish in enumerate(each):
            row, gang = there[at], wish["gang"]
            if row is not None:
                verdict = Verdict.PLACED if row.attempt == wish["attempt"] else Verdict.STILL_THERE
                verdicts.append(verdict)
                failed = True
            else:
                verdict = self._verdict(wish)
                if verdict == Verdict.PLACED and gang >= 0 and gang in broken:
                    verdict = Verdict.GANG
                verdicts.append(verdict)
                failed = verdict != Verdict.PLACED
                if not failed:
                    self.rows[wish["id"]] = Row(wish["attempt"], wish["slot"], framework, wish["request"])
                    committed.append((at, wish))
            if failed and gang >= 0:
                broken.add(gang)
                for before, other in [pair for pair in committed if pair[1]["gang"] == gang]:
                    del self.rows[other["id"]]
                    verdicts[before] = Verdict.GANG
                committed = [pair for pair in committed if pair[1]["gang"] != gang]
        return verdicts

    def _verdict(self, wish: dict[str, Any]) -> Verdict:
        if not 0 <= wish["slot"] < len(self.slots):
            return Verdict.UNKNOWN_AGENT
        agent = self.slots[wish["slot"]]
        if agent is None or agent.removed or agent.session != wish["session"]:
            return Verdict.STALE_SESSION
        if agent.state != AgentState.READY:
            return Verdict.NOT_USABLE
        free = self.free(agent)
        for d, amount in enumerate(wish["request"]):
            if amount > max(free[d], 0):
                return Verdict(Verdict.TOO_FEW_CPUS + d)
        return Verdict.PLACED

    def kill(self, framework: str, numbers: list[int], reason: int, grace_ms: int) -> None:
        for number in numbers:
            row = self.rows.get(number)
            if row is None or row.framework != framework or is_terminal(row.state):
                continue
            if not row.stopping or row.grace_ms != grace_ms:
                row.stopping, row.stop_reason, row.grace_ms = True, reason, grace_ms
                if row.state != State.UNREACHABLE:
                    row.state = State.KILLING
            agent = self.slots[row.slot]
            if agent is not None and agent.connected:
                self.stops.append((number, row.attempt, row.stop_reason))

    def acknowledge(self, framework: str, pairs: list[tuple[int, int]]) -> None:
        for number, attempt in pairs:
            row = self.rows.get(number)
            if row is not None and row.framework == framework and row.attempt == attempt and is_terminal(row.state):
                del self.rows[number]
        self._tidy()

    def may_relaunch(self, framework: str, number: int, attempt: int) -> bool:
        row = self.rows.get(number)
        if row is None or row.framework != framework or row.attempt != attempt or row.state != State.STAGING:
            return False
        agent = self.slots[row.slot]
        return agent is not None and agent.connected
