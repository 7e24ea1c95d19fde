"""What master, agents and frameworks say to each other: batches of columns.

Three numbers fence everything: the master's `epoch` (+1 at each start), the agent's `session` (+1 at each
registration),
the instance's `attempt` (+1 at each launch decision). Messages on the link between master and one agent carry a
`seq` that
counts from 1 in each session and direction; a gap means that something was lost, and an image is asked for.

Columns of one message have one length k: `ids int64[k]`, `attempts int32[k]`, `states uint8[k]`, `exit_codes int16[k]`,
`reasons uint8[k]`, times `int64[k]` in ms since 1970 by the agent's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.codec import record, upgrade

I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
U8 = NDArray[np.uint8]

# ---- agent -> master -------------------------------------------------------------------------------------------


@record("register")
@dataclass(frozen=True)
class Register:
    """An agent asks to be let in: at its start, after a restart of the master, and when it was told that its
    session is old.

    `total int32[R]`. `attributes`: plain strings (`hostname`, `zone`, `region`, `tier`, ...). `nonce` names this
    start of the supervisor: a doubled message with the same nonce gets the same session.
    """

    agent: str
    nonce: str
    total: I32
    attributes: dict[str, str]


@record("fleet-register")
@dataclass(frozen=True)
class FleetRegister:
    """A fleet asks to be let in: n agents behind one line, which from then on say under its name what one says alone.

    `names`: of its agents, by place; `totals int32[n, R]`. `attributes` are those of all of them, beside each one's
    `hostname`, which is its name. Answered by one `Registered` for the fleet; all its agents share that session.
    """

    fleet: str
    nonce: str
    names: list[str]
    totals: I32
    attributes: dict[str, str]


@record("image")
@dataclass(frozen=True)
class Image:
    """Everything an agent has: what runs, and what ended and was not acknowledged. Answers `Registered` and
    `ImageRequest`.
    """

    agent: str
    session: int
    epoch: int
    received_seq: int
    """The last seq of the master's that it has taken in this session."""
    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64
    details: dict[int, dict[str, Any]] = field(default_factory=dict)


@record("updates")
@dataclass(frozen=True)
class UpdateBatch:
    """States of instances that changed; resent with the same seq until a `UpdateAck` covers it.

    `details`: for instances of services only, by id: `{"endpoints": [{name, port, container}], "containers": [{name,
    state, exit_code, reason, healthy, message}], "healthy": bool | None, "message": str}`.
    `started_ms` is 0 where the command never started.
    """

    agent: str
    session: int
    epoch: int
    seq: int
    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64
    details: dict[int, dict[str, Any]] = field(default_factory=dict)


@record("heartbeat")
@dataclass(frozen=True)
class Heartbeat:
    """Every second: the agent lives. `received_seq`: the last seq taken; the master resends by image when it lags."""

    agent: str
    session: int
    epoch: int
    received_seq: int
    sent_ms: int
    usage: dict[str, float] = field(default_factory=dict)
    """What the machine really uses: `{"cpus": .., "mem": MiB, "disk": MiB}`; shown, not used for placement."""


@record("goodbye")
@dataclass(frozen=True)
class Goodbye:
    """The agent's machine is taken down in order: do not wait for its silence. Lost, the silence says the same."""

    agent: str
    session: int
    epoch: int


# ---- master -> agent -------------------------------------------------------------------------------------------


@record("registered")
@dataclass(frozen=True)
class Registered:
    """The agent is let in under this session; it answers with an `Image`. It drops all of lower epochs or other
    sessions.
    """

    agent: str
    nonce: str
    session: int
    epoch: int


@record("launch", 2)
@dataclass(frozen=True)
class LaunchBatch:
    """Start these instances. Deduplicated by (instance, attempt), durably, so it may come twice or after an image.

    `places int32[k]`: to a fleet, which of its agents each is for; empty to an agent alone.
    """

    epoch: int
    session: int
    seq: int
    ids: I64
    attempts: I32
    payload: Payload
    places: I32 = field(default_factory=lambda: EMPTY_I32)


upgrade("launch", 1)(lambda fields: [*fields, EMPTY_I32])


@record("payload")
@dataclass(frozen=True)
class Payload:
    """What the instances of a launch are to run, column by column; built by the framework, read by the agent.

    templates: wire forms of `Template`, by the framework's int32 number. `template int32[k]`: which one each row runs.
    index int64[k]: the row's number within its job or service (`ORCH_INDEX`, and the last part of its name).
    job int64[k]: the job's number, -1 for services.
    env_off int64[k+1], env_blob: row i's own environment is `env_blob[env_off[i]:env_off[i+1]]`, `NAME=value\\0` each.
    """

    templates: dict[int, dict[str, Any]]
    template: I32
    index: I64
    job: I64
    env_off: I64
    env_blob: bytes


