"""Pods as Python objects: what `cluster.run` takes besides a body in Marathon's format.

Importing this loads nothing but the standard library. A `Pod` is checked when it is made, in the caller's process: a
wrong name or value raises `SpecError` with the field's path, before anything is sent.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from orch.model.errors import SpecError

T = TypeVar("T")


def _words(cls: type[T]) -> type[T]:
    """Make a wrong keyword a SpecError that says which was meant; a missing one is told by name too."""
    known = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    init = cls.__init__

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **words: Any) -> None:
        for word in words:
            if word not in known:
                raise _unknown_word(cls.__name__, word, known)
        try:
            init(self, *args, **words)
        except TypeError as fault:
            if fault.__traceback__ is None or fault.__traceback__.tb_next is not None:
                raise
            message = str(fault).partition("__init__() ")[2] or str(fault)
            raise SpecError(f"orch.{cls.__name__} {message}", details=[{"path": "/", "errors": [message]}]) from None

    cls.__init__ = checked  # type: ignore[method-assign]
    return cls


def _unknown_word(noun: str, word: str, known: Sequence[str]) -> SpecError:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known)}"
    message = f"orch.{noun} has no {word}; {hint}"
    return SpecError(message, details=[{"path": f"/{word}", "errors": [message]}])


def _must_not_be_negative(noun: str, **amounts: Any) -> None:
    """What else may be wrong with an amount is told by the check of the whole pod."""
    for name, amount in amounts.items():
        if isinstance(amount, int | float) and amount < 0:
            message = f"{name} of orch.{noun} is {amount}, expected 0 or more"
            raise SpecError(message, details=[{"path": f"/{name}", "errors": [message]}])


def _given(**values: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in values.items() if value is not None and value != [] and value != {}}


@_words
@dataclass(frozen=True)
class Endpoint:
    """A named port of a container; the process finds its number in `$ENDPOINT_<NAME>`.

    port: the agent's port, 0 = any free one. container_port: only in container networks. protocol: such as "tcp",
    "udp", or both as a list.
    """

    name: str
    port: int = 0
    protocol: str | Sequence[str] = "tcp"
    container_port: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_body(self) -> dict[str, Any]:
        """The endpoint on the wire."""
        protocols = [self.protocol] if isinstance(self.protocol, str) else list(self.protocol)
        return {
            "name": self.name,
            "hostPort": self.port,
            "protocol": protocols,
            **_given(containerPort=self.container_port, labels=_plain(self.labels)),
        }


@dataclass(frozen=True, kw_only=True)
class _Check:
    """The numbers of a check, in seconds.

    interval: between two checks (60). timeout: for one check (20, or half the interval where that is less).
    delay: before the first (15, or the interval where that is less). grace: failures within it do not count (300).
    max_failures: in a row, before the container is stopped (3; 0 = never).
    """

    interval: float | None = None
    timeout: float | None = None
    delay: float | None = None
    grace: float | None = None
    max_failures: int | None = None

    def _numbers(self) -> dict[str, Any]:
        timeout, delay = self.timeout, self.delay
        if isinstance(self.interval, int | float) and not isinstance(self.interval, bool):
            timeout = min(20, self.interval / 2) if timeout is None else timeout
            delay = min(15, self.interval) if delay is None else delay
        return _given(
            intervalSeconds=self.interval,
            timeoutSeconds=timeout,
            delaySeconds=delay,
            gracePeriodSeconds=self.grace,
            maxConsecutiveFailures=self.max_failures,
        )


@_words
@dataclass(frozen=True)
class HttpCheck(_Check):
    """Healthy where an HTTP GET of `path` at an endpoint is answered with 200 to 399.

    Numbers in seconds: interval (60), timeout (20, or half the interval where that is less), delay before the first
    check (15, or the interval where that is less), grace during which failures do not count (300); max_failures in a
    row before the container is stopped (3, 0 = never).
    """

    endpoint: str
    path: str = "/"
    scheme: str = "HTTP"

    def to_body(self) -> dict[str, Any]:
        """The check on the wire."""
        http = {"endpoint": self.endpoint, "path": self.path, "scheme": self.scheme}
        return {"http": http, **self._numbers()}


@_words
@dataclass(frozen=True)
class TcpCheck(_Check):
    """Healthy where a connection to an endpoint succeeds. The numbers are those of `HttpCheck`."""

    endpoint: str

    def to_body(self) -> dict[str, Any]:
        """The check on the wire."""
        return {"tcp": {"endpoint": self.endpoint}, **self._numbers()}


@_words
@dataclass(frozen=True)
class CommandCheck(_Check):
    """Healthy where a command, run beside the container, exits with 0: a line for the shell, or a list of arguments.

    The numbers are those of `HttpCheck`.
    """

    command: str | Sequence[str]

    def to_body(self) -> dict[str, Any]:
        """The check on the wire."""
        return {"exec": {"command": _command(self.command)}, **self._numbers()}


@_words
@dataclass(frozen=True)
class Mount:
    """A volume of the pod as a container sees it. path: in the container; relative paths start at its sandbox."""

    volume: str
    path: str
    read_only: bool = False

    def to_body(self) -> dict[str, Any]:
        """The mount on the wire."""
        return {"name": self.volume, "mountPath": self.path, "readOnly": self.read_only}


@_words
@dataclass(frozen=True)
class Volume:
    """A folder that containers of an instance share, or one of the agent where `host` is its path."""

    name: str
    host: str | None = None

    def to_body(self) -> dict[str, Any]:
        """The volume on the wire."""
        return {"name": self.name, **_given(host=self.host)}


@_words
@dataclass(frozen=True)
class Container:
    """One process tree of a pod, run by `cmd` (a line for the shell) or `argv` (a list of arguments).

    cpus: CPUs, 0.1 is a tenth. mem, disk: MiB. gpus: whole. mounts: volume name -> path, or a list of `Mount`.
    grace: seconds between SIGTERM and SIGKILL (3). artifacts: URIs to fetch into the sandbox. image: needs a container
    engine on the agent. Raises SpecError where an amount is negative.
    """

    name: str
    cmd: str | None = None
    argv: Sequence[str] | None = None
    cpus: float = 1.0
    mem: float = 128
    disk: float = 0
    gpus: int = 0
    env: Mapping[str, str] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = ()
    health: HttpCheck | TcpCheck | CommandCheck | None = None
    mounts: Mapping[str, str] | Sequence[Mount] = ()
    user: str | None = None
    grace: float | None = None
    artifacts: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None

    def __post_init__(self) -> None:
        _must_not_be_negative("Container", cpus=self.cpus, mem=self.mem, disk=self.disk, gpus=self.gpus)

    def to_body(self) -> dict[str, Any]:
        """The container on the wire."""
        mounts = self.mounts
        if isinstance(mounts, Mapping):
            mounts = [Mount(volume, path) for volume, path in mounts.items()]
        return {
            "name": self.name,
            "resources": {"cpus": self.cpus, "mem": self.mem, "disk": self.disk, "gpus": self.gpus},
            **_given(
                exec=self._exec(),
                endpoints=_bodies(self.endpoints),
                healthCheck=_body(self.health),
                environment=_plain(self.env),
                volumeMounts=_bodies(mounts),
                user=self.user,
                lifecycle=_given(killGracePeriodSeconds=self.grace),
                artifacts=_fetched(self.artifacts),
                labels=_plain(self.labels),
                image=None if self.image is None else {"kind": "DOCKER", "id": self.image},
            ),
        }

    def _exec(self) -> dict[str, Any] | None:
        command: dict[str, Any] = _given(shell=self.cmd, argv=None if self.argv is None else _listed(self.argv))
        return {"command": command} if command else None


@_words
@dataclass(frozen=True)
class Pod:
    """Containers that run together on one agent: all of an instance, or none.

    path: its id, such as "/demo/web". instances: copies to keep, if `cluster.run` does not say otherwise.
    env, user: for all containers, unless they say otherwise. volumes: names, or `Volume`s. constraints: such as
    ("hostname", "UNIQUE") or ("rack", "LIKE", "r[12]"). preferences: of these agents come first, such as
    ("disk", "IS", "ssd"). affinity: such as {"to": "/team/db", "on": "@zone", "operator": "near"}. drain: seconds
    between the announcement of a stop and SIGTERM.
    Raises SpecError with every fault and its path.
    """

    path: str
    containers: Sequence[Container]
    instances: int = 1
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    volumes: Sequence[str | Volume] = ()
    constraints: Sequence[Sequence[str]] = ()
    preferences: Sequence[Sequence[str]] = ()
    affinity: Sequence[Mapping[str, Any]] = ()
    priority: int | None = None
    policy: str | None = None
    role: str | None = None
    drain: float | None = None

    def __post_init__(self) -> None:
        from orch.model.specs import parse_pod

        _must_not_be_negative("Pod", instances=self.instances)
        parse_pod(self.to_body())

    def to_body(self) -> dict[str, Any]:
        """The pod on the wire: what `POST /v2/pods` takes."""
        placement = _given(
            constraints=[_constraint(rule) for rule in self.constraints],
            preferences=[_constraint(rule) for rule in self.preferences],
            affinity=[_plain(one) for one in self.affinity],
        )
        volumes = [Volume(volume) if isinstance(volume, str) else volume for volume in self.volumes]
        return {
            "id": self.path,
            "containers": _bodies(self.containers),
            "scaling": {"kind": "fixed", "instances": self.instances},
            **_given(
                environment=_plain(self.env),
                user=self.user,
                labels=_plain(self.labels),
                volumes=_bodies(volumes),
                scheduling=_given(placement=placement),
                priority=self.priority,
                policy=self.policy,
                role=self.role,
                drainSeconds=self.drain,
            ),
        }


def _body(thing: Any) -> Any:
    """A builder's body; anything else as it is, for the check to name."""
    return thing.to_body() if hasattr(thing, "to_body") else thing


def _bodies(things: Any) -> Any:
    return [_body(thing) for thing in things] if isinstance(things, list | tuple) else _body(things)


def _fetched(uris: Any) -> Any:
    return [{"uri": uri} for uri in uris] if isinstance(uris, list | tuple) else uris


def _plain(pairs: Any) -> Any:
    return dict(pairs) if isinstance(pairs, Mapping) else pairs


def _listed(argv: Any) -> Any:
    return list(argv) if isinstance(argv, list | tuple) else argv


def _command(command: Any) -> dict[str, Any]:
    return {"argv": list(command)} if isinstance(command, list | tuple) else {"shell": command}


def _constraint(rule: Any) -> Any:
    if not isinstance(rule, list | tuple) or len(rule) not in (2, 3):
        return rule
    return {"fieldName": rule[0], "operator": rule[1], **({"value": rule[2]} if len(rule) == 3 else {})}
