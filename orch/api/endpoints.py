"""Where services are reached: each endpoint of each running instance, with what its spec says of it."""

from __future__ import annotations

from typing import Any

from orch.api import reads
from orch.machine.host import Host

VIP = "VIP_"
"""Labels of an endpoint that begin so name a virtual address, `/name:port`."""


def of_services(host: Host, under: str) -> list[dict[str, Any]]:
    """Of the service at a path, or of all in the group of that path, by service and instance.

    `{service, instance, agent, host, port, name, container, container_port, service_port, protocols, labels, vips,
    healthy, ready}`. port: of the host, 0 where the endpoint has none. Only instances that run.
    """
    group = under.rstrip("/") + "/"
    services = reads.services_of(host).registry.services
    paths = [path for path in sorted(services) if f"{path}/".startswith(group)]
    return [found for path in paths for row in reads.service_instances(host, path) for found in _of_instance(host, row)]


def _of_instance(host: Host, row: dict[str, Any]) -> list[dict[str, Any]]:
    if row["state"] != "RUNNING":
        return []
    template = reads.services_of(host).registry.services[row["path"]].specs[row["version"]].template
    specs = [(container.name, endpoint) for container in template.containers for endpoint in container.endpoints]
    return [
        {
            "service": row["path"],
            "instance": row["name"],
            "agent": row["agent"],
            "host": row["host"],
            "port": told["port"],
            "name": endpoint.name or None,
            "container": container,
            "container_port": endpoint.container_port,
            "service_port": endpoint.service_port or None,
            "protocols": list(endpoint.protocols),
            "labels": dict(endpoint.labels),
            "vips": [value for name, value in endpoint.labels if name.startswith(VIP)],
            "healthy": row["healthy"],
            "ready": row["ready"],
        }
        for (container, endpoint), told in zip(specs, row["endpoints"], strict=False)
    ]
