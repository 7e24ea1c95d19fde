"""A master in plain Python, row by row, strict about what frameworks say; and a rig that drives a framework with it.

The rig keeps a follower that sees nothing but the records, and compares it with the live machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from orch.machine.commands import Reply
from orch.machine.host import Host, Record
from orch.machine.machine import Machine
from orch.model import messages as m
from orch.model.codec import decode, encode
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.resources import R
from orch.model.states import ALLOWED, FIRST_TERMINAL, State

Row = dict[str, Any]


class PlainMaster(Machine):
    """Agents as lists of free amounts, instances as dicts. `refuse(id) -> bool` makes commits fail."""

    name = "master"

    def __init__(self, agents: Sequence[Sequence[int]], attributes: Sequence[dict[str, str]] | None = None) -> None:
        super().__init__()
        self.total = [list(agent) for agent in agents]
        self.free = [list(agent) for agent in agents]
        self.usable = [1] * len(agents)
        self.sessions = [100 + row for row in range(len(agents))]
        self.attributes = list(attributes or [{"hostname": f"a{row}"} for row in range(len(agents))])
        self.instances: dict[int, Row] = {}
        self.demands: dict[str, m.Demand] = {}
        self.numbers: dict[str, int] = {}
        self.refuse: Callable[[int], bool] = lambda instance: False
        self.log: list[Any] = []
        self.launches: list[tuple[int, int, int]] = []
        """(id, attempt, agent) of every commit, in order."""
        self.payloads: list[m.Payload] = []
        self._changed: dict[str, set[int] | None] = {}
        self._generation = 0

    def handle(self, now_ms: int, event: Any) -> list[Any]:
        self.now_ms = now_ms
        self.log.append(event)
        handlers: dict[type, Callable[[Any], None]] = {
            m.Subscribe: self._subscribe,
            m.Demand: self._demand,
            m.Accept: self._accept,
            m.Kill: self._kill,
            m.Acknowledge: self._acknowledge,
            m.Relaunch: lambda event: None,
            Say: self._say,
            Change: lambda event: self._offer_all(),
            Ask: lambda event: self.send(event.framework, event.message),
        }
        handlers[type(event)](event)
        commands, self._commands = self._commands, []
        return commands

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        return {}

    def restore(self, image: dict[str, Any]) -> None:
        return

    def check(self) -> None:
        for row, total in enumerate(self.total):
            held = [0] * R
            for instance in self.instances.values():
                if instance["agent"] == row and instance["state"] < FIRST_TERMINAL:
                    held = [a + b for a, b in zip(held, instance["request"], strict=True)]
            assert [a + b for a, b in zip(held, self.free[row], strict=True)] == total

    # ---- what tests make happen ----------------------------------------------------------------------------------

    def of(self, framework: str, *states: State) -> list[int]:
        """Ids of a framework's instances in these states (any, without), ascending."""
        return sorted(
            each
            for each, row in self.instances.items()
            if row["of"] == framework and (not states or row["state"] in states)
        )

    # ---- handlers ------------------------------------------------------------------------------------------------

    def _subscribe(self, event: m.Subscribe) -> None:
        number = self.numbers.setdefault(event.framework, len(self.numbers) + 1)
        self._changed[event.framework] = None
        self.demands.pop(event.framework, None)
        ids = self.of(event.framework)
        self.send(event.framework, m.Subscribed(number, 1, **self._columns(ids)))

    def _demand(self, event: m.Demand) -> None:
        assert len(event.group) == len(event.requests) == len(event.counts) == len(event.gangs) == len(event.priorities)
        assert np.all(event.counts > 0) and event.requests.shape == (len(event.counts), R)
        assert len(event.group) == 0 or event.group.max() < len(event.groups)
        self.demands[event.framework] = event
        self._offer(event.framework)

    def _offer_all(self) -> None:
        for framework in self.demands:
            self._offer(framework)

    def _offer(self, framework: str) -> None:
        demand = self.demands[framework]
        if len(demand.counts) == 0:
            return
        changed = self._changed[framework]
        self._changed[framework] = set()
        self._generation += 1
        room = np.array(self.free, dtype=np.int64).reshape(-1, R).sum(axis=0)
        groups = sorted(demand.groups)
        self.send(
            framework,
            m.OfferBatch(
                generation=self._generation,
                full=changed is None,
                changed=np.array(sorted(changed or ()), dtype=np.int32),
                free=np.array(self.free, dtype=np.int32).reshape(-1, R),
                total=np.array(self.total, dtype=np.int32).reshape(-1, R),
                usable=np.array(self.usable, dtype=np.uint8),
                sessions=np.array(self.sessions, dtype=np.int64),
                attributes=self.attributes,
                names=[f"a{row}" for row in range(len(self.free))],
                groups=groups,
                headroom=np.tile(room, (len(groups), 1)),
            ),
        )

    def _accept(self, event: m.Accept) -> None:
        k = len(event.ids)
        columns = (event.attempts, event.agents, event.sessions, event.shape, event.gangs, event.group)
        assert all(len(column) == k for column in columns) and len(event.priorities) == k
        assert len(set(event.ids.tolist())) == k
        payload = event.payload
        assert len(payload.template) == len(payload.index) == len(payload.job) == len(payload.env_off) - 1 == k
        assert sorted(payload.templates) == sorted(set(payload.template.tolist()))
        assert payload.env_off[-1] == len(payload.env_blob) and payload.env_off[0] == 0
        verdicts = [self._commit(event, row) for row in range(k)]
        broken = {int(event.gangs[row]) for row in range(k) if verdicts[row] and event.gangs[row] >= 0}
        verdicts = [4 if event.gangs[row] in broken else verdict for row, verdict in enumerate(verdicts)]
        for row in range(k):
            if not verdicts[row]:
                self._launch(event, row)
        self.payloads.append(payload)
        self.send(
            event.framework,
            m.AcceptResult(event.framework, event.ids, event.attempts, np.array(verdicts, dtype=np.uint8)),
        )

    def _commit(self, event: m.Accept, row: int) -> int:
        agent = int(event.agents[row])
        request = event.requests[event.shape[row]].tolist()
        held = self.instances.get(int(event.ids[row]))
        assert held is None, f"{event.ids[row]} is accepted while it is {held}"
        assert event.sessions[row] == self.sessions[agent] and self.usable[agent]
        taken = [0] * R
        for other in range(row):
            if event.agents[other] == agent:
                taken = [a + b for a, b in zip(taken, event.requests[event.shape[other]].tolist(), strict=True)]
        assert all(a + b <= c for a, b, c in zip(request, taken, self.free[agent], strict=True)), "overcommitted"
        return 16 if self.refuse(int(event.ids[row])) else 0

    def _launch(self, event: m.Accept, row: int) -> None:
        agent, request = int(event.agents[row]), event.requests[event.shape[row]].tolist()
        self.free[agent] = [a - b for a, b in zip(self.free[agent], request, strict=True)]
        self.instances[int(event.ids[row])] = {
            "of": event.framework, "attempt": int(event.attempts[row]), "agent": agent, "state": State.STAGING,
            "exit_code": NO_EXIT_CODE, "reason": Reason.NONE, "started_ms": 0, "changed_ms": self.now_ms,
            "request": request, "gang": int(event.gangs[row]), "index": int(event.payload.index[row]),
            "priority": int(event.priorities[row]), "group": event.groups[event.group[row]],
        }  # fmt: skip
        self.launches.append((int(event.ids[row]), int(event.attempts[row]), agent))
        self._touch(agent)

    def _kill(self, event: m.Kill) -> None:
        ids = [each for each in event.ids.tolist() if each in self.instances]
        ids = [each for each in ids if ALLOWED[self.instances[each]["state"], State.KILLING]]
        for each, reason in zip(event.ids.tolist(), event.reasons.tolist(), strict=True):
            if each in self.instances:
                self.instances[each]["stop"] = reason
        self._tell(ids, State.KILLING)

    def _acknowledge(self, event: m.Acknowledge) -> None:
        for each, attempt in zip(event.ids.tolist(), event.attempts.tolist(), strict=True):
            row = self.instances.get(each)
            if row is not None and row["attempt"] == attempt and row["state"] >= FIRST_TERMINAL:
                del self.instances[each]

    def _say(self, event: Say) -> None:
        self._tell(event.ids, event.state, event.exit_codes, event.reason, event.started_ms, event.details)
        self._offer_all()

    def _tell(
        self,
        ids: Sequence[int],
        state: State,
        exit_codes: Sequence[int] | int = NO_EXIT_CODE,
        reason: Reason = Reason.NONE,
        started_ms: int | None = None,
        details: dict[int, dict[str, Any]] | None = None,
    ) -> None:
        codes = [exit_codes] * len(ids) if isinstance(exit_codes, int) else list(exit_codes)
        by_framework: dict[str, list[int]] = {}
        for each, code in zip(ids, codes, strict=True):
            row = self.instances[each]
            assert ALLOWED[row["state"], state] or row["state"] == state, (row["state"], state)
            if state >= FIRST_TERMINAL and row["state"] < FIRST_TERMINAL:
                agent = row["agent"]
                self.free[agent] = [a + b for a, b in zip(self.free[agent], row["request"], strict=True)]
                self._touch(agent)
            row.update(state=state, exit_code=code, reason=reason, changed_ms=self.now_ms)
            if started_ms is not None:
                row["started_ms"] = started_ms
            elif state == State.RUNNING and not row["started_ms"]:
                row["started_ms"] = self.now_ms
            by_framework.setdefault(row["of"], []).append(each)
        for framework, theirs in by_framework.items():
            picked = {each: details[each] for each in theirs if each in details} if details else {}
            self.send(framework, m.InstanceUpdates(**self._columns(theirs), details=picked))

    def _touch(self, agent: int) -> None:
        for changed in self._changed.values():
            if changed is not None:
                changed.add(agent)

    def _columns(self, ids: Sequence[int]) -> dict[str, Any]:
        rows = [self.instances[each] for each in ids]

        def column(name: str, dtype: type) -> Any:
            return np.array([row[name] for row in rows], dtype=dtype)

        return {
            "ids": np.array(ids, dtype=np.int64),
            "attempts": column("attempt", np.int32),
            "states": column("state", np.uint8),
            "exit_codes": column("exit_code", np.int16),
            "reasons": column("reason", np.uint8),
            "agents": column("agent", np.int32),
            "started_ms": column("started_ms", np.int64),
            "changed_ms": column("changed_ms", np.int64),
        }


