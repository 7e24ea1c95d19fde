"""Where apps are reached, as the tab-separated lines that scripts of load balancers read."""

from __future__ import annotations

from collections.abc import Iterable

from orch.api import reads
from orch.machine.host import Host


def of_apps(host: Host, paths: Iterable[str]) -> str:
    """A line for each service port of each app: `demo_web<TAB>10000<TAB>host:port<TAB>...`, of what runs.

    An app without ports has one line, with a space in place of the port and its hosts one after another.
    """
    return "".join(line for path in paths for line in _lines(host, path))


def _lines(host: Host, path: str) -> Iterable[str]:
    name = path.strip("/").replace("/", "_")
    rows = [row for row in reads.service_instances(host, path) if row["state"] == "RUNNING"]
    ports = reads.service_ports(host, path)
    if not ports:
        yield f"{name}\t \t" + "".join(f"{row['host']} " for row in rows) + "\n"
    for at, port in enumerate(ports):
        places = [f"{row['host']}:{_port(row, at)}\t" for row in rows]
        yield f"{name}\t{port}\t" + "".join(places) + "\n"


def _port(row: dict[str, object], at: int) -> int:
    endpoints = row["endpoints"]
    assert isinstance(endpoints, list)
    return int(endpoints[at]["port"]) if at < len(endpoints) else 0
