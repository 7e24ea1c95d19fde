"""The wire format of an app: `/v2/apps`, with the legacy fields that `legacy.py` turns into present ones."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orch.model.specs import limits
from orch.model.specs.wire import (
    Affinities,
    AnyPort,
    Arguments,
    Artifact,
    Command,
    CommandCheck,
    Count,
    Cpus,
    EnvVars,
    Executor,
    Factor,
    Fraction,
    FreeText,
    Gpus,
    KillSelection,
    Labels,
    LegacyName,
    LinuxInfo,
    Mib,
    Name,
    Network,
    PathText,
    PersistentVolume,
    Policy,
    PortName,
    Priority,
    Protocol,
    PullConfig,
    ResourceLimits,
    Scheme,
    Seconds,
    Secrets,
    Text,
    Triples,
    Tty,
    Unreachable,
    Wire,
    one_of,
)


class PortDefinition(Wire):
    """A port of the agent. port: the service port, or the agent's own with requirePorts; 0 = any."""

    port: AnyPort = 0
    labels: Labels = Field(default_factory=dict)
    name: LegacyName | None = None
    protocol: Protocol = "tcp"


class PortMapping(Wire):
    """A port inside a container network, and the agent's port it is reached by."""

    container_port: AnyPort = 0
    host_port: AnyPort | None = None
    labels: Labels = Field(default_factory=dict)
    name: LegacyName | None = None
    protocol: Protocol = "tcp"
    service_port: AnyPort = 0
    network_names: Annotated[list[Name], Field(max_length=limits.ITEMS)] = Field(default_factory=list)


PortMappings = Annotated[list[PortMapping], Field(max_length=limits.ITEMS)]


class Parameter(Wire):
    """An option handed to Docker."""

    key: Text
    value: FreeText


class Credential(Wire):
    """Legacy: who opens a private registry."""

    principal: Text
    secret: Text | None = None


