"""An app of the wire to its normal form: a pod of one container."""

from __future__ import annotations

from orch.model.ids import top_group
from orch.model.specs import app as wire
from orch.model.specs.compile_pod import (
    GRACE_SECONDS,
    artifact,
    container_row,
    cpus_limit,
    linux_needs,
    mem_limit,
    network_needs,
    pairs,
    plain_env,
    secret_env,
    unreachable,
)
from orch.model.specs.legacy import SINGLE_INSTANCE
from orch.model.specs.numbers import micro, milli, milli_up, request, whole_up
from orch.model.specs.rules_placing import affinities, triples
from orch.model.specs.template import (
    ContainerTemplate,
    EndpointTemplate,
    HealthTemplate,
    MountTemplate,
    Template,
    VolumeTemplate,
)

MAIN = "main"
"""The name of the one container of an app or a job."""

_HEALTH_KINDS = {
    "HTTP": "http", "MESOS_HTTP": "http", "HTTPS": "https", "MESOS_HTTPS": "https", "TCP": "tcp", "MESOS_TCP": "tcp",
    "COMMAND": "command",
}  # fmt: skip


def compile_app(spec: wire.AppSpec) -> Template:
    """The normal form of a checked app. Raises nothing: what can't run yet is named in `needs`."""
    container = _container(spec)
    upgrade = spec.upgrade_strategy or wire.UpgradeStrategy()
    return Template(
        path=spec.id,
        kind="app",
        containers=(container,),
        group=top_group(spec.id),
        request=request([container_row(container)]),
        instances=spec.instances,
        user=spec.user or "",
        role=spec.role or top_group(spec.id).strip("/"),
        labels=pairs(spec.labels),
        volumes=_volumes(spec),
        constraints=triples(spec.constraints),
        preferences=triples(spec.preferences),
        affinity=affinities(spec.affinity, spec.id),
        accepted_roles=tuple(spec.accepted_resource_roles or ()),
        dependencies=tuple(spec.dependencies),
        backoff_ms=milli(spec.backoff_seconds),
        backoff_factor_milli=milli(spec.backoff_factor),
        max_launch_delay_ms=milli(spec.max_launch_delay_seconds),
        minimum_health_micro=micro(upgrade.minimum_health_capacity),
        maximum_over_micro=micro(upgrade.maximum_over_capacity),
        kill_selection=spec.kill_selection.upper(),
        unreachable=unreachable(spec.unreachable_strategy),
        require_ports=spec.require_ports,
        single_instance=spec.labels.get(SINGLE_INSTANCE) == "true",
        priority=spec.priority or 0,
        policy=spec.policy or "",
        drain_ms=milli(spec.drain_seconds or 0),
        needs=_needs(spec),
    )


def _container(spec: wire.AppSpec) -> ContainerTemplate:
    endpoints = _endpoints(spec)
    grace = spec.task_kill_grace_period_seconds
    return ContainerTemplate(
        name=MAIN,
        shell=spec.cmd or "",
        argv=tuple(spec.args),
        env=plain_env(spec.env),
        secret_env=secret_env(spec.env, spec.secrets),
        cpus_milli=milli_up(spec.cpus),
        mem_mib=whole_up(spec.mem),
        disk_mib=whole_up(spec.disk),
        gpus_milli=spec.gpus * 1000,
        cpus_limit_milli=cpus_limit(spec.resource_limits),
        mem_limit_mib=mem_limit(spec.resource_limits),
        endpoints=endpoints,
        health=tuple(_health(check) for check in spec.health_checks),
        grace_ms=milli(GRACE_SECONDS if grace is None else grace),
        image=_image(spec),
        artifacts=tuple(artifact(found) for found in spec.fetch),
        mounts=_mounts(spec),
        tty=bool(spec.tty),
    )


def _image(spec: wire.AppSpec) -> str:
    container = spec.container
    if container is None:
        return ""
    if container.docker is not None:
        return container.docker.image
    return container.appc.image if container.appc is not None else ""


