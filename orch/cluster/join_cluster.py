"""`orch join`: this machine (or, for a trial, another address of it) as one more node of a running cluster."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orch.client.places import normal_url, read_token
from orch.cluster.bring_up import READY_S
from orch.cluster.files import ClusterFiles, read_json, remove, write_json, write_private
from orch.cluster.files import data_dir as find_data_dir
from orch.cluster.machine import detect, plan_agents
from orch.cluster.start import (
    clear_leftovers,
    delete_all,
    launch,
    node_dir,
    remove_runtime,
    stop_node,
    supervisor,
    tenancy_of,
    wait_ready,
)
from orch.model.errors import (
    ConflictError,
    OrchError,
    TimeoutExceededError,
    UnavailableError,
    UsageError,
    from_dict,
)

_HTTP_S = 10.0


def join(
    address: str,
    *,
    token_file: Path | str,
    agents: int = 1,
    data_dir: Path | str | None = None,
    agent_cpus: float | None = None,
    agent_mem: int | None = None,
    node_ip: str | None = None,
    tenancy: str | None = None,
    timeout_s: float = READY_S,
) -> dict[str, Any]:
    """Start a supervisor and a Ray node here; returns when the agents are ready: `{url, cluster, node, agents, ...}`.

    address: URL of the cluster's API. node_ip: the address by which the others reach this machine; a second node on
    one machine needs one of its own, such as 127.0.0.3. A node that runs already is left as it is. Where it is refused,
    no data dir is left that was not there before.
    """
    began = time.monotonic()
    url = _url_of(address)
    token = read_token(token_file, address)
    files = ClusterFiles(find_data_dir(data_dir))
    was_there = files.data.exists()
    with files.exclusive(), _leaving_nothing(files, was_there):
        before = read_json(files.config_json)
        if before.get("head"):
            raise ConflictError(f"{files.data} is the data dir of a cluster's head; give another --data-dir")
        node = str(before.get("node") or f"n{secrets.token_hex(2)}")
        found = ask_to_join(url, token, node)
        _prepare(files, found["cluster"], token, found)
        started = supervisor(files) is None
        config = before
        if started:
            config = _plan(files, url, node, found, agents, (agent_cpus, agent_mem), node_ip, tenancy_of(tenancy))
            clear_leftovers(found["cluster"], node)
            launch(files, config)
        try:
            wait_ready(files, config, timeout_s)
        except BaseException:
            if started:
                stop_node(files, found["cluster"], node, 10.0)
                remove_runtime(found["cluster"], node)
            raise
        result = {
            "url": url,
            "cluster": found["cluster"],
            "token_file": str(files.token),
            "agents": len(config["agents"]),
        }
        write_json(files.cluster_json, {**result, "node": node, "data_dir": str(files.data)})
    return {**result, "node": node, "ready_ms": round((time.monotonic() - began) * 1000), "started": started}


def _url_of(address: str) -> str:
    """The URL of an API that is there, by its name at least. Raises UsageError."""
    url = normal_url(address)
    parts = urlsplit(url)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(
            f"no machine is called {parts.hostname!r} ({error.strerror}); the address of a cluster is what "
            "`orch status` shows on its first machine, such as http://10.0.0.5:7480 (see `orch join --help`)"
        ) from error
    return url


@contextlib.contextmanager
def _leaving_nothing(files: ClusterFiles, was_there: bool) -> Iterator[None]:
    """When what is done fails, what it made of the data dir goes again; a data dir of ours from before stays."""
    was_ours = files.cluster_id() is not None
    try:
        yield
    except TimeoutExceededError:
        raise  # it points at the logs there
    except BaseException:
        cluster = files.cluster_id()
        if cluster is not None and not was_ours:
            delete_all(files, cluster, read_json(files.config_json))
        elif not was_there:
            remove(files.data / "up.lock")
            with contextlib.suppress(OSError):
                files.data.rmdir()
        raise


def ask_to_join(url: str, token: str, node: str) -> dict[str, Any]:
    """What the gateway gives a machine that joins: Ray's address and token, the cluster's id, the nodes' token."""
    return ask(url, "POST", "/internal/join", token, {"node": node})


def ask(url: str, method: str, path: str, token: str, body: Any = None) -> Any:
    """One request to a gateway, by the standard library. Raises the error it answers with, or UnavailableError."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise UsageError(f"{url!r} is no address of a cluster; it looks like http://10.0.0.5:7480")
    connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=_HTTP_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read() or b"null")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UnavailableError(
            f"the cluster at {url} does not answer: {error}; is it up, and the address right?"
        ) from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise from_dict(found if isinstance(found, dict) else {"status": answer.status})
    return found


def _prepare(files: ClusterFiles, cluster: str, token: str, found: dict[str, Any]) -> None:
    own = files.cluster_id()
    if own is None:
        files.prepare()
    elif own != cluster:
        raise ConflictError(f"{files.data} belongs to cluster {own}, not to {cluster}; give another --data-dir")
    write_private(files.marker, cluster + "\n")
    write_private(files.token, token + "\n")
    write_private(files.node_token, found["node_token"] + "\n")
    write_private(files.ray_token, found["ray_token"] + "\n")


def _plan(
    files: ClusterFiles, url: str, node: str, found: dict[str, Any], agents: int,
    share: tuple[float | None, int | None], node_ip: str | None, tenancy: str,
) -> dict[str, Any]:  # fmt: skip
    """The configuration of a joined node's supervisor."""
    cluster = found["cluster"]
    runtime = files.runtime(node)
    ray_host = found["ray_address"].rpartition(":")[0]
    foreign = bool(found.get("foreign_ray"))
    if ray_host.startswith("127.") and not node_ip and not foreign:
        raise UsageError(
            "that cluster listens on this machine only. To add a second node on the same machine give it an address "
            "of its own: --node-ip 127.0.0.3; for other machines start the cluster with `orch up --host <address>`"
        )
    return {
        "version": 1,
        "cluster": cluster,
        "node": node,
        "head": False,
        "data_dir": str(files.data),
        "runtime_dir": str(runtime),
        "node_dir": str(node_dir(files, cluster, tenancy, node)),
        "socket": str(runtime / "node.sock"),
        "url": url,
        "node_ip": node_ip or ("" if foreign else _address_towards(found["ray_address"])),
        "foreign_ray": foreign,
        "ray_address": found["ray_address"],
        "tenancy": tenancy,
        "simulated": False,
        "agents": plan_agents(agents, detect(files.data), f"{node}-a", *share, node, simulated=False),
    }


def _address_towards(address: str) -> str:
    """The own address by which this machine reaches another: the one it is reached by, if the network is plain."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _HTTP_S) as probe:
            return str(probe.getsockname()[0])
    except OSError as error:
        raise OrchError(
            f"Ray's head at {address} cannot be reached from here: {error}; is a firewall between?"
        ) from error