@record("stop")
@dataclass(frozen=True)
class StopBatch:
    """Stop these: SIGTERM, after the template's grace (or `grace_ms`, if not negative) SIGKILL of the whole tree.

    `reasons uint8[k]` becomes the reason of the terminal state.
    """

    epoch: int
    session: int
    seq: int
    ids: I64
    attempts: I32
    reasons: U8
    grace_ms: int = -1


@record("update-ack")
@dataclass(frozen=True)
class UpdateAck:
    """All updates up to this seq of this session are durable at the master; terminal instances may be forgotten."""

    epoch: int
    session: int
    seq: int


@record("image-request")
@dataclass(frozen=True)
class ImageRequest:
    """Something was lost on the link: send an `Image`."""

    epoch: int
    session: int


@record("heartbeat-ack")
@dataclass(frozen=True)
class HeartbeatAck:
    """Answer to a heartbeat. An agent that sees a higher epoch, or a session that is not its own, registers again."""

    epoch: int
    session: int
    sent_ms: int


# ---- framework -> master ---------------------------------------------------------------------------------------


@record("subscribe")
@dataclass(frozen=True)
class Subscribe:
    """A framework starts, or starts again: the master answers `Subscribed` with all it has of it, then offers."""

    framework: str


@record("demand", 2)
@dataclass(frozen=True)
class Demand:
    """All that a framework wants to launch now; replaces what it said before. Empty columns: nothing.

    groups: paths; group int32[D] indexes them. requests int32[D, R], counts int64[D], gangs int32[D] (0 or 1: each
    pod for itself), priorities int32[D]. durations int64[D], or empty: ms that a pod runs at most, 0: it does not say.
    """

    framework: str
    groups: list[str]
    group: I32
    requests: I32
    counts: I64
    gangs: I32
    priorities: I32
    durations: I64 = field(default_factory=lambda: EMPTY_I64)


upgrade("demand", 1)(lambda fields: [*fields, EMPTY_I64])


@record("accept", 3)
@dataclass(frozen=True)
class Accept:
    """Launch these on those agents. Answered by one `AcceptResult`; rows that fit are on their way by then.

    agents int32[k]: agent rows of the offer; sessions int64[k]: their sessions in the offer. shape int32[k]
    indexes requests
    int32[S, R]. gangs int32[k]: rows with the same number >= 0 launch all or none; -1: alone. group int32[k]
    indexes groups. more: it would have taken more of this offer, and wants another one soon.
    preempt uint8[k], or empty (none): 1: the row may take the place of pods of lower priority, on its agent, or on any
    (agents -1, and then no session). Rows of one gang ask for it all or none. durations int64[S], or empty: ms that a
    pod of each shape runs at most, 0: it does not say.
    """

    framework: str
    ids: I64
    attempts: I32
    agents: I32
    sessions: I64
    shape: I32
    requests: I32
    gangs: I32
    groups: list[str]
    group: I32
    priorities: I32
    payload: Payload
    more: bool = False
    preempt: U8 = field(default_factory=lambda: EMPTY_U8)
    durations: I64 = field(default_factory=lambda: EMPTY_I64)


upgrade("accept", 1)(lambda fields: [*fields, False])
upgrade("accept", 2)(lambda fields: [*fields, EMPTY_U8, EMPTY_I64])


@record("relaunch")
@dataclass(frozen=True)
class Relaunch:
    """Answer to `ResendRequest`: the payload of instances that are STAGING and whose agent never got them."""

    framework: str
    ids: I64
    attempts: I32
    payload: Payload


@record("kill")
@dataclass(frozen=True)
class Kill:
    """Stop these instances (attempts as the framework knows them), wherever they are."""

    framework: str
    ids: I64
    reasons: U8
    grace_ms: int = -1


@record("acknowledge")
@dataclass(frozen=True)
class Acknowledge:
    """The framework has made these terminal updates durable; the master may forget the instances."""

    framework: str
    ids: I64
    attempts: I32


@record("decline")
@dataclass(frozen=True)
class Decline:
    """None of these agents for `refuse_ms` (int32[k] agent rows; empty: all)."""

    framework: str
    agents: I32
    refuse_ms: int = 5_000


@record("suppress")
@dataclass(frozen=True)
class Suppress:
    """No offers until `Revive`."""

    framework: str


@record("revive")
@dataclass(frozen=True)
class Revive:
    """Offers again, and forget what was declined."""

    framework: str


# ---- master -> framework ---------------------------------------------------------------------------------------


@record("subscribed")
@dataclass(frozen=True)
class Subscribed:
    """A framework is in: its number, and every instance that the master holds for it (also unacknowledged ends).

    Instances that the framework thinks are launched and that are missing here were never committed, or are
    acknowledged.
    """

    number: int
    epoch: int
    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    agents: I32
    started_ms: I64
    changed_ms: I64


