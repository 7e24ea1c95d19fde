"""What the agent's machine asks of the node supervisor around it.

`Journal(fact)` and `Send("master", message)` come beside these (orch.machine.commands). The supervisor keeps the facts
in a file without fsync, because a power cut ends the processes as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import Payload


@dataclass(frozen=True, slots=True)
class StartJobs:
    """Spawn these rows of a payload, each one process tree in a sandbox of its own; answered by `JobsChanged`.

    ids int64[k], attempts int32[k]; the payload's rows are in the same order. Templates: one container, no ports.
    """

    ids: NDArray[np.int64]
    attempts: NDArray[np.int32]
    payload: Payload


@dataclass(frozen=True, slots=True)
class StartInstance:
    """Start all containers of one instance under stubs, or none; answered by a `ContainerChanged` for each.

    template: wire form. env: the instance's own NAME -> value (beyond the template's). ports: for each container, in
    the template's order, the host ports of its endpoints. `round` counts the starts of one attempt (a port was lost).
    """

    id: int
    attempt: int
    index: int
    job: int
    template: dict[str, Any]
    env: dict[str, str]
    ports: list[list[int]]
    round: int = 0


@dataclass(frozen=True, slots=True)
class Recover:
    """After a restart of the supervisor: say what became of the containers of this instance (living ones are adopted).

    Answered by a `ContainerChanged` for each container; one without a process and without an exit record is LOST.
    """

    start: StartInstance


@dataclass(frozen=True, slots=True)
class ClearJobs:
    """After a restart of the supervisor: no process of any job may live on; kill those that do."""


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM to the whole tree of each, and SIGKILL after its grace (int64[k] ms); ends come as for any other end.

    Those queued and not yet spawned are dropped and reported as ended by signal 15 with started_ms 0.
    """

    ids: NDArray[np.int64]
    attempts: NDArray[np.int32]
    grace_ms: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probe:
    """Run one health check of one container now, within the template's timeout; answered by `Probed`."""

    id: int
    attempt: int
    container: int
    check: int
    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """These instances are over and the master knows it: their sandboxes belong to the retention rules from now on."""

    ids: NDArray[np.int64]
    attempts: NDArray[np.int32]
