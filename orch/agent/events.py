"""What the node supervisor tells the agent's machine. Its other events are the master's messages."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orch.model.codec import record


@record("agent.connected")
@dataclass(frozen=True)
class Connected:
    """The line to the master is up (again): register."""


@record("agent.leaving")
@dataclass(frozen=True)
class Leaving:
    """This machine is taken down in order: tell the master before the line is cut."""


@record("agent.jobs-changed")
@dataclass(frozen=True)
class JobsChanged:
    """Columns of jobs that started or ended.

    ids int64[k], attempts int32[k], states uint8[k]: RUNNING, or FINISHED, FAILED, ERROR, LOST as the process ended by
    itself. exit_codes int16[k] (0..255, -signal, NO_EXIT_CODE), reasons uint8[k], started_ms int64[k] (0: never),
    changed_ms int64[k]. One that started and ended between two reports comes once, ended.
    """

    ids: NDArray[np.int64]
    attempts: NDArray[np.int32]
    states: NDArray[np.uint8]
    exit_codes: NDArray[np.int16]
    reasons: NDArray[np.uint8]
    started_ms: NDArray[np.int64]
    changed_ms: NDArray[np.int64]


@record("agent.container-changed")
@dataclass(frozen=True)
class ContainerChanged:
    """One container of a service instance started or ended; `state` as in `JobsChanged`. `message`: for people, if any.

    A port that somebody else holds: state ERROR, reason PORT_TAKEN, `ports` the ones that are taken; none of the
    instance's containers was started, and only one such event is sent.
    """

    id: int
    attempt: int
    container: int
    state: int
    exit_code: int
    reason: int
    at_ms: int
    round: int = 0
    message: str = ""
    ports: list[int] = field(default_factory=list)


@record("agent.probed")
@dataclass(frozen=True)
class Probed:
    """The result of a `Probe`; `message` says what was wrong: `HTTP 503`, `connection refused`, `no answer in 20 s`."""

    id: int
    attempt: int
    container: int
    check: int
    ok: bool
    message: str = ""


@record("agent.usage")
@dataclass(frozen=True)
class Usage:
    """What the machine really uses, for the next heartbeat: `{"cpus": .., "mem": MiB, "disk": MiB}`."""

    usage: dict[str, float]
