"""The table of instances that were launched and whose end is not acknowledged yet: who runs what, where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.model.columns import IdIndex, Table, as_slice, tally
from orch.model.facts_master import DetailsSeen, Forgotten, Launched, StartingSeen, StatesChanged, StopWanted
from orch.model.messages import I32, I64, Accept, InstanceUpdates
from orch.model.reasons import NO_EXIT_CODE
from orch.model.resources import R
from orch.model.states import FIRST_TERMINAL, State

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]

_DURABLE = (
    *("id", "attempt", "agent", "framework", "state", "request", "group", "priority", "exit_code", "reason"),
    *("stopping", "stop_reason", "grace_ms", "limit_ms", "started_ms", "changed_ms"),
)


class Instances:
    """Columns of M rows; the same id may come again, with a higher attempt, once its row is gone.

    Kept: id int64, attempt, agent, framework, group (number in the tree), priority, grace_ms int32, state, reason,
    stop_reason, stopping (somebody wants it stopped) uint8, exit_code int16, request int32[R], limit_ms int32 (it runs
    no longer, 0: nobody knows), started_ms, changed_ms int64. Shown: starting uint8 (a STAGING one that the agent has
    begun with), `details` by id.
    Of this master only: launch_seq int64 (number of its launch on the link, 0: of an earlier session), resend uint8
    (the agent lacks it).
    """

    def __init__(self) -> None:
        self.table = Table(
            {
                "id": np.int64,
                "attempt": np.int32,
                "agent": np.int32,
                "framework": np.int32,
                "state": np.uint8,
                "request": (np.int32, (R,)),
                "group": np.int32,
                "priority": np.int32,
                "exit_code": np.int16,
                "reason": np.uint8,
                "stopping": np.uint8,
                "stop_reason": np.uint8,
                "grace_ms": np.int32,
                "limit_ms": np.int32,
                "started_ms": np.int64,
                "changed_ms": np.int64,
                "starting": np.uint8,
                "launch_seq": np.int64,
                "resend": np.uint8,
            }
        )
        self.table.remove(self.table.add(1))  # a free row, so that row -1 (not there) can be looked up at any time
        self.index = IdIndex()
        self.details: dict[int, dict[str, Any]] = {}
        self.lowest: int | None = None
        """No live row has a lower priority than this; None: there was none yet. Of this master only."""

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.table[name]

    def find(self, ids: I64, attempts: I32) -> Rows:
        """int64[k] rows, -1 where this attempt of the instance is not there."""
        rows = self.index.find(ids)
        return np.where(self["attempt"][as_slice(rows)] == attempts, rows, -1)

    def shown(self, rows: Rows) -> NDArray[np.uint8]:
        """uint8[k]: states as everybody else sees them: STARTING is not kept, and stands beside STAGING."""
        where = as_slice(rows)
        state = self["state"][where]
        begun = (state == State.STAGING) & (self["starting"][where] == 1)
        shown: NDArray[np.uint8] = np.where(begun, np.uint8(State.STARTING), state)
        return shown

    def holding(self) -> Rows:
        """Rows that hold resources: all that have not ended."""
        rows = self.table.rows()
        held: Rows = rows[self["state"][rows] < FIRST_TERMINAL]
        return held

    def on_agents(self, agents: NDArray[Any]) -> Rows:
        """Rows that have not ended on any of these agents, ascending."""
        rows = self.holding()
        there: Rows = rows[np.isin(self["agent"][rows], agents)]
        return there

    def of_framework(self, framework: int) -> Rows:
        """All rows of a framework, ascending. Frameworks count from 1: a row that is free has 0."""
        return np.flatnonzero(self["framework"] == framework)

    def updates(self, rows: Rows, details: dict[int, dict[str, Any]] | None = None) -> InstanceUpdates:
        """What a framework is told of these rows."""
        return InstanceUpdates(**self.told(rows), details=details or {})

    def told(self, rows: Rows) -> dict[str, Any]:
        """The columns of `InstanceUpdates` and `Subscribed`."""
        where = as_slice(rows)
        names = ("exit_code", "reason", "agent", "started_ms", "changed_ms")
        exit_codes, reasons, agents, started_ms, changed_ms = (self[name][where].copy() for name in names)
        return {
            "ids": self["id"][where].copy(),
            "attempts": self["attempt"][where].copy(),
            "states": self.shown(rows),
            "exit_codes": exit_codes,
            "reasons": reasons,
            "agents": agents,
            "started_ms": started_ms,
            "changed_ms": changed_ms,
        }

    def lower(self, priorities: I32) -> None:
        """Rows of these priorities have come."""
        if len(priorities):
            least = int(priorities.min())
            self.lowest = least if self.lowest is None else min(self.lowest, least)

    def snapshot(self, soft: bool, paths: list[str]) -> dict[str, Any]:
        """Kept columns, with the paths of the groups in use; with `soft`, what agents showed too."""
        table = self.table.to_dict((*_DURABLE, "starting") if soft else _DURABLE)
        rows = self.table.rows()
        groups, compact = np.unique(self["group"][rows], return_inverse=True)
        order = sorted(range(len(groups)), key=lambda at: paths[groups[at]])
        rank = np.zeros(len(groups), dtype=np.int32)
        rank[order] = np.arange(len(groups), dtype=np.int32)
        table["columns"]["group"][rows] = rank[compact]
        image = {"table": table, "groups": [paths[groups[at]] for at in order]}
        return {**image, "details": dict(sorted(self.details.items()))} if soft else image

    def restore(self, image: dict[str, Any], m: Master) -> None:
        """Become a snapshot; groups get the numbers of this master's tree."""
        self.table.restore(image["table"])
        rows = self.table.rows()
        numbers = np.array([m.tree.number(path) for path in image["groups"]] or [0], dtype=np.int32)
        self["group"][rows] = numbers[self["group"][rows]]
        self.index = IdIndex()
        self.index.insert(self["id"][rows], rows)
        self.lower(self["priority"][rows])
        self.details = {int(number): detail for number, detail in image.get("details", {}).items()}


