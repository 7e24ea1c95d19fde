"""The table of agents: a row is an agent's number everywhere, until it is gone and nothing refers to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.model.columns import Table, distinct
from orch.model.facts_master import AgentDrained, AgentRegistered, AgentRemoved, AgentStatesSeen, UsageSeen
from orch.model.resources import R
from orch.model.states import AGENT_WAYS, AgentState
from orch.placement import DRAINING

if TYPE_CHECKING:
    from orch.master.master import Master

Rows = NDArray[np.int64]

_DURABLE = ("session", "total", "drained", "removed")

CONNECTED = (AgentState.REGISTERING, AgentState.READY, AgentState.DRAINING)
"""States of an agent that this master hears."""


class Agents:
    """Columns of N rows, and beside them lists of what is not a number.

    Kept: session int64, total int32[R], drained uint8 (an administrator wants it), removed uint8 (gone, row still
    used).
    Shown: state uint8. Derived: usable uint8 (1: READY, 2: DRAINING), free and debt int32[R], instances int32 (its rows
    of the table).
    free - debt + what its instances hold = total; a debt is what they hold beyond a total that has become smaller, or
    while some of them wait until others have ended (`preemption`).
    Of this master only: version int64 (`generation` at the last change), named int64 (that of the last change of total,
    name or attributes), heard_ms, silent_ms (when it became
    UNREACHABLE), the numbers of the link, and whose link it is: lead int32 (a row; its own, or of the first agent of
    its fleet), place int32 in the fleet.
    """

    def __init__(self) -> None:
        self.table = Table(
            {
                "session": np.int64,
                "total": (np.int32, (R,)),
                "drained": np.uint8,
                "removed": np.uint8,
                "state": np.uint8,
                "usable": np.uint8,
                "free": (np.int32, (R,)),
                "debt": (np.int32, (R,)),
                "instances": np.int32,
                "version": np.int64,
                "named": np.int64,
                "heard_ms": np.int64,
                "silent_ms": np.int64,
                "usage_ms": np.int64,
                "in_seq": np.int64,
                "out_seq": np.int64,
                "lag_seq": np.int64,
                "asked_ms": np.int64,
                "lead": np.int32,
                "place": np.int32,
            }
        )
        self.names: list[str] = []
        self.nonces: list[str] = []
        self.attributes: list[dict[str, str]] = []
        self.usage: list[dict[str, float]] = []
        self.by_name: dict[str, int] = {}
        self.session_floor = 0
        """No removed agent had a higher session: new rows start above it, so that old messages stay old."""
        self.generation = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.table[name]

    def lengthen(self) -> None:
        """The table has grown: so do the lists beside it."""
        more = self.table.length - len(self.names)
        self.names += [""] * more
        self.nonces += [""] * more
        self.attributes += [{} for _ in range(more)]
        self.usage += [{} for _ in range(more)]

    def touch(self, rows: NDArray[Any]) -> None:
        """Remember that these rows changed in what frameworks see of them."""
        self.generation += 1
        self["version"][rows] = self.generation

    def rename(self, rows: NDArray[Any]) -> None:
        """Remember that these rows changed, and that total, name or attributes may be others."""
        self.touch(rows)
        self["named"][rows] = self.generation

    def present(self) -> Rows:
        """Rows of agents that are not removed, ascending."""
        rows = self.table.rows()
        present: Rows = rows[self["removed"][rows] == 0]
        return present

    def snapshot(self, soft: bool) -> dict[str, Any]:
        """Kept columns; with `soft`, states and usage too."""
        image = {
            "table": self.table.to_dict((*_DURABLE, "state") if soft else _DURABLE),
            "names": list(self.names),
            "nonces": list(self.nonces),
            "attributes": list(self.attributes),
            "session_floor": self.session_floor,
        }
        return {**image, "usage": list(self.usage)} if soft else image

    def restore(self, image: dict[str, Any]) -> None:
        """Become a snapshot, but for what is derived."""
        self.table.restore(image["table"])
        self.names, self.nonces = list(image["names"]), list(image["nonces"])
        self.attributes = list(image["attributes"])
        self.usage = list(image.get("usage") or [{} for _ in self.names])
        self.session_floor = int(image["session_floor"])
        self.by_name = {self.names[row]: row for row in self.present().tolist()}
        self["usable"][:] = usable(self["state"])
        self["lead"][:] = np.arange(self.table.length, dtype=np.int32)

    def forget_states(self) -> None:
        """A new master has heard of nobody."""
        self["state"][:] = AgentState.ABSENT
        self["usable"][:] = 0
        self.usage = [{} for _ in self.names]

    def free_rows(self, rows: NDArray[Any]) -> None:
        """Give back those of the rows that are removed and that no instance refers to."""
        gone = rows[(self["removed"][rows] == 1) & (self["instances"][rows] == 0)]
        if len(gone):
            gone = np.unique(gone).astype(np.int64)
            self.table.remove(gone)
            self.rename(gone)


def usable(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[k], as placement takes it: 1: READY, 2: keeps what it runs and takes no more, 0: not to be used."""
    found: NDArray[np.uint8] = (states == AgentState.READY) + np.uint8(DRAINING) * (states == AgentState.DRAINING)
    return found


