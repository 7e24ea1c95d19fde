"""A pod of the wire to its normal form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orch.model.ids import top_group
from orch.model.specs import pod as wire
from orch.model.specs.numbers import micro, milli, milli_up, request, whole_up
from orch.model.specs.rules_placing import affinities, objects
from orch.model.specs.template import (
    UNLIMITED,
    ArtifactTemplate,
    ContainerTemplate,
    EndpointTemplate,
    HealthTemplate,
    MountTemplate,
    Pairs,
    Template,
    UnreachableTemplate,
    VolumeTemplate,
)
from orch.model.specs.wire import Artifact, LinuxInfo, MesosCommand, Network, ResourceLimits, Secret, UnreachableEnabled

GRACE_SECONDS = 3
"""Between SIGTERM and SIGKILL where a spec says nothing, as in Mesos."""


def compile_pod(spec: wire.PodSpec) -> Template:
    """The normal form of a checked pod. Raises nothing: what can't run yet is named in `needs`."""
    containers = tuple(_container(spec, container) for container in spec.containers)
    extra = spec.executor_resources or wire.ExecutorResources()
    rows = [container_row(container) for container in containers]
    rows.append((milli_up(extra.cpus), whole_up(extra.mem), whole_up(extra.disk), 0, 0))
    plan = spec.scheduling
    return Template(
        path=spec.id,
        kind="pod",
        containers=containers,
        group=top_group(spec.id),
        request=request(rows),
        instances=spec.scaling.instances,
        env=plain_env(spec.environment),
        secret_env=secret_env(spec.environment, spec.secrets),
        user=spec.user or "",
        role=spec.role or top_group(spec.id).strip("/"),
        labels=pairs(spec.labels),
        volumes=tuple(_volume(spec, volume) for volume in spec.volumes),
        constraints=objects(plan.placement.constraints),
        preferences=objects(plan.placement.preferences),
        affinity=affinities(plan.placement.affinity, spec.id),
        accepted_roles=tuple(plan.placement.accepted_resource_roles),
        backoff_ms=milli(plan.backoff.backoff),
        backoff_factor_milli=milli(plan.backoff.backoff_factor),
        max_launch_delay_ms=milli(plan.backoff.max_launch_delay),
        minimum_health_micro=micro(plan.upgrade.minimum_health_capacity),
        maximum_over_micro=micro(plan.upgrade.maximum_over_capacity),
        kill_selection=plan.kill_selection.upper(),
        unreachable=unreachable(plan.unreachable_strategy),
        priority=spec.priority or 0,
        policy=spec.policy or "",
        drain_ms=milli(spec.drain_seconds or 0),
        needs=_needs(spec),
    )


def container_row(container: ContainerTemplate) -> tuple[int, int, int, int, int]:
    """What one container takes, in the order of the resource columns."""
    ports = len([endpoint for endpoint in container.endpoints if endpoint.host_port is not None])
    return container.cpus_milli, container.mem_mib, container.disk_mib, container.gpus_milli, ports


def pairs(labels: Mapping[str, str]) -> Pairs:
    """A map as pairs, sorted by name."""
    return tuple(sorted(labels.items()))


def plain_env(env: Mapping[str, object]) -> Pairs:
    """The variables whose value is text."""
    return tuple(sorted((name, value) for name, value in env.items() if isinstance(value, str)))


def secret_env(env: Mapping[str, object], secrets: Mapping[str, Secret]) -> Pairs:
    """The variables whose value is a secret, as (name, source of the secret)."""
    found = [(name, value["secret"]) for name, value in env.items() if isinstance(value, dict)]
    return tuple(sorted((name, secrets[key].source if key in secrets else key) for name, key in found))


def artifact(found: Artifact) -> ArtifactTemplate:
    """One file to fetch."""
    return ArtifactTemplate(found.uri, found.extract, found.executable, found.cache, found.dest_path or "")


def unreachable(strategy: UnreachableEnabled | str | None) -> UnreachableTemplate | None:
    """None where the strategy is "disabled"; at once where nothing is said."""
    if isinstance(strategy, str):
        return None
    found = strategy or UnreachableEnabled()
    return UnreachableTemplate(milli(found.inactive_after_seconds), milli(found.expunge_after_seconds))


def cpus_limit(limits: ResourceLimits | None) -> int | None:
    """Milli-CPUs, UNLIMITED, or None where no limit is stated."""
    if limits is None or limits.cpus is None:
        return None
    return UNLIMITED if isinstance(limits.cpus, str) else milli_up(limits.cpus)


def mem_limit(limits: ResourceLimits | None) -> int | None:
    """MiB, UNLIMITED, or None where no limit is stated."""
    if limits is None or limits.mem is None:
        return None
    return UNLIMITED if isinstance(limits.mem, str) else whole_up(limits.mem)


