"""Facts of `services`: what is wanted, which instances there are and what became of them.

Times are int64 ms since 1970. A service's `version` is the time of its spec, ms since 1970, always rising.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orch.model.codec import record
from orch.model.messages import I16, I32, I64, U8


@record("services.put")
@dataclass(frozen=True)
class ServicePut:
    """A service is wanted so from now on. A version that is new to an existing service begins a rolling change."""

    at_ms: int
    path: str
    user: str
    key: str
    version: int
    template_number: int
    """The template's number in payloads: one for each version of each service."""
    template: dict[str, Any]
    body: dict[str, Any]
    instances: int


@record("services.scaled")
@dataclass(frozen=True)
class ServiceScaled:
    """Another number of instances is wanted."""

    at_ms: int
    path: str
    user: str
    key: str
    instances: int


@record("services.deleting")
@dataclass(frozen=True)
class ServiceDeleting:
    """The service goes as soon as its instances are gone."""

    at_ms: int
    path: str
    user: str
    key: str


@record("services.forgotten")
@dataclass(frozen=True)
class ServiceForgotten:
    """A deleted service has no instance left, and is out of the tables."""

    at_ms: int
    path: str


@record("services.launched")
@dataclass(frozen=True)
class InstancesLaunched:
    """The master took these: STAGING, attempt 1. Columns of k; service int32[k] indexes `paths`."""

    at_ms: int
    paths: list[str]
    service: I32
    ids: I64
    numbers: I64
    versions: I64
    agents: I32


@record("services.updated")
@dataclass(frozen=True)
class InstancesUpdated:
    """New states. details: of ended ones, as in `UpdateBatch`, so that their containers' exit codes are kept."""

    at_ms: int
    ids: I64
    states: U8
    exit_codes: I16
    reasons: U8
    started_ms: I64
    changed_ms: I64
    details: dict[int, dict[str, Any]]


@record("services.stopping")
@dataclass(frozen=True)
class InstancesStopping:
    """The goal of these instances is STOPPED from now on, for `reasons uint8[k]`."""

    at_ms: int
    ids: I64
    reasons: U8


@record("services.killed")
@dataclass(frozen=True)
class InstancesKilled:
    """A user asked to stop instances of a service; remembers the answer. `InstancesStopping` says which."""

    at_ms: int
    path: str
    user: str
    key: str
    ids: I64
    instances: int
    """How many are wanted after it."""


@record("services.inactive")
@dataclass(frozen=True)
class InstancesInactive:
    """These have been UNREACHABLE for long enough that others take their place."""

    at_ms: int
    ids: I64


@record("services.delayed")
@dataclass(frozen=True)
class ServiceDelayed:
    """An instance ended by itself: the next one is not launched before `until_ms`.

    failures: ends in a row without a stable run in between.
    instance, state, exit_code, reason: of the end that led to it.
    """

    at_ms: int
    path: str
    failures: int
    delay_ms: int
    until_ms: int
    instance: int
    state: int
    exit_code: int
    reason: int


@record("services.answered")
@dataclass(frozen=True)
class ServiceRequestAnswered:
    """A request with a key changed nothing: the same key gets `body`, or else `error`, the next time too."""

    at_ms: int
    user: str
    key: str
    body: dict[str, Any] | None
    error: dict[str, Any] | None


@record("services.seen")
@dataclass(frozen=True)
class InstancesSeen:
    """Soft: what agents say of live instances beyond the kept state. Of others, it is to be ignored.

    starting: ids of STAGING ones that their agent has begun to start. details: health, endpoints, containers, by id.
    """

    at_ms: int
    starting: I64
    details: dict[int, dict[str, Any]]