class Docker(Wire):
    """A Docker image."""

    image: Text
    force_pull_image: bool = False
    privileged: bool = False
    parameters: Annotated[list[Parameter], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    pull_config: PullConfig | None = None
    credential: Credential | None = None
    network: Annotated[str, one_of("BRIDGE", "HOST", "NONE", "USER")] | None = None
    port_mappings: PortMappings | None = None


class Appc(Wire):
    """An App Container image."""

    image: Text
    id: Text | None = None
    labels: Labels = Field(default_factory=dict)
    force_pull_image: bool = False


class ExternalVolume(Wire):
    """A volume of a storage provider. size in GiB."""

    size: Annotated[int, Field(ge=0, le=limits.MIB)] | None = None
    name: Text | None = None
    provider: Text | None = None
    options: Labels = Field(default_factory=dict)
    shared: bool = False


class AppVolume(Wire):
    """A volume: one of hostPath, persistent, external, secret."""

    container_path: Annotated[str, Field(max_length=limits.TEXT_CHARS)] | None = None
    host_path: Annotated[str, Field(max_length=limits.TEXT_CHARS)] | None = None
    mode: Annotated[str, one_of("RO", "RW")] = "RW"
    persistent: PersistentVolume | None = None
    external: ExternalVolume | None = None
    secret: Text | None = None


class AppContainer(Wire):
    """What an app runs in: the plain agent (MESOS without an image), or an image."""

    type: Annotated[str, one_of("MESOS", "DOCKER")] = "DOCKER"
    docker: Docker | None = None
    appc: Appc | None = None
    volumes: Annotated[list[AppVolume], Field(max_length=limits.VOLUMES)] = Field(default_factory=list)
    port_mappings: PortMappings | None = None
    linux_info: LinuxInfo | None = None


class CommandLine(Wire):
    """A line for the shell."""

    value: Command


class AppHealthCheck(Wire):
    """A check whose repeated failure stops the instance."""

    protocol: Annotated[str, one_of("HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_TCP", "MESOS_HTTP", "MESOS_HTTPS")] = (
        "HTTP"
    )
    command: CommandLine | None = None
    path: FreeText | None = None
    port: AnyPort | None = None
    port_index: AnyPort | None = None
    ip_protocol: Annotated[str, one_of("IPv4", "IPv6")] = "IPv4"
    ignore_http1xx: Annotated[bool, Field(alias="ignoreHttp1xx")] = False
    grace_period_seconds: Seconds = 300
    interval_seconds: Seconds = 60
    timeout_seconds: Seconds = 20
    delay_seconds: Seconds = 15
    max_consecutive_failures: Count = 3


class AppHttpCheck(Wire):
    """A check by an HTTP GET."""

    port_index: AnyPort | None = None
    path: Text | None = None
    scheme: Scheme = "HTTP"


class AppTcpCheck(Wire):
    """A check by a connection."""

    port_index: AnyPort | None = None


class AppCheck(Wire):
    """A check that informs and never stops the instance: one of http, tcp, exec."""

    http: AppHttpCheck | None = None
    tcp: AppTcpCheck | None = None
    exec: CommandCheck | None = None
    interval_seconds: Seconds = 60
    timeout_seconds: Seconds = 20
    delay_seconds: Seconds = 15


class ReadinessCheck(Wire):
    """A check that a deployment waits for."""

    name: Text = "readinessCheck"
    protocol: Scheme = "HTTP"
    path: Text = "/"
    port_name: PortName = "http-api"
    interval_seconds: Seconds = 30
    timeout_seconds: Seconds = 10
    http_status_codes_for_ready: Annotated[
        list[Annotated[int, Field(ge=100, le=999)]], Field(min_length=1, max_length=limits.ITEMS)
    ] = Field(default_factory=lambda: [200])
    preserve_last_response: bool = False


class UpgradeStrategy(Wire):
    """How many instances may be missing or extra during a deployment, as parts of the whole."""

    minimum_health_capacity: Fraction = 1.0
    maximum_over_capacity: Fraction = 1.0


class Residency(Wire):
    """What becomes of an instance with a persistent volume whose agent is gone."""

    relaunch_escalation_timeout_seconds: Seconds = 3600
    task_lost_behavior: Annotated[str, one_of("WAIT_FOREVER", "RELAUNCH_AFTER_TIMEOUT")] = "WAIT_FOREVER"


class DiscoveryPort(Wire):
    """Legacy: a port of ipAddress."""

    number: AnyPort = 0
    name: LegacyName
    protocol: Protocol = "tcp"
    labels: Labels = Field(default_factory=dict)


class Discovery(Wire):
    """Legacy: the ports of ipAddress."""

    ports: Annotated[list[DiscoveryPort], Field(max_length=limits.ITEMS)] = Field(default_factory=list)


class IpAddress(Wire):
    """Legacy: an address for each instance, now `networks`."""

    discovery: Discovery | None = None
    groups: Annotated[list[Text], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    network_name: Text | None = None


class VersionInfo(Wire):
    """Read-only: when the app was last changed and scaled."""

    last_scaling_at: Text
    last_config_change_at: Text


Roles = Annotated[list[Text], Field(min_length=1, max_length=limits.ITEMS)]


class AppSpec(Wire):
    """An app as the wire has it. Made by `parse_app`, which also checks what the fields say about each other."""

    id: PathText
    cmd: Command | None = None
    args: Arguments = Field(default_factory=list)
    user: Text | None = None
    env: EnvVars = Field(default_factory=dict)
    instances: Count = 1
    cpus: Cpus = 1.0
    mem: Mib = 128.0
    disk: Mib = 0.0
    gpus: Gpus = 0
    resource_limits: ResourceLimits | None = None
    executor: Executor = ""
    constraints: Triples = Field(default_factory=list)
    preferences: Triples = Field(default_factory=list)
    affinity: Affinities = Field(default_factory=list)
    fetch: Annotated[list[Artifact], Field(max_length=limits.ARTIFACTS)] = Field(default_factory=list)
    store_urls: Annotated[list[Text], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    backoff_seconds: Seconds = 1
    backoff_factor: Annotated[Factor, Field(ge=1)] = 1.15
    max_launch_delay_seconds: Seconds = 300
    container: AppContainer | None = None
    health_checks: Annotated[list[AppHealthCheck], Field(max_length=limits.CHECKS)] = Field(default_factory=list)
    check: AppCheck | None = None
    readiness_checks: Annotated[list[ReadinessCheck], Field(max_length=1)] = Field(default_factory=list)
    dependencies: Annotated[list[PathText], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    upgrade_strategy: UpgradeStrategy | None = None
    labels: Labels = Field(default_factory=dict)
    accepted_resource_roles: Roles | None = None
    residency: Residency | None = None
    secrets: Secrets = Field(default_factory=dict)
    task_kill_grace_period_seconds: Seconds | None = None
    unreachable_strategy: Unreachable | None = None
    kill_selection: KillSelection = "YOUNGEST_FIRST"
    networks: Annotated[list[Network], Field(max_length=limits.ITEMS)] = Field(default_factory=list)
    port_definitions: Annotated[list[PortDefinition], Field(max_length=limits.ENDPOINTS)] | None = None
    require_ports: bool = False
    tty: Tty | bool | None = None
    role: Text | None = None
    version: Text | None = None
    version_info: VersionInfo | None = None
    priority: Priority | None = None
    policy: Policy | None = None
    drain_seconds: Seconds | None = None
    ports: Annotated[list[AnyPort], Field(max_length=limits.ENDPOINTS)] | None = None
    uris: Annotated[list[Text], Field(max_length=limits.ARTIFACTS)] | None = None
    ip_address: IpAddress | None = None