def launch_of(event: Accept, rows: Rows, agents: I32, framework: int, now_ms: int) -> Launched:
    """The fact that these rows of an accept are launched, on agents int32[k]. framework: its number."""
    return Launched(
        framework=framework,
        at_ms=now_ms,
        ids=event.ids[rows],
        attempts=event.attempts[rows],
        agents=agents,
        shape=event.shape[rows],
        requests=event.requests,
        groups=event.groups,
        group=event.group[rows],
        priorities=event.priorities[rows],
        durations=event.durations,
    )


def launched(m: Master, fact: Launched) -> None:
    """New rows, STAGING. What they hold is charged, unless the commit of this very event has charged it."""
    instances, count = m.instances, len(fact.ids)
    numbers = np.array([m.tree.number(path) for path in fact.groups], dtype=np.int32)
    groups = numbers[fact.group]
    rows = instances.table.add(
        count,
        id=fact.ids,
        attempt=fact.attempts,
        agent=fact.agents,
        framework=fact.framework,
        state=State.STAGING,
        request=fact.requests[0] if len(fact.requests) == 1 else fact.requests[fact.shape],
        group=groups,
        priority=fact.priorities,
        exit_code=NO_EXIT_CODE,
        grace_ms=-1,
        limit_ms=_limits(fact.durations)[fact.shape] if fact.durations.any() else 0,
        changed_ms=fact.at_ms,
    )
    instances.index.insert(fact.ids, rows)
    instances.lower(fact.priorities)
    tally(fact.agents, m.agents["instances"])
    if m.committed is fact:
        m.committed = None
    else:
        m.ledger.charge(fact.agents, fact.shape, fact.requests, groups)


def _limits(durations: I64) -> I64:
    """Those that a column of int32 holds: of who runs for a month it is as good as unknown when it ends."""
    return np.where(durations > np.iinfo(np.int32).max, 0, durations)


def changed(m: Master, fact: StatesChanged) -> None:
    """New states; what ends gives back what it held."""
    instances = m.instances
    rows = instances.find(fact.ids, fact.attempts)
    assert len(rows) == 0 or rows.min() >= 0, "an instance changed that is not there"
    assert np.all(instances["state"][rows] < FIRST_TERMINAL), "an instance changed after its end"
    ended = rows[fact.states >= FIRST_TERMINAL]
    where = as_slice(rows)
    instances["state"][where] = fact.states
    instances["exit_code"][where] = fact.exit_codes
    instances["reason"][where] = fact.reasons
    instances["started_ms"][where] = fact.started_ms
    instances["changed_ms"][where] = fact.changed_ms
    if len(ended):
        m.ledger.release(instances["agent"][ended], instances["request"][ended], instances["group"][ended])
        m.preemptions.over(fact.ids[fact.states >= FIRST_TERMINAL])


def stop_wanted(m: Master, fact: StopWanted) -> None:
    """Somebody wants these stopped; those that an agent can be told of are KILLING."""
    instances = m.instances
    rows = instances.find(fact.ids, fact.attempts)
    instances["stopping"][rows] = 1
    instances["stop_reason"][rows] = fact.reasons
    instances["grace_ms"][rows] = fact.grace_ms
    lives = rows[instances["state"][rows] != State.UNREACHABLE]
    instances["state"][lives] = State.KILLING
    instances["changed_ms"][lives] = fact.at_ms


def forgotten(m: Master, fact: Forgotten) -> None:
    """Rows go; so does the row of a removed agent that nothing refers to any more."""
    instances = m.instances
    rows = instances.find(fact.ids, fact.attempts)
    agents = instances["agent"][rows]
    tally(agents, m.agents["instances"], -1)
    if instances.details:
        for number in fact.ids.tolist():
            instances.details.pop(number, None)
    instances.index.remove(fact.ids)
    instances.table.remove(rows)
    m.preemptions.forget(fact.ids)
    m.agents.free_rows(agents)
    if m.tree.crowded:
        held = instances["group"][instances.table.rows()]
        m.tree.prune([*np.unique(held).tolist(), *m.frameworks.groups(), *m.offers.groups()])


def starting_seen(m: Master, fact: StartingSeen) -> None:
    """Agents have begun to start these."""
    rows = m.instances.find(fact.ids, fact.attempts)
    m.instances["starting"][rows[rows >= 0]] = 1


def details_seen(m: Master, fact: DetailsSeen) -> None:
    """Endpoints, containers and health, one entry an instance; only services have them."""
    rows = m.instances.find(fact.ids, fact.attempts)
    for row, number, detail in zip(rows.tolist(), fact.ids.tolist(), fact.details, strict=True):
        if row >= 0:
            m.instances.details[number] = detail