class Say:
    """An event for the plain master: these instances are in this state now."""

    def __init__(
        self,
        ids: Iterable[int],
        state: State,
        exit_codes: Sequence[int] | int = NO_EXIT_CODE,
        reason: Reason = Reason.NONE,
        started_ms: int | None = None,
        details: dict[int, dict[str, Any]] | None = None,
    ) -> None:
        self.ids, self.state, self.exit_codes, self.reason = list(ids), state, exit_codes, reason
        self.started_ms, self.details = started_ms, details


class Change:
    """An event for the plain master: its agents have changed, offer again."""


class Ask:
    """An event for the plain master: send this message to a framework."""

    def __init__(self, framework: str, message: Any) -> None:
        self.framework, self.message = framework, message


class Rig:
    """A host with a plain master and one framework; a follower beside it; a clock."""

    def __init__(
        self, make: Callable[[], Machine], agents: Sequence[Sequence[int]] = (), start_ms: int = 1_000_000
    ) -> None:
        self.make = make
        self.master = PlainMaster(agents)
        self.now_ms = start_ms
        self.records: list[Record] = []
        self.replies: dict[str, Reply] = {}
        self.requests = 0
        self.machine = make()
        self.host = Host([self.master, self.machine])
        self.follower = Host([make()])
        self.host.start(self.now_ms)
        self.settle()

    def send(self, event: Any, to: str | None = None) -> None:
        """One event to the framework (or the master)."""
        self.host.handle(self.now_ms, to or self.machine.name, event)
        self.settle()

    def say(
        self, ids: Iterable[int], state: State, exit_codes: Sequence[int] | int = NO_EXIT_CODE, **more: Any
    ) -> None:
        """The master learns a new state of instances, and tells."""
        self.send(Say(ids, state, exit_codes, **more), "master")

    def ask(self, kind: type, **fields: Any) -> Any:
        """One request; its body, or AssertionError with the error body in it."""
        reply = self.request(kind, **fields)
        assert reply.error is None, reply.error
        return reply.body

    def refused(self, kind: type, **fields: Any) -> dict[str, Any]:
        """One request that is refused; the error body."""
        reply = self.request(kind, **fields)
        assert reply.error is not None, reply.body
        return reply.error

    def request(self, kind: type, **fields: Any) -> Reply:
        self.requests += 1
        request = f"r{self.requests}"
        self.send(kind(**{"request": request, "key": "", "user": "ada", "at_ms": self.now_ms, **fields}))
        return self.replies.pop(request)

    def wait(self, ms: int) -> None:
        """Move the clock, waking the machines whenever they ask for it."""
        end = self.now_ms + ms
        for _ in range(10_000):
            wake = self.host.wake_ms()
            if wake is None or wake > end:
                break
            self.now_ms = max(self.now_ms, wake)
            self.host.tick(self.now_ms)
            self.settle()
        else:
            raise AssertionError("the machine wants to be woken without end")
        self.now_ms = end

    def settle(self) -> None:
        """Take what came out; all of it is durable at once. The follower gets it through the codec."""
        records = [decode(encode(record)) for record in self.host.take_records()]
        self.records += records
        for record in records:
            self.follower.replay(record)
        self.host.durable(self.host.index)
        for outgoing in self.host.take_commands():
            assert isinstance(outgoing.command, Reply), outgoing
            self.replies[outgoing.command.request] = outgoing.command
        self.host.check()

    def facts(self, kind: type) -> list[Any]:
        """All facts of a kind so far, oldest first."""
        return [fact for record in self.records for _, fact in record.facts if type(fact) is kind]

    def restart(self, keep_records: bool = False) -> None:
        """The process dies: a new machine from the snapshot (or from all records) subscribes again."""
        image = decode(encode(self.machine.snapshot()))
        self.machine = self.make()
        if keep_records:
            for record in self.records:
                for _, fact in [] if record.soft else record.facts:
                    self.machine.apply(fact)
        else:
            self.machine.restore(image)
        self.host = Host([self.master, self.machine], index=self.host.index)
        self.host.start(self.now_ms)
        self.settle()

    def same(self) -> None:
        """The follower, and a machine restored from a snapshot, know what the live one knows."""
        live = encode(self.machine.snapshot(soft=True))
        follower = self.follower.machines[self.machine.name]
        assert encode(follower.snapshot(soft=True)) == live
        follower.check()
        other = self.make()
        other.restore(decode(live))
        assert encode(other.snapshot(soft=True)) == live
        other.check()
