"""What users ask of the frameworks and the master, as events. The gateway has checked the body and who asks.

Every request carries `request` (the id that its `Reply` carries), `key` (the client's idempotency key, "" for none: the
same key again gets the first answer and does nothing), `user`, and `at_ms`, the wall clock of the gateway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orch.model.codec import record


@record("put-service")
@dataclass(frozen=True)
class PutService:
    """To `services`: run this template (wire form) at `path` with `instances` copies; an existing one is changed
    if `replace`.

    Reply: `{"path", "version", "created": bool, "instances": n}`. Errors: conflict (exists and not `replace`; path
    is a job's or below another service).
    """

    request: str
    key: str
    user: str
    at_ms: int
    template: dict[str, Any]
    body: dict[str, Any]
    """The spec as it was sent, normalised, in the wire format: what GET shows."""
    instances: int
    replace: bool = False


@record("scale-service")
@dataclass(frozen=True)
class ScaleService:
    """To `services`: keep this many copies. Reply as `PutService`. Error: not-found."""

    request: str
    key: str
    user: str
    at_ms: int
    path: str
    instances: int


@record("delete-service")
@dataclass(frozen=True)
class DeleteService:
    """To `services`: stop all instances and forget the service once they are gone. Reply: `{"path"}`. Error:
    not-found.
    """

    request: str
    key: str
    user: str
    at_ms: int
    path: str


@record("kill-instances")
@dataclass(frozen=True)
class KillInstances:
    """To `services`: stop these instances; they are replaced, unless `scale` (then the service gets smaller).

    Reply: `{"path", "ids", "instances": n}`. Error: not-found (the service, or an instance that is not live).
    """

    request: str
    key: str
    user: str
    at_ms: int
    path: str
    ids: NDArray[np.int64]
    scale: bool = False


@record("restart-service")
@dataclass(frozen=True)
class RestartService:
    """To `services`: all instances are replaced, as by a new version of the same spec. Reply as `PutService`.
    Errors: not-found, conflict (it is being deleted).
    """

    request: str
    key: str
    user: str
    at_ms: int
    path: str


@record("reset-delay")
@dataclass(frozen=True)
class ResetDelay:
    """To `services`: launch without waiting any longer for earlier failures, which are forgotten. Reply: `{"path"}`.
    Errors: not-found, conflict (it is being deleted).
    """

    request: str
    key: str
    user: str
    at_ms: int
    path: str


@record("submit-job")
@dataclass(frozen=True)
class SubmitJob:
    """To `batch`: run `count` pods of a template once each. Reply: `{"job": number, "path", "count", "first_id"}`.

    env_off int64[count+1] and env_blob: each pod's own environment as in `Payload` (empty arrays: none).
    gang: pods start in blocks of this many, all or none (0 or 1: each for itself). attempts: launches a pod gets
    before its failure stands (1 = no retry). timeout_ms: longest run of one attempt, 0 for no limit.
    """

    request: str
    key: str
    user: str
    at_ms: int
    template: dict[str, Any]
    body: dict[str, Any]
    count: int
    env_off: NDArray[np.int64]
    env_blob: bytes
    gang: int = 0
    priority: int = 0
    attempts: int = 1


@record("stop-job")
@dataclass(frozen=True)
class StopJob:
    """To `batch`: start no more pods of the job and stop those that run. Reply: `{"job"}`. Error: not-found."""

    request: str
    key: str
    user: str
    at_ms: int
    job: int


@record("stop-pods")
@dataclass(frozen=True)
class StopPods:
    """To `batch`: stop these pods of a job, by index; they get no further attempt, the others go on.

    Reply: `{"job", "stopped": n}`, n of them had not ended. Errors: not-found (the job, or an index that it does not
    have), unavailable (one is just being launched).
    """

    request: str
    key: str
    user: str
    at_ms: int
    job: int
    indexes: NDArray[np.int64]


@record("forget-job")
@dataclass(frozen=True)
class ForgetJob:
    """To `batch`: a finished job goes from the tables. Reply: `{"job"}`. Errors: not-found, conflict (still
    running).
    """

    request: str
    key: str
    user: str
    at_ms: int
    job: int


@record("drain-agent")
@dataclass(frozen=True)
class DrainAgent:
    """To `master`: offer this agent no more (`drain`), or again. Reply: `{"agent", "state"}`. Error: not-found."""

    request: str
    key: str
    user: str
    at_ms: int
    agent: str
    drain: bool = True


@record("remove-agent")
@dataclass(frozen=True)
class RemoveAgent:
    """To `master`: an agent that does not answer is gone for good; what ran on it is LOST. Reply: `{"agent"}`.

    Errors: not-found, conflict (it still answers).
    """

    request: str
    key: str
    user: str
    at_ms: int
    agent: str


@record("tell-story")
@dataclass(frozen=True)
class TellStory:
    """To any machine: what happened to one thing. Reply: `{"notes": [...]}` as `Machine.story`."""

    request: str
    key: str
    user: str
    at_ms: int
    thing: int | str
