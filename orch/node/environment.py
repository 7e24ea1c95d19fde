"""What a pod's process finds in its environment: an allow-list, never what the supervisor's own environment holds."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orch.model.ids import path_to_name, top_group
from orch.model.resources import GPUS, to_user
from orch.model.specs.template import ContainerTemplate, EndpointTemplate, Template
from orch.node.folders import open_to_others

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""The only variables that come from the supervisor's environment: how text and time look on this machine."""

LONGEST = 512
"""Labels of so many characters or more, name or value, are in no variable."""
_LABEL = "MARATHON_APP_LABEL_"


@dataclass(frozen=True, slots=True)
class Place:
    """Where pods are: what is the same for all of one agent."""

    cluster: str
    agent: str
    host: str
    search_path: str
    locale: tuple[tuple[str, str], ...]


def place(cluster: str, agent: str, host: str, *, shared: bool, environ: Mapping[str, str] | None = None) -> Place:
    """The place of an agent. host: the address that its endpoints are reached by. shared: see `search_path`."""
    environ = os.environ if environ is None else environ
    locale = {name: environ[name] for name in _PASSED if environ.get(name)}
    locale.setdefault("LANG", "C.UTF-8")
    path = search_path(environ.get("PATH", ""), shared=shared)
    return Place(cluster, agent, host, path, tuple(sorted(locale.items())))


def search_path(own: str, *, shared: bool) -> str:
    """$PATH of pods: the standard folders, then the others of the supervisor's own path.

    Folders that the pods cannot enter are left out, or a command that is nowhere would be called forbidden. shared: the
    pods run under other uids.
    """
    folders = STANDARD_PATH.split(":")
    for folder in own.split(":"):
        if folder.startswith("/") and folder not in folders and os.access(folder, os.X_OK):
            if not shared or open_to_others(Path(folder)):
                folders.append(folder)
    return ":".join(folders)


def common(where: Place, template: Template, container: ContainerTemplate, user_name: str) -> dict[str, str]:
    """What all instances of a container have: ours, then Marathon's names, then the spec's own, which wins.

    Each instance's own are added: ORCH_ID, ORCH_INDEX, ORCH_INSTANCE, ORCH_ATTEMPT, MARATHON_APP_VERSION,
    MESOS_TASK_ID, MESOS_EXECUTOR_ID, MESOS_SANDBOX and HOME.
    """
    env = dict(where.locale)
    env |= {
        "PATH": where.search_path,
        "USER": user_name,
        "LOGNAME": user_name,
        "SHELL": "/bin/sh",
        "HOST": where.host,
        "MARATHON_APP_ID": template.path,
        "ORCH_PATH": template.path,
        "ORCH_GROUP": template.group or top_group(template.path),
        "ORCH_CONTAINER": container.name,
    }
    env |= _resources(template, container) | _labels(template, container)
    if container.image:
        env["MARATHON_APP_DOCKER_IMAGE"] = container.image
    env |= dict(template.env_of(container))
    env |= {"ORCH_CLUSTER": where.cluster, "ORCH_AGENT": where.agent}
    return env


def endpoints(template: Template, ports: Sequence[Sequence[int]], at: int) -> dict[str, str]:
    """The ports of all containers of an instance, as container `at` sees them. ports: 0 where it has none of the host.

    Of every endpoint of the pod: EP_HOST_<NAME>, the port of the host; EP_CONTAINER_<NAME>, the one inside, if it has
    its own; ENDPOINT_<NAME>, the one to listen at. Of the container's own: PORT0.. in the order of the spec,
    PORT_<NAME>, PORT_<NUMBER> by the number that the spec asks for (or else got), PORTS those of the host, and PORT the
    first of them.
    """
    env: dict[str, str] = {}
    for container, given in zip(template.containers, ports, strict=True):
        for endpoint, port in zip(container.endpoints, given, strict=True):
            if endpoint.name:
                env |= _endpoint(endpoint, port)
    for number, (endpoint, port) in enumerate(zip(template.containers[at].endpoints, ports[at], strict=True)):
        shown = str(port or endpoint.container_port or 0)
        env[f"PORT{number}"] = shown
        env[f"PORT_{_asked(endpoint) or shown}"] = shown
        if endpoint.name and port:
            env |= {f"PORT_{name}": shown for name in (endpoint.name.upper(), _variable(endpoint.name))}
    own = [port for port in ports[at] if port]
    if own:
        env["PORT"] = str(own[0])
    if ports[at]:
        env["PORTS"] = ",".join(map(str, own))
    return env


def _endpoint(endpoint: EndpointTemplate, port: int) -> dict[str, str]:
    name, inside = _variable(endpoint.name), endpoint.container_port
    env = {f"ENDPOINT_{name}": str(inside or port)}
    if port:
        env[f"EP_HOST_{name}"] = str(port)
    if inside:
        env[f"EP_CONTAINER_{name}"] = str(inside)
    return env


def _asked(endpoint: EndpointTemplate) -> int:
    """The number that the spec has for a port: inside, on the host, or for load balancers; 0 for any."""
    return endpoint.container_port or endpoint.host_port or endpoint.service_port


def instance(name: str, id: int, attempt: int, index: int, sandbox: Path, container: str = "") -> dict[str, str]:
    """What tells one instance from the next; a job's are added by the engine, with the same names.

    container: its name where it is one of a pod, each of which is a task of its own.
    """
    return {
        "ORCH_INSTANCE": name,
        "ORCH_ID": str(id),
        "ORCH_INDEX": str(index),
        "ORCH_ATTEMPT": str(attempt),
        "MESOS_TASK_ID": f"{name}.{container}" if container else name,
        "MESOS_EXECUTOR_ID": name,
        "MESOS_SANDBOX": str(sandbox),
    }


def to_list(env: Mapping[str, str]) -> list[bytes]:
    """`NAME=value` entries as exec takes them."""
    return [os.fsencode(f"{name}={value}") for name, value in env.items()]


def job_prefix(path: str, job: int) -> str:
    """The beginning of the names of a job's instances: `demo_digest.j7`; `.<index>` is added."""
    return f"{path_to_name(path)}.j{job}"


def _resources(template: Template, container: ContainerTemplate) -> dict[str, str]:
    """What a container reserves, as Marathon writes numbers: `1.0`, `128.0`, and whole GPUs."""
    amounts = {
        "CPUS": container.cpus_milli / 1000,
        "MEM": float(container.mem_mib),
        "DISK": float(container.disk_mib),
        "GPUS": to_user(GPUS, container.gpus_milli),
    }
    if template.kind != "pod":
        return {f"MARATHON_APP_RESOURCE_{name}": str(amount) for name, amount in amounts.items()}
    own = {f"MARATHON_CONTAINER_RESOURCE_{name}": str(amount) for name, amount in amounts.items()}
    return {"MARATHON_CONTAINER_ID": container.name, **own}


def _labels(template: Template, container: ContainerTemplate) -> dict[str, str]:
    """The spec's labels, those of the container over those of the pod. What is too long for a variable is left out."""
    labels = dict(template.labels) | dict(container.labels)
    fits = {
        _variable(name): value
        for name, value in labels.items()
        if len(name) < LONGEST - len(_LABEL) and len(value) < LONGEST
    }
    return {"MARATHON_APP_LABELS": " ".join(fits), **{f"{_LABEL}{name}": value for name, value in fits.items()}}


def _variable(name: str) -> str:
    """A name as part of a variable's: runs of other characters become one underscore."""
    return re.sub(r"[^a-zA-Z0-9_]+", "_", name).upper()