def network_needs(networks: Iterable[Network]) -> list[str]:
    """Every network but the host's is something an agent must be able to give."""
    return [f"network:{net.mode.lower()}" for net in networks if net.mode.lower() != "host"]


def linux_needs(info: LinuxInfo | None) -> list[str]:
    """What of `linuxInfo` a plain process can't have."""
    if info is None:
        return []
    found = ["seccomp"] if info.seccomp is not None and info.seccomp.profile_name is not None else []
    return found if info.ipc_info is None else [*found, "ipc"]


def command(found: MesosCommand | None) -> tuple[str, tuple[str, ...]]:
    """(shell line, argument vector); one of them is empty."""
    return ("", ()) if found is None else (found.shell or "", tuple(found.argv or ()))


def _container(spec: wire.PodSpec, found: wire.Container) -> ContainerTemplate:
    shell, argv = command(found.exec.command if found.exec is not None else None)
    networked = any(net.mode.lower() != "host" for net in spec.networks)
    endpoints = tuple(_endpoint(endpoint, networked) for endpoint in found.endpoints)
    grace = found.lifecycle.kill_grace_period_seconds if found.lifecycle is not None else None
    return ContainerTemplate(
        name=found.name,
        shell=shell,
        argv=argv,
        env=plain_env(found.environment),
        secret_env=secret_env(found.environment, spec.secrets),
        cpus_milli=milli_up(found.resources.cpus),
        mem_mib=whole_up(found.resources.mem),
        disk_mib=whole_up(found.resources.disk),
        gpus_milli=found.resources.gpus * 1000,
        cpus_limit_milli=cpus_limit(found.resource_limits),
        mem_limit_mib=mem_limit(found.resource_limits),
        endpoints=endpoints,
        health=() if found.health_check is None else (_health(found.health_check, endpoints),),
        grace_ms=milli(GRACE_SECONDS if grace is None else grace),
        user=found.user or "",
        image=found.image.id if found.image is not None else "",
        artifacts=tuple(artifact(item) for item in found.artifacts),
        mounts=tuple(MountTemplate(mount.name, mount.mount_path, mount.read_only) for mount in found.volume_mounts),
        labels=pairs(found.labels),
        tty=found.tty is not None,
    )


def _endpoint(found: wire.Endpoint, networked: bool) -> EndpointTemplate:
    """In the host's network every endpoint has a port of the agent, given or any."""
    host_port = found.host_port if networked or found.host_port is not None else 0
    return EndpointTemplate(
        found.name, host_port, found.container_port, tuple(found.protocol) or ("tcp",), pairs(found.labels)
    )


def _health(found: wire.HealthCheck, endpoints: tuple[EndpointTemplate, ...]) -> HealthTemplate:
    names = [endpoint.name for endpoint in endpoints]
    kind, path, endpoint = "command", "/", -1
    if found.http is not None:
        kind, path, endpoint = found.http.scheme.lower(), found.http.path or "/", names.index(found.http.endpoint)
    elif found.tcp is not None:
        kind, endpoint = "tcp", names.index(found.tcp.endpoint)
    shell, argv = command(found.exec.command if found.exec is not None else None)
    return HealthTemplate(
        kind=kind,
        endpoint=endpoint,
        path=path,
        shell=shell,
        argv=argv,
        grace_ms=milli(found.grace_period_seconds),
        interval_ms=milli(found.interval_seconds),
        timeout_ms=milli(found.timeout_seconds),
        delay_ms=milli(found.delay_seconds),
        max_failures=found.max_consecutive_failures,
    )


def _volume(spec: wire.PodSpec, found: wire.Volume) -> VolumeTemplate:
    if found.host is not None:
        return VolumeTemplate(found.name, "host", found.host)
    if found.secret is not None:
        source = spec.secrets[found.secret].source if found.secret in spec.secrets else found.secret
        return VolumeTemplate(found.name, "secret", source)
    if found.persistent is not None:
        return VolumeTemplate(found.name, "persistent", found.persistent.type.lower(), found.persistent.size)
    return VolumeTemplate(found.name)


def _needs(spec: wire.PodSpec) -> tuple[str, ...]:
    found = [*network_needs(spec.networks), *linux_needs(spec.linux_info)]
    if spec.environment and secret_env(spec.environment, spec.secrets):
        found.append("secret")
    for volume in spec.volumes:
        if volume.persistent is not None:
            found.append("persistent-volume")
        if volume.secret is not None:
            found.append("secret")
    for container in spec.containers:
        found += linux_needs(container.linux_info)
        if container.image is not None:
            found.append("image")
        elif container.exec is None:
            found.append("command")
        if secret_env(container.environment, spec.secrets):
            found.append("secret")
        if any(mount.mount_path.startswith("/") for mount in container.volume_mounts):
            found.append("mount:absolute")
    return tuple(sorted(set(found)))