def _networked(spec: wire.AppSpec) -> bool:
    return any(net.mode.lower() != "host" for net in spec.networks)


def _endpoints(spec: wire.AppSpec) -> tuple[EndpointTemplate, ...]:
    """Ports in the order that $PORT0, $PORT1 and checks count them; those without a name have the name ""."""
    if _networked(spec):
        mappings = (spec.container.port_mappings if spec.container is not None else None) or []
        return tuple(
            EndpointTemplate(
                found.name or "", found.host_port, found.container_port or None, _protocols(found.protocol),
                pairs(found.labels), found.service_port,
            )
            for found in mappings
        )  # fmt: skip
    return tuple(
        EndpointTemplate(
            found.name or "", found.port if spec.require_ports else 0, None, _protocols(found.protocol),
            pairs(found.labels), 0 if spec.require_ports else found.port,
        )
        for found in spec.port_definitions or []
    )  # fmt: skip


def _protocols(protocol: str) -> tuple[str, ...]:
    return tuple(protocol.lower().split(","))


def _health(found: wire.AppHealthCheck) -> HealthTemplate:
    kind = "command" if found.command is not None else _HEALTH_KINDS[found.protocol.upper()]
    port = found.port or 0
    return HealthTemplate(
        kind=kind,
        endpoint=-1 if kind == "command" or port or found.port_index is None else found.port_index,
        port=0 if kind == "command" else port,
        path=found.path or "/",
        shell=found.command.value if found.command is not None else "",
        grace_ms=milli(found.grace_period_seconds),
        interval_ms=milli(found.interval_seconds),
        timeout_ms=milli(found.timeout_seconds),
        delay_ms=milli(found.delay_seconds),
        max_failures=found.max_consecutive_failures,
        ignore_1xx=found.ignore_http1xx,
        ipv6=found.ip_protocol.upper() == "IPV6",
    )


def _volumes(spec: wire.AppSpec) -> tuple[VolumeTemplate, ...]:
    """The app's volumes, named by their place: v0, v1, ..."""
    found = spec.container.volumes if spec.container is not None else []
    return tuple(_volume(spec, f"v{index}", volume) for index, volume in enumerate(found))


def _volume(spec: wire.AppSpec, name: str, found: wire.AppVolume) -> VolumeTemplate:
    if found.persistent is not None:
        return VolumeTemplate(name, "persistent", found.persistent.type.lower(), found.persistent.size)
    if found.external is not None:
        size_mib = (found.external.size or 0) * 1024
        return VolumeTemplate(name, "external", f"{found.external.provider}/{found.external.name}", size_mib)
    if found.secret is not None:
        source = spec.secrets[found.secret].source if found.secret in spec.secrets else found.secret
        return VolumeTemplate(name, "secret", source)
    return VolumeTemplate(name, "host", found.host_path or "")


def _mounts(spec: wire.AppSpec) -> tuple[MountTemplate, ...]:
    found = spec.container.volumes if spec.container is not None else []
    return tuple(
        MountTemplate(f"v{index}", volume.container_path or "", volume.mode.upper() == "RO")
        for index, volume in enumerate(found)
    )


def _needs(spec: wire.AppSpec) -> tuple[str, ...]:
    found = network_needs(spec.networks)
    if _image(spec):
        found.append("image")
    elif spec.cmd is None and not spec.args:
        found.append("command")
    if secret_env(spec.env, spec.secrets):
        found.append("secret")
    if spec.executor not in ("", "//cmd"):
        found.append("executor")
    if spec.container is not None:
        found += linux_needs(spec.container.linux_info)
    for volume, mount in zip(_volumes(spec), _mounts(spec), strict=True):
        if volume.kind != "host":
            found.append("secret" if volume.kind == "secret" else f"{volume.kind}-volume")
        if mount.path.startswith("/"):
            found.append("mount:absolute")
    return tuple(sorted(set(found)))
