"""`orch up`: a cluster on this machine, or the news that it runs already."""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, data_dir, read_json, write_json
from orch.cluster.machine import detect, plan_agents
from orch.cluster.ports import free_block, is_free
from orch.cluster.start import (
    clear_leftovers,
    evict_from_ray,
    launch,
    node_dir,
    remove_runtime,
    stop_node,
    supervisor,
    tenancy_of,
    wait_ready,
)
from orch.model.errors import ConflictError, OrchError, UnavailableError, UsageError
from orch.runtime.ray_env import port_answers

HEAD = "head"
"""Name of the node that `up` starts; `join` adds others."""
READY_S = 120.0
_LOOPBACK = ("127.", "localhost", "::1")
_RAY_LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for a mistake and uses the machine's address instead."""


def up(
    *,
    agents: int | None = None,
    simulated: bool = False,
    data_dir: Path | str | None = None,
    ray_address: str | None = None,
    agent_cpus: float | None = None,
    agent_mem: int | None = None,
    host: str | None = None,
    port: int = 0,
    tenancy: str | None = None,
    policy: str | None = None,
    settings: dict[str, Any] | None = None,
    owner_fd: int | None = None,
    timeout_s: float = READY_S,
) -> dict[str, Any]:
    """Start a cluster and return when its agents are ready.

    Returns `{url, cluster, token_file, agents, ready_ms, started, ignored}`. One that runs already is left as it is:
    `started` is False, and `ignored` says which options asked for something else. `agents`: 1 by default. `agent_cpus`,
    `agent_mem` (MiB): of each agent; by default they share the machine evenly. host: what the API listens on, loopback
    by default. policy: of what names none, "best-fit" by default. settings: keywords of the machines, by name.
    owner_fd: the reading end of a pipe; the cluster ends when the other end is closed.
    Raises OrchError and its kin, each with the remedy; then nothing is left running.
    """
    began = time.monotonic()
    files = ClusterFiles(_data_dir(data_dir))
    with files.exclusive():
        cluster = files.prepare()
        config = read_json(files.config_json)
        if config and not config.get("head"):
            raise ConflictError(f"{files.data} belongs to a node that joined another cluster; give another --data-dir")
        started = supervisor(files) is None
        asked = {
            "agents": agents, "simulated": simulated, "ray_address": ray_address, "agent_cpus": agent_cpus,
            "agent_mem": agent_mem, "host": host, "port": port, "tenancy": tenancy, "policy": policy,
        }  # fmt: skip
        ignored = [] if started else differences(asked, config)
        if started:
            asked |= {
                "agents": 1 if agents is None else agents,
                "host": host or "127.0.0.1",
                "tenancy": tenancy_of(tenancy),
            }
            clear_leftovers(cluster, HEAD)  # first, or the old ports would count as taken
            config = _plan(files, cluster, asked, config) | {
                "settings": settings_of(settings, policy),
                "embedded": owner_fd is not None,
            }
            launch(files, config, owner_fd)
        try:
            wait_ready(files, config, timeout_s)
        except BaseException:  # also Ctrl-C: nothing is left half done
            if started:
                stop_node(files, cluster, None, 10.0)
                evict_from_ray(files, config, False)
                remove_runtime(cluster, None)
            raise
        result = {
            "url": config["url"],
            "cluster": cluster,
            "token_file": str(files.token),
            "agents": agents_in(config),
        }
        boss = supervisor(files)
        write_json(files.cluster_json, {**result, "pid": boss.pid if boss else 0, "data_dir": str(files.data)})
    return {**result, "ready_ms": round((time.monotonic() - began) * 1000), "started": started, "ignored": ignored}


def settings_of(settings: dict[str, Any] | None, policy: str | None) -> dict[str, Any]:
    """Keywords of the machines by name, with how the built-in frameworks choose agents where it is given."""
    found = {name: dict(keywords) for name, keywords in (settings or {}).items()}
    for name in ("services", "batch") if policy else ():
        found.setdefault(name, {})["policy"] = policy
    return found


