"""The normal form of a spec: what the machines read.

Pods, apps and jobs are written in three wire formats; all compile to one frozen `Template`. Every number is an int in
the unit its name ends with, every collection a tuple, so that a template compares, interns and travels exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

TEMPLATE_VERSION = 1
"""Leading number of the wire form. A reader refuses a version it does not know."""

UNLIMITED = -1
"""A limit that is explicitly "unlimited"; `None` means that the spec states no limit."""

Pairs = tuple[tuple[str, str], ...]
"""Ordered (name, value) pairs, sorted by name."""


@dataclass(frozen=True, slots=True)
class EndpointTemplate:
    """A named port of a container.

    host_port: 0 = any free port of the agent, None = no port of the agent is needed (container networks only).
    container_port: the port inside a container network, None = same as the host's.
    service_port: Marathon's cluster-wide number, only told to load balancers; 0 = none.
    """

    name: str
    host_port: int | None = 0
    container_port: int | None = None
    protocols: tuple[str, ...] = ("tcp",)
    labels: Pairs = ()
    service_port: int = 0


@dataclass(frozen=True, slots=True)
class HealthTemplate:
    """One health check, run on the agent.

    kind: "http", "https", "tcp" or "command". endpoint: row in the container's endpoints, -1 where `port` or a command
    is given. max_failures: 0 = never stop the container for it. Failures within grace_ms of the start do not count.
    """

    kind: str
    endpoint: int = -1
    port: int = 0
    path: str = "/"
    shell: str = ""
    argv: tuple[str, ...] = ()
    grace_ms: int = 300_000
    interval_ms: int = 60_000
    timeout_ms: int = 20_000
    delay_ms: int = 15_000
    max_failures: int = 3
    ignore_1xx: bool = False
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class MountTemplate:
    """A volume of the pod as one container sees it. path: inside the container; relative paths start at its sandbox."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class VolumeTemplate:
    """A volume of the pod.

    kind: "shared" (a folder of the instance), "host" (source = a path on the agent), "secret" (source = its name in
    `secrets`), "persistent" (size_mib, source = root, path or mount) or "external" (source = provider/name).
    """

    name: str
    kind: str = "shared"
    source: str = ""
    size_mib: int = 0


@dataclass(frozen=True, slots=True)
class ArtifactTemplate:
    """A file fetched into the sandbox before the start. dest: relative to the sandbox, "" = the uri's last part."""

    uri: str
    extract: bool = True
    executable: bool = False
    cache: bool = False
    dest: str = ""


@dataclass(frozen=True, slots=True)
class ConstraintTemplate:
    """A rule over an attribute of agents. operator: UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER or IS."""

    field: str
    operator: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class AffinityTemplate:
    """Near or apart from the pods at a path ("": its own), by an attribute of agents. required: else only preferred."""

    to: str
    field: str
    near: bool
    required: bool