def registered(m: Master, fact: AgentRegistered) -> None:
    """An agent at its row, new or again; its free resources follow its total."""
    agents = m.agents
    if fact.agent not in agents.by_name:
        row = int(agents.table.add(1)[0])
        assert row == fact.row, f"agent {fact.agent} got row {row}, and {fact.row} when it was decided"
        agents.lengthen()
        agents["lead"][row] = row
        agents.names[row], agents.usage[row] = fact.agent, {}
        agents.by_name[fact.agent] = row
    agents.nonces[fact.row], agents.attributes[fact.row] = fact.nonce, fact.attributes
    agents["session"][fact.row] = fact.session
    _alone(m, fact.row)
    m.ledger.resize(np.array([fact.row], dtype=np.int64), fact.total[None, :])


def _alone(m: Master, row: int) -> None:
    """An agent is of no fleet (any more); the fleet that it was of is over."""
    m.fleets.end(int(m.agents["lead"][row]))
    m.agents["lead"][row] = row


def drained(m: Master, fact: AgentDrained) -> None:
    """What an administrator wants of an agent."""
    m.agents["drained"][fact.row] = fact.drained


def removed(m: Master, fact: AgentRemoved) -> None:
    """The name is free at once, the row when no instance refers to it."""
    agents, row = m.agents, fact.row
    del agents.by_name[agents.names[row]]
    agents.names[row], agents.nonces[row], agents.attributes[row], agents.usage[row] = "", "", {}, {}
    agents.session_floor = max(agents.session_floor, int(agents["session"][row]))
    agents["removed"][row], agents["state"][row], agents["usable"][row] = 1, AgentState.REMOVED, 0
    agents["session"][row] = 0
    _alone(m, row)
    m.ledger.resize(np.array([row], dtype=np.int64), np.zeros((1, R), dtype=np.int32))
    agents.free_rows(np.array([row], dtype=np.int64))


def states_seen(m: Master, fact: AgentStatesSeen) -> None:
    """New states of agents that are still there; offers follow them."""
    agents = m.agents
    there = agents["session"][fact.rows] > 0
    rows, states = fact.rows[there], fact.states[there]
    agents["state"][rows] = states
    agents["usable"][rows] = usable(states)
    agents.touch(rows)


def usage_seen(m: Master, fact: UsageSeen) -> None:
    """What an agent's machine really uses."""
    if m.agents["session"][fact.row] > 0:
        m.agents.usage[fact.row] = fact.usage


def become(m: Master, rows: NDArray[Any], state: AgentState) -> None:
    """Within an event: bring agents into a state, and tell followers."""
    for old in distinct(m.agents["state"][rows]).tolist():
        known = AgentState(old)
        assert state == known or state in AGENT_WAYS[known], f"an agent went from {known.name} to {state.name}"
    m.publish(AgentStatesSeen(rows.astype(np.int32), np.full(len(rows), state, dtype=np.uint8)))
