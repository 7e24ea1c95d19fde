"""What a pod's process finds in its environment: an allow-list, never what the supervisor's own environment holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orch.model.ids import path_to_name, top_group
from orch.model.resources import CPUS, DISK, GPUS, MEM, to_user
from orch.model.specs.template import ContainerTemplate, Template
from orch.node.folders import open_to_others

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
"""The only variables that come from the supervisor's environment: how text and time look on this machine."""


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

    ORCH_ID, ORCH_INDEX, ORCH_INSTANCE, ORCH_ATTEMPT, MESOS_TASK_ID, MESOS_SANDBOX and HOME are added for each instance.
    """
    request = template.request
    env = dict(where.locale)
    env |= {
        "PATH": where.search_path,
        "USER": user_name,
        "LOGNAME": user_name,
        "SHELL": "/bin/sh",
        "HOST": where.host,
        "MARATHON_APP_ID": template.path,
        "MARATHON_APP_RESOURCE_CPUS": str(to_user(CPUS, request[CPUS])),
        "MARATHON_APP_RESOURCE_MEM": str(to_user(MEM, request[MEM])),
        "MARATHON_APP_RESOURCE_DISK": str(to_user(DISK, request[DISK])),
        "MARATHON_APP_RESOURCE_GPUS": str(to_user(GPUS, request[GPUS])),
        "MARATHON_APP_LABELS": " ".join(_label_name(name) for name, _ in template.labels),
        "ORCH_PATH": template.path,
        "ORCH_GROUP": template.group or top_group(template.path),
        "ORCH_CONTAINER": container.name,
    }
    env |= {f"MARATHON_APP_LABEL_{_label_name(name)}": value for name, value in template.labels}
    env |= dict(template.env_of(container))
    env |= {"ORCH_CLUSTER": where.cluster, "ORCH_AGENT": where.agent}
    return env


def endpoints(template: Template, ports: Sequence[Sequence[int]], at: int) -> dict[str, str]:
    """The ports of all containers of an instance, as container `at` sees them.

    ENDPOINT_<NAME> and EP_HOST_<NAME> name every endpoint of the pod; PORT0.., PORTS, PORT and PORT_<NAME> are the
    container's own.
    """
    env: dict[str, str] = {}
    for container, given in zip(template.containers, ports, strict=True):
        for endpoint, port in zip(container.endpoints, given, strict=True):
            name = _label_name(endpoint.name)
            if name:
                env[f"ENDPOINT_{name}"] = str(port)
                env[f"EP_HOST_{name}"] = str(port)
                env[f"EP_CONTAINER_{name}"] = str(endpoint.container_port or port)
    own = [port for port in ports[at] if port]
    env |= {f"PORT{number}": str(port) for number, port in enumerate(own)}
    if own:
        env |= {"PORT": str(own[0]), "PORTS": ",".join(map(str, own))}
    for endpoint, port in zip(template.containers[at].endpoints, ports[at], strict=True):
        if endpoint.name:
            env[f"PORT_{_label_name(endpoint.name)}"] = str(port)
    return env


def instance(name: str, id: int, attempt: int, index: int, sandbox: Path) -> dict[str, str]:
    """What tells one instance from the next; a job's are added by the engine, with the same names."""
    return {
        "ORCH_INSTANCE": name,
        "ORCH_ID": str(id),
        "ORCH_INDEX": str(index),
        "ORCH_ATTEMPT": str(attempt),
        "MESOS_TASK_ID": name,
        "MESOS_SANDBOX": str(sandbox),
    }


def to_list(env: Mapping[str, str]) -> list[bytes]:
    """`NAME=value` entries as exec takes them."""
    return [os.fsencode(f"{name}={value}") for name, value in env.items()]


def job_prefix(path: str, job: int) -> str:
    """The beginning of the names of a job's instances: `demo_digest.j7`; `.<index>` is added."""
    return f"{path_to_name(path)}.j{job}"


def _label_name(name: str) -> str:
    return "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name).upper()