@dataclass(frozen=True, slots=True)
class UnreachableTemplate:
    """When an instance on an UNREACHABLE agent is replaced, and when it is given up."""

    inactive_after_ms: int = 0
    expunge_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class ContainerTemplate:
    """One process tree of a pod: one of `shell` (for `/bin/sh -c`) and `argv` is set, or neither with an image.

    cpus_limit_milli, mem_limit_mib: None = the spec states no limit, UNLIMITED = none shall be set.
    env: the container's own pairs; `Template.env_of` adds the pod's. secret_env: (name, source of the secret).
    """

    name: str
    shell: str = ""
    argv: tuple[str, ...] = ()
    env: Pairs = ()
    secret_env: Pairs = ()
    cpus_milli: int = 0
    mem_mib: int = 0
    disk_mib: int = 0
    gpus_milli: int = 0
    cpus_limit_milli: int | None = None
    mem_limit_mib: int | None = None
    endpoints: tuple[EndpointTemplate, ...] = ()
    health: tuple[HealthTemplate, ...] = ()
    grace_ms: int = 3_000
    user: str = ""
    image: str = ""
    artifacts: tuple[ArtifactTemplate, ...] = ()
    mounts: tuple[MountTemplate, ...] = ()
    labels: Pairs = ()
    tty: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A pod, app or job in normal form.

    kind: "pod", "app" or "job". group: the top-level group of `path`, such as `/demo`. request: what one instance
    takes, in the order of model.RESOURCES (cpus_milli, mem_mib, disk_mib, gpus_milli, ports).
    backoff_factor_milli: 1150 = 1.15. An endpoint without a name (a port of an app) has the name "".
    minimum_health_micro, maximum_over_micro: parts per million of `instances`. unreachable: None = disabled.
    max_attempts: launches of one instance of a job; 0 = without limit (services). gang: instances that start together
    or not at all, 1 = none. timeout_ms: 0 = none. needs: what an agent must be able to do beyond plain processes;
    anything in it that no agent can do is a reason at placement, never a refusal of the spec. preferences: agents that
    meet more of them, and of the affinity that is not required, come first.
    """

    path: str
    kind: str
    containers: tuple[ContainerTemplate, ...]
    group: str = ""
    request: tuple[int, ...] = (1, 0, 0, 0, 0)
    instances: int = 1
    env: Pairs = ()
    secret_env: Pairs = ()
    user: str = ""
    role: str = ""
    labels: Pairs = ()
    volumes: tuple[VolumeTemplate, ...] = ()
    constraints: tuple[ConstraintTemplate, ...] = ()
    preferences: tuple[ConstraintTemplate, ...] = ()
    affinity: tuple[AffinityTemplate, ...] = ()
    accepted_roles: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    backoff_ms: int = 1_000
    backoff_factor_milli: int = 1_150
    max_launch_delay_ms: int = 300_000
    minimum_health_micro: int = 1_000_000
    maximum_over_micro: int = 1_000_000
    kill_selection: str = "YOUNGEST_FIRST"
    unreachable: UnreachableTemplate | None = UnreachableTemplate()
    require_ports: bool = False
    single_instance: bool = False
    priority: int = 0
    policy: str = ""
    """How agents are chosen, "": as the cluster does."""
    gang: int = 1
    max_attempts: int = 0
    timeout_ms: int = 0
    drain_ms: int = 0
    needs: tuple[str, ...] = ()

    def env_of(self, container: ContainerTemplate) -> Pairs:
        """The pod's environment overlaid by the container's own, sorted by name."""
        merged = dict(self.env)
        for name, _ in container.secret_env:
            merged.pop(name, None)
        merged.update(container.env)
        return tuple(sorted(merged.items()))

    def user_of(self, container: ContainerTemplate) -> str:
        """The user a container asks for: its own, else the pod's, else "" (the agent chooses)."""
        return container.user or self.user

    def to_wire(self) -> dict[str, Any]:
        """A plain dict of str, int, bool, None, list and dict, led by its version; `from_wire` undoes it."""
        return {"v": TEMPLATE_VERSION, **_pack(self)}

    @staticmethod
    def from_wire(wire: dict[str, Any]) -> Template:
        """The template that `to_wire` was called on. Raises ValueError for another version or an unknown field."""
        version = wire.get("v")
        if version != TEMPLATE_VERSION:
            raise ValueError(
                f"template of version {version!r}; this orch reads version {TEMPLATE_VERSION}. Upgrade the older side."
            )
        body = {name: value for name, value in wire.items() if name != "v"}
        template = _unpack(Template, body)
        assert isinstance(template, Template)
        return template


_NESTED: dict[tuple[type, str], type] = {
    (Template, "containers"): ContainerTemplate,
    (Template, "volumes"): VolumeTemplate,
    (Template, "constraints"): ConstraintTemplate,
    (Template, "preferences"): ConstraintTemplate,
    (Template, "affinity"): AffinityTemplate,
    (Template, "unreachable"): UnreachableTemplate,
    (ContainerTemplate, "endpoints"): EndpointTemplate,
    (ContainerTemplate, "health"): HealthTemplate,
    (ContainerTemplate, "artifacts"): ArtifactTemplate,
    (ContainerTemplate, "mounts"): MountTemplate,
}

_NAMES: dict[type, tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind))
    for kind in (
        Template,
        ContainerTemplate,
        EndpointTemplate,
        HealthTemplate,
        MountTemplate,
        VolumeTemplate,
        ArtifactTemplate,
        ConstraintTemplate,
        AffinityTemplate,
        UnreachableTemplate,
    )
}


def _pack(value: Any) -> Any:
    names = _NAMES.get(type(value))
    if names is not None:
        return {name: _pack(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [_pack(item) for item in value]
    return value


def _unpack(kind: type, wire: dict[str, Any]) -> Any:
    known = _NAMES[kind]
    unknown = [name for name in wire if name not in known]
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {unknown[0]!r}; it was written by a newer orch")
    values: dict[str, Any] = {}
    for name in known:
        if name in wire:
            values[name] = _unpack_field(_NESTED.get((kind, name)), wire[name])
    return kind(**values)


def _unpack_field(nested: type | None, value: Any) -> Any:
    if nested is None:
        return _tuples(value)
    if isinstance(value, list | tuple):
        return tuple(_unpack(nested, item) for item in value)
    return None if value is None else _unpack(nested, value)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
