"""What the master decides and keeps: its facts. The soft ones, at the end, are shown to followers and not kept.

Columns of one fact have one length k. Soft facts change other columns than durable ones, and find their rows by
(instance, attempt), so that their order against the durable facts of one event does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orch.model.codec import record, upgrade
from orch.model.messages import EMPTY_I64, I16, I32, I64, U8


@record("master.epoch")
@dataclass(frozen=True)
class EpochBegan:
    """A master starts: what an earlier one heard from agents (their states, STARTING, details) is forgotten."""

    epoch: int


@record("master.framework")
@dataclass(frozen=True)
class FrameworkAdded:
    """A framework subscribed for the first time; `number` is in the ids of all its instances."""

    name: str
    number: int


@record("master.registered")
@dataclass(frozen=True)
class AgentRegistered:
    """An agent is let in at `row` of the table under a new session. `total int32[R]`."""

    row: int
    agent: str
    nonce: str
    session: int
    total: I32
    attributes: dict[str, str]


@record("master.fleet")
@dataclass(frozen=True)
class FleetRegistered:
    """The agents of a fleet are let in under one session. rows int32[n], totals int32[n, R]; see `FleetRegister`."""

    fleet: str
    rows: I32
    agents: list[str]
    nonce: str
    session: int
    totals: I32
    attributes: dict[str, str]


@record("master.drained")
@dataclass(frozen=True)
class AgentDrained:
    """An administrator wants the agent offered no more (`drained`), or again."""

    row: int
    drained: bool


@record("master.removed")
@dataclass(frozen=True)
class AgentRemoved:
    """The agent is gone for good. Its row is used again once no instance refers to it."""

    row: int


@record("master.launched", 2)
@dataclass(frozen=True)
class Launched:
    """Accepted rows that passed the commit. shape int32[k] indexes requests int32[S, R], group int32[k] indexes
    groups. durations int64[S], or empty (none): ms that a pod of each shape runs at most, 0: nobody knows.
    """

    framework: int
    at_ms: int
    ids: I64
    attempts: I32
    agents: I32
    shape: I32
    requests: I32
    groups: list[str]
    group: I32
    priorities: I32
    durations: I64 = field(default_factory=lambda: EMPTY_I64)


upgrade("master.launched", 1)(lambda fields: [*fields, EMPTY_I64])


@record("master.changed")
@dataclass(frozen=True)
class StatesChanged:
    """New states: RUNNING, UNREACHABLE, or an end. What they hold goes back to the agent at an end."""

    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64


@record("master.stopping")
@dataclass(frozen=True)
class StopWanted:
    """A framework wants these stopped. Until they end, the agent is told again whenever it reconciles."""

    at_ms: int
    ids: I64
    attempts: I32
    reasons: U8
    grace_ms: int


@record("master.preempted")
@dataclass(frozen=True)
class Preempted:
    """Pods of lower priority give way to some that were launched just now, which wait until they are gone.

    held int64[h]: those that wait. ids int64[k], attempts int32[k]: those that are stopped; by int64[k]: for which one.
    """

    at_ms: int
    held: I64
    ids: I64
    attempts: I32
    by: I64


@record("master.unheld")
@dataclass(frozen=True)
class Unheld:
    """There is room for these (instance) now: they wait no more, and are sent to their agents."""

    ids: I64


@record("master.forgotten")
@dataclass(frozen=True)
class Forgotten:
    """Ends that the framework has acknowledged: their rows go."""

    ids: I64
    attempts: I32


# ---- soft ------------------------------------------------------------------------------------------------------


@record("master.holds")
@dataclass(frozen=True)
class HoldsSeen:
    """What is held for gangs that wait, the oldest first, and on which agents.

    holds: `{framework, group, request, gang, priority, since_ms, pods, agents, until_ms}` each; so many pods of its
    gang have room on so many agents; until_ms: it could start then, 0: nobody knows. agents int32[n], amounts
    int32[n, R]: what is held on them in all.
    """

    holds: list[dict[str, Any]]
    agents: I32
    amounts: I32


@record("master.starting")
@dataclass(frozen=True)
class StartingSeen:
    """The agent has begun to start these STAGING instances."""

    ids: I64
    attempts: I32


@record("master.details")
@dataclass(frozen=True)
class DetailsSeen:
    """Endpoints, containers and health of instances, as in `UpdateBatch.details`; replaces what was known."""

    ids: I64
    attempts: I32
    details: list[dict[str, Any]]


@record("master.agents")
@dataclass(frozen=True)
class AgentStatesSeen:
    """New `AgentState`s: rows int32[k], states uint8[k]."""

    rows: I32
    states: U8


@record("master.usage")
@dataclass(frozen=True)
class UsageSeen:
    """What an agent's machine really uses: `{"cpus": .., "mem": MiB, "disk": MiB}`."""

    row: int
    usage: dict[str, float]
