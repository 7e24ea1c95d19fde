"""The wire format of a pod: `/v2/pods`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orch.model.specs import limits
from orch.model.specs.wire import (
    Affinities,
    AnyPort,
    Artifact,
    CommandCheck,
    Constraint,
    Count,
    Cpus,
    EnvVars,
    Factor,
    Fraction,
    Gpus,
    KillSelection,
    Labels,
    LinuxInfo,
    MesosCommand,
    Mib,
    Name,
    Network,
    PathText,
    PersistentVolume,
    Policy,
    Port,
    Priority,
    PullConfig,
    ResourceLimits,
    Scheme,
    Seconds,
    Secrets,
    Text,
    Tty,
    Unreachable,
    User,
    Wire,
    one_of,
)


class Exec(Wire):
    """What a container runs."""

    command: MesosCommand
    override_entrypoint: bool | None = None


class Resources(Wire):
    """What a container reserves: CPUs, MiB of memory, MiB of disk, GPUs."""

    cpus: Cpus = 1.0
    mem: Mib = 128.0
    disk: Mib = 0.0
    gpus: Gpus = 0


class ExecutorResources(Wire):
    """What an instance reserves besides its containers. orch has no executor process: nothing, unless stated."""

    cpus: Cpus = 0.0
    mem: Mib = 0.0
    disk: Mib = 0.0


class Endpoint(Wire):
    """A named port of a container. hostPort 0: any free port of the agent."""

    name: Name
    container_port: Port | None = None
    host_port: AnyPort | None = None
    protocol: Annotated[list[Name], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    network_names: Annotated[list[Name], Field(max_length=limits.ITEMS)] = Field(default_factory=list)


class Image(Wire):
    """The file system a container starts in."""

    kind: Annotated[str, one_of("DOCKER", "APPC")]
    id: Text
    pull_config: PullConfig | None = None
    force_pull: bool = False
    labels: Labels = Field(default_factory=dict)


class HttpCheck(Wire):
    """A check by an HTTP GET to an endpoint: 200 to 399 is well."""

    endpoint: Name
    path: Text | None = None
    scheme: Scheme = "HTTP"


class TcpCheck(Wire):
    """A check by a connection to an endpoint."""

    endpoint: Name


class Check(Wire):
    """A check that informs and never stops a container: one of http, tcp, exec."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    exec: CommandCheck | None = None
    interval_seconds: Seconds = 60
    timeout_seconds: Seconds = 20
    delay_seconds: Seconds = 15


class HealthCheck(Check):
    """A check whose repeated failure stops the container."""

    grace_period_seconds: Seconds = 300
    max_consecutive_failures: Count = 3


class VolumeMount(Wire):
    """A volume of the pod, as one container sees it."""

    name: Name
    mount_path: Text
    read_only: bool = False


class Lifecycle(Wire):
    """How a container is stopped: seconds between SIGTERM and SIGKILL."""

    kill_grace_period_seconds: Seconds | None = None


class Container(Wire):
    """One process tree of a pod."""

    name: Name
    exec: Exec | None = None
    resources: Resources = Resources()
    resource_limits: ResourceLimits | None = None
    endpoints: Annotated[list[Endpoint], Field(max_length=limits.ENDPOINTS)] = Field(default_factory=list)
    image: Image | None = None
    environment: EnvVars = Field(default_factory=dict)
    user: User | None = None
    health_check: HealthCheck | None = None
    check: Check | None = None
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=limits.VOLUMES)] = Field(default_factory=list)
    artifacts: Annotated[list[Artifact], Field(max_length=limits.ARTIFACTS)] = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    lifecycle: Lifecycle | None = None
    tty: Tty | None = None
    linux_info: LinuxInfo | None = None


class Volume(Wire):
    """A volume of the pod: a folder of the instance, or one of host, secret, persistent."""

    name: Name
    host: Text | None = None
    secret: Text | None = None
    persistent: PersistentVolume | None = None


class Scaling(Wire):
    """How many instances."""

    kind: Literal["fixed"] = "fixed"
    instances: Count = 1
    max_instances: Count | None = None


class Backoff(Wire):
    """How long to wait after failures, in seconds."""

    backoff: Seconds = 1
    backoff_factor: Factor = 1.15
    max_launch_delay: Seconds = 300


class Upgrade(Wire):
    """How many instances may be missing or extra during a deployment, as parts of the whole."""

    minimum_health_capacity: Fraction = 1.0
    maximum_over_capacity: Fraction = 1.0


class Placement(Wire):
    """Where instances may go, and where they go first."""

    constraints: Annotated[list[Constraint], Field(max_length=limits.CONSTRAINTS)] = Field(default_factory=list)
    preferences: Annotated[list[Constraint], Field(max_length=limits.CONSTRAINTS)] = Field(default_factory=list)
    affinity: Affinities = Field(default_factory=list)
    accepted_resource_roles: Annotated[list[Text], Field(max_length=limits.ITEMS)] = Field(default_factory=list)


class Scheduling(Wire):
    """When, where and in which order instances start and stop."""

    backoff: Backoff = Backoff()
    upgrade: Upgrade = Upgrade()
    placement: Placement = Placement()
    kill_selection: KillSelection = "YOUNGEST_FIRST"
    unreachable_strategy: Unreachable | None = None


class PodSpec(Wire):
    """A pod as the wire has it. Made by `parse_pod`, which also checks what the fields say about each other."""

    id: PathText
    labels: Labels = Field(default_factory=dict)
    version: Text | None = None
    user: User | None = None
    environment: EnvVars = Field(default_factory=dict)
    containers: Annotated[list[Container], Field(min_length=1, max_length=limits.CONTAINERS)]
    secrets: Secrets = Field(default_factory=dict)
    volumes: Annotated[list[Volume], Field(max_length=limits.VOLUMES)] = Field(default_factory=list)
    networks: Annotated[list[Network], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    scaling: Scaling = Scaling()
    scheduling: Scheduling = Scheduling()
    executor_resources: ExecutorResources | None = None
    role: Text | None = None
    linux_info: LinuxInfo | None = None
    legacy_shared_cgroups: bool | None = None
    priority: Priority | None = None
    policy: Policy | None = None
    drain_seconds: Seconds | None = None
