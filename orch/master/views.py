"""Questions about the master's tables, answered without changing them: on the master, or on a copy that follows it.

Amounts are in the users' units, as `resources.to_dict` has them; states are names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from orch.allocator import SCALE, shares
from orch.model import resources
from orch.model.messages import I32, I64, U8
from orch.model.reasons import Reason
from orch.model.states import FIRST_TERMINAL, AgentState, State

if TYPE_CHECKING:
    from orch.master.master import Master


@dataclass(frozen=True, slots=True, eq=False)
class AgentColumns:
    """What placement needs of all agents: N rows, of which those with a total of 0 are nobody.

    free, total int32[N, R]; usable uint8[N], 2 = draining; names and attributes by row. Views: read at once, do
    not keep.
    """

    free: I32
    total: I32
    usable: U8
    names: list[str]
    attributes: list[dict[str, str]]


def columns(m: Master) -> AgentColumns:
    """The agents as `placement.explain` takes them."""
    agents = m.agents
    return AgentColumns(agents["free"], agents["total"], agents["usable"], agents.names, agents.attributes)


def agents(m: Master, offset: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    """Agents that are not gone, by name; all, or a page of them.

    `{name, row, state, session, drained, total, free, used, attributes, usage, instances, states}`; `instances` counts
    those that have not ended, `states` by state. `debt` is there where they hold more than a total that became smaller.
    """
    counts = _states_by_agent(m)
    stop = None if limit is None else offset + limit
    return [_agent(m, row, counts[row]) for _, row in sorted(m.agents.by_name.items())[offset:stop]]


def are_ready(m: Master, names: Sequence[str]) -> bool:
    """Whether there are agents of all these names, and all are READY."""
    usable, by_name = m.agents["usable"] == 1, m.agents.by_name
    if np.count_nonzero(usable) < len(names):
        return False
    rows = np.array([by_name.get(name, -1) for name in names], dtype=np.int64)
    return bool((rows >= 0).all() and usable[rows].all())


def agent(m: Master, name: str) -> dict[str, Any] | None:
    """One of `agents`; None if there is none of this name."""
    row = m.agents.by_name.get(name)
    return None if row is None else _agent(m, row, _states_by_agent(m)[row])


def agent_name(m: Master, row: int) -> str:
    """The name of the agent at a row; empty if it is gone."""
    return m.agents.names[row] if 0 <= row < len(m.agents.names) else ""


def counts(m: Master, framework: str | None = None) -> dict[str, int]:
    """How many instances are in which state, of one framework or of all; states without any are left out."""
    table = m.instances
    known = m.frameworks.by_name.get(framework) if framework is not None else None
    if framework is not None and known is None:
        return {}
    rows = table.table.rows() if known is None else table.of_framework(known.number)
    return _named(np.bincount(table.shown(rows), minlength=len(State)))


def instance(m: Master, number: int) -> dict[str, Any] | None:
    """One instance; None if it was not launched, or its end is acknowledged.

    `{id, attempt, agent, framework, state, reason, exit_code, group, priority, started_ms, changed_ms, stopping}`, and
    `details` where its agent gave some; `waits_for`, ids of pods that give way to it and have not ended;
    `gives_way_to`, the id of the pod that takes its place.
    """
    table = m.instances
    row = int(table.index.find(np.array([number], dtype=np.int64))[0])
    if row < 0:
        return None
    here = np.array([row], dtype=np.int64)
    found = {
        "id": number,
        "attempt": int(table["attempt"][row]),
        "agent": agent_name(m, int(table["agent"][row])),
        "framework": m.frameworks.numbered(int(table["framework"][row])).name,
        "state": State(int(table.shown(here)[0])).name,
        "reason": Reason(int(table["reason"][row])).name,
        "exit_code": int(table["exit_code"][row]),
        "group": m.tree.paths[int(table["group"][row])],
        "priority": int(table["priority"][row]),
        "started_ms": int(table["started_ms"][row]),
        "changed_ms": int(table["changed_ms"][row]),
        "stopping": bool(table["stopping"][row]),
    }
    if number in table.details:
        found["details"] = table.details[number]
    return {**found, **_preemption(m, number)}


def _preemption(m: Master, number: int) -> dict[str, Any]:
    kept, table = m.preemptions, m.instances
    found: dict[str, Any] = {}
    if kept.is_held(np.array([number], dtype=np.int64))[0]:
        victims = kept.victims_of(number)
        live = table["state"][table.index.find(victims)] < FIRST_TERMINAL
        found["waits_for"] = victims[live].tolist()
    taker = kept.taker(number)
    return found if taker is None else {**found, "gives_way_to": taker}


def instances_on(m: Master, agent: str) -> tuple[I64, U8]:
    """(ids int64[k], states uint8[k]) of what an agent has and the master has not forgotten; empty for no agent."""
    table = m.instances
    rows = table.table.rows()
    rows = rows[table["agent"][rows] == m.agents.by_name.get(agent, -1)]
    return table["id"][rows], table.shown(rows)


def frameworks(m: Master) -> list[dict[str, Any]]:
    """`{name, number, hosted, instances, states}` of each framework that ever subscribed, by number."""
    return [
        {
            "name": one.name,
            "number": one.number,
            "hosted": one.hosted,
            "states": states,
            "instances": sum(states.values()),
        }
        for one in m.frameworks.by_name.values()
        for states in [counts(m, one.name)]
    ]


def groups(m: Master) -> list[dict[str, Any]]:
    """`{path, weight, used, share}` of each group in use, by path; `share`: dominant share over weight, 0 to 1."""
    tree = m.tree
    share = shares(tree["used"], tree["weight"], m.ledger.total)
    rows = sorted((tree.paths[number], number) for number in np.flatnonzero(tree["used"].any(axis=1)).tolist())
    return [
        {
            "path": path,
            "weight": int(tree["weight"][number]),
            "used": resources.to_dict(tree["used"][number].tolist()),
            "share": round(int(share[number]) / SCALE, 6),
        }
        for path, number in rows
    ]


def free(m: Master) -> I64:
    """int64[R]: what is free on the agents that are offered."""
    usable = m.agents["usable"] == 1
    amounts: I64 = m.agents["free"].sum(axis=0, dtype=np.int64, where=usable[:, None])
    return amounts


def headroom(m: Master, group: str) -> I64:
    """int64[R]: the most that a group may take now if nobody else wants anything: what is free, within every limit."""
    amounts, number = free(m), m.tree.find(group)
    room = m.tree.room()
    for above in m.tree.lineage(number) if number >= 0 else []:
        amounts = np.minimum(amounts, room[above])
    return amounts


def summary(m: Master) -> dict[str, Any]:
    """The cluster in a few numbers: `{epoch, agents: {state: n}, total, free}`; of instances, see `counts`."""
    states = np.bincount(m.agents["state"][m.agents.present()], minlength=len(AgentState)).tolist()
    return {
        "epoch": m.epoch,
        "agents": {AgentState(state).name: count for state, count in enumerate(states) if count},
        "total": resources.to_dict(m.ledger.total.tolist()),
        "free": resources.to_dict(free(m).tolist()),
    }


def _agent(m: Master, row: int, states: NDArray[np.int64]) -> dict[str, Any]:
    table = m.agents
    amounts = {name: table[name][row].astype(np.int64) for name in ("total", "free", "debt")}
    used = amounts["total"] - amounts["free"] + amounts["debt"]
    found = {
        "name": table.names[row],
        "row": row,
        "state": AgentState(int(table["state"][row])).name,
        "session": int(table["session"][row]),
        "drained": bool(table["drained"][row]),
        "total": resources.to_dict(amounts["total"].tolist()),
        "free": resources.to_dict(amounts["free"].tolist()),
        "used": resources.to_dict(used.tolist()),
        "attributes": dict(table.attributes[row]),
        "usage": dict(table.usage[row]),
        "instances": int(states[: State.FINISHED].sum()),
        "states": _named(states),
    }
    return {**found, "debt": resources.to_dict(amounts["debt"].tolist())} if amounts["debt"].any() else found


def _states_by_agent(m: Master) -> NDArray[np.int64]:
    """int64[N, states]: how many instances of each agent are in which state."""
    table, width = m.instances, len(State)
    rows = table.table.rows()
    cells = table["agent"][rows].astype(np.int64) * width + table.shown(rows)
    return np.bincount(cells, minlength=m.agents.table.length * width).reshape(-1, width)


def _named(by_state: NDArray[np.int64]) -> dict[str, int]:
    return {State(state).name: count for state, count in enumerate(by_state.tolist()) if count}