@record("offers", 2)
@dataclass(frozen=True)
class OfferBatch:
    """What is free, for the groups whose turn it is. Columns of N agent rows, N = all rows of the master's table.

    free, total int32[N, R]; usable uint8[N], 1 or not (2: draining); sessions int64[N]. `changed int32[m]`: rows that
    changed since the framework's last offer (`full`: all). groups: in the order of their turn; headroom int64[G, R]:
    how much each may take now.
    Free and total are the master's own columns, not copies, for a framework in its process: read, do not keep.

    bands int32[B], ascending, mostly empty: priorities from which on places may be taken. freeable int32[B, N, R]: what
    pods of lower priority than each hold on each agent. Where there are bands, headroom is of both, free and freeable:
    then all that is accepted asks to preempt.
    gang, request int32[R]: only a gang of so many pods that ask for this is to be accepted: it is held for it; 0: any.
    within_ms: only pods that declare to run no longer are: they use what is held for others; 0: any.
    """

    generation: int
    full: bool
    changed: I32
    free: I32
    total: I32
    usable: U8
    sessions: I64
    attributes: list[dict[str, str]]
    names: list[str]
    groups: list[str]
    headroom: I64
    bands: I32 = field(default_factory=lambda: EMPTY_I32)
    freeable: I32 = field(default_factory=lambda: EMPTY_BANDS)
    gang: int = 0
    request: I32 = field(default_factory=lambda: EMPTY_I32)
    within_ms: int = 0


upgrade("offers", 1)(lambda fields: [*fields, EMPTY_I32, EMPTY_BANDS, 0, EMPTY_I32, 0])


@record("offer-rows")
@dataclass(frozen=True)
class OfferRows:
    """Rows of the master's table of N `agents` as of a `generation`: all (since 0), or those changed after `since`.

    rows int32[m], ascending; of these free int32[m, R], usable uint8[m], sessions int64[m]. named int32[f]: rows whose
    total int32[f, R], attributes or name may be others than they were `since`.
    """

    generation: int
    since: int
    agents: int
    rows: I32
    free: I32
    usable: U8
    sessions: I64
    named: I32
    total: I32
    attributes: list[dict[str, str]]
    names: list[str]


@record("offer-changes", 2)
@dataclass(frozen=True)
class OfferChanges:
    """What `OfferBatch` says, to a framework elsewhere: only what changed since its last offer (see `FarOffers`).

    shown: `OfferRows`, encoded once for all frameworks that were shown the same before. hidden int32[h]: agents that
    this one refused and does not see now. groups, headroom, bands and freeable as in `OfferBatch`.
    """

    shown: bytes
    hidden: I32
    groups: list[str]
    headroom: I64
    bands: I32 = field(default_factory=lambda: EMPTY_I32)
    freeable: I32 = field(default_factory=lambda: EMPTY_BANDS)


upgrade("offer-changes", 1)(lambda fields: [*fields, EMPTY_I32, EMPTY_BANDS])


@record("accept-result", 2)
@dataclass(frozen=True)
class AcceptResult:
    """verdicts uint8[k], in the order of the accept: 0 launched, else a `placement.Reason`; those may be offered
    again.

    agents int32[k]: where they were launched, if the accept left that to the master; else empty: as it said.
    """

    framework: str
    ids: I64
    attempts: I32
    verdicts: U8
    agents: I32 = field(default_factory=lambda: EMPTY_I32)


upgrade("accept-result", 1)(lambda fields: [*fields, EMPTY_I32])


@record("instance-updates")
@dataclass(frozen=True)
class InstanceUpdates:
    """New states of a framework's instances. Terminal ones are resent at `Subscribe` until acknowledged."""

    ids: I64
    attempts: I32
    states: U8
    exit_codes: I16
    reasons: U8
    agents: I32
    started_ms: I64
    changed_ms: I64
    details: dict[int, dict[str, Any]] = field(default_factory=dict)


@record("resend-request")
@dataclass(frozen=True)
class ResendRequest:
    """The agent lost these launches: answer with `Relaunch`."""

    ids: I64
    attempts: I32


EMPTY_I64: I64 = np.empty(0, dtype=np.int64)
EMPTY_I32: I32 = np.empty(0, dtype=np.int32)
EMPTY_I16: I16 = np.empty(0, dtype=np.int16)
EMPTY_U8: U8 = np.empty(0, dtype=np.uint8)
EMPTY_REQUESTS: I32 = np.empty((0, 5), dtype=np.int32)
EMPTY_BANDS: I32 = np.empty((0, 0, 5), dtype=np.int32)
for _empty in (EMPTY_I64, EMPTY_I32, EMPTY_I16, EMPTY_U8, EMPTY_REQUESTS, EMPTY_BANDS):
    _empty.setflags(write=False)