def differences(asked: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """What was asked for and is not so in the cluster that runs, a sentence each."""
    first = config["agents"][0]
    running = {
        "agents": agents_in(config),
        "simulated": config["simulated"],
        "ray_address": config.get("ray_address") if config.get("foreign_ray") else "its own Ray",
        "agent_cpus": first["cpus_milli"] / 1000,
        "agent_mem": first["mem_mib"],
        "host": config["host"],
        "port": config["port"],
        "tenancy": config["tenancy"],
        "policy": (config.get("settings") or {}).get("batch", {}).get("policy", "best-fit"),
    }
    return [
        f"--{name.replace('_', '-')}: asked {value}, the running cluster has {running[name]}"
        for name, value in asked.items()
        if value not in (None, False, 0) and value != running[name]
    ]


def agents_in(config: dict[str, Any]) -> int:
    """How many agents a configuration is for. Of simulated ones, which are all alike, it holds the first only."""
    return int(config.get("fleet") or len(config["agents"]))


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether a gateway answers at this URL."""
    address = url.split("://", 1)[-1].rstrip("/")
    connection = http.client.HTTPConnection(address, timeout=timeout_s)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


_data_dir = data_dir


def _plan(files: ClusterFiles, cluster: str, asked: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the head's supervisor."""
    tenancy = asked["tenancy"]
    sandboxes = node_dir(files, cluster, tenancy, HEAD)
    runtime = files.runtime()
    host = asked["host"]
    local = host.startswith(_LOOPBACK)
    simulated = bool(asked["simulated"])
    count = min(asked["agents"], 1) if simulated else asked["agents"]
    plan = plan_agents(count, detect(files.data), "a", asked["agent_cpus"], asked["agent_mem"], HEAD, simulated)
    port = _port(asked["port"], int(before.get("port") or 0), host)
    config: dict[str, Any] = {
        "version": 1,
        "cluster": cluster,
        "node": HEAD,
        "head": True,
        "data_dir": str(files.data),
        "runtime_dir": str(runtime),
        "node_dir": str(sandboxes),
        "socket": str(runtime / "node.sock"),
        "host": host,
        "port": port,
        "url": f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}",
        "node_ip": _RAY_LOOPBACK if local else _address_of(host),
        "ray_port": before.get("ray_port", 0),
        "tenancy": tenancy,
        "simulated": simulated,
        "fleet": asked["agents"] if simulated else 0,
        "agents": plan,
    }
    if asked["ray_address"]:
        config |= {
            "foreign_ray": True,
            "ray_address": _ray_address(asked["ray_address"]),
            "node_ip": "",
            "share": {name: asked[name] for name in ("agents", "agent_cpus", "agent_mem", "tenancy")},
        }
    return config


def _ray_address(text: str) -> str:
    """`host:port` of somebody else's Ray, which must answer. Raises UsageError and UnavailableError."""
    address = text.removeprefix("ray://")
    host, _, port = address.rpartition(":")
    if text.startswith("ray://") or not host or not port.isdigit():
        raise UsageError(f"--ray-address is host:port of Ray's head (its GCS, such as 10.0.0.5:6379), not {text!r}")
    if not port_answers(address):
        raise UnavailableError(f"nothing answers at Ray's address {address}; is that Ray running?")
    return address


def _port(asked: int, before: int, host: str) -> int:
    """The port that was asked for (it must be free), else the one of last time, else a free one."""
    if not 0 <= asked < 65_536:
        raise UsageError(f"--port must be between 0 and 65535, it is {asked}")
    if asked:
        if not is_free(asked, host):
            raise OrchError(
                f"port {asked} of {host} is in use by another program; give another --port, or 0 for a free one"
            )
        return asked
    return before if before and is_free(before, host) else free_block(1)


def _address_of(host: str) -> str:
    """The address by which other machines reach this one."""
    if host not in ("0.0.0.0", "::", ""):
        return host
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent; the system picks the interface that leads out
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostbyname(socket.gethostname())
