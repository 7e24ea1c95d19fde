"""Commands about the cluster itself: up, join, down, status, agents, drain, resume, version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from orch.cli.common import DEFAULT, Common, Output
from orch.cli.output import counts, say, show_one, show_rows
from orch.model.words import number_of


def up(
    *,
    agents: int | None = None,
    simulated: bool = False,
    data_dir: Path | None = None,
    ray_address: str | None = None,
    agent_cpus: float | None = None,
    agent_mem: int | None = None,
    host: str | None = None,
    port: int = 0,
    tenancy: Literal["groups", "single"] | None = None,
    policy: Literal["best-fit", "first-fit", "spread"] | None = None,
    output: Output = "table",
) -> None:
    """Start a cluster on this machine, or say that it runs already.

    For example:
      orch up                          one agent with all of this machine
      orch up --agents 2               two agents that share it evenly
      orch up --agents 1000 --simulated

    Parameters
    ----------
    agents
        Agents on this machine [default: 1].
    simulated
        Simulated machines: everything is real but the processes.
    data_dir
        Where the journal, the token and the sandboxes live [env ORCH_DATA_DIR; default ~/.orch].
    ray_address
        Use this Ray cluster instead of an own one.
    agent_cpus
        CPUs of each agent [default: an even share of this machine].
    agent_mem
        MiB of memory of each agent [default: an even share of this machine].
    host
        The address that the API listens on [default: 127.0.0.1]; anything but loopback shows it to the network.
    port
        The API's port; 0 takes the one of last time, or a free one.
    tenancy
        groups: pods run under a uid of their top-level group (default under root); single: as you.
    policy
        How agents are chosen for what names no policy: the fullest that has room, the first, or the emptiest
        [default: best-fit].
    """
    from orch.cluster import up as start

    result = start(
        agents=agents, simulated=simulated, data_dir=data_dir, ray_address=ray_address, agent_cpus=agent_cpus,
        agent_mem=agent_mem, host=host, port=port, tenancy=tenancy, policy=policy,
    )  # fmt: skip
    text = f"cluster {result['cluster']} is up at {result['url']} with {_agents(result['agents'])}\n" + (
        f"token: {result['token_file']}\nnext: orch submit -n 10 --wait -- 'echo pod $ORCH_INDEX'"
    )
    for difference in result["ignored"]:
        say(f"{difference}. To change it: orch down, then orch up again.")
    show_one(result, output, text, name="cluster")


def join(
    address: str,
    *,
    token_file: Path,
    agents: int = 1,
    data_dir: Path | None = None,
    agent_cpus: float | None = None,
    agent_mem: int | None = None,
    node_ip: str | None = None,
    output: Output = "table",
) -> None:
    """Add this machine to a running cluster.

    For example: orch join http://10.0.0.5:7480 --token-file token

    Parameters
    ----------
    address
        URL of the cluster's API.
    token_file
        A file with the cluster's token (copy it from the first machine).
    agents
        Agents on this machine.
    data_dir
        Where this machine's sandboxes live; each machine needs its own.
    agent_cpus
        CPUs of each agent [default: an even share of this machine].
    agent_mem
        MiB of memory of each agent [default: an even share of this machine].
    node_ip
        The address under which the others reach this machine.
    """
    from orch.cluster import join as start

    result = start(
        address, token_file=token_file, agents=agents, data_dir=data_dir, agent_cpus=agent_cpus, agent_mem=agent_mem,
        node_ip=node_ip,
    )  # fmt: skip
    show_one(result, output, f"joined {result['cluster']} with {_agents(result['agents'])}", name="cluster")


def down(*, purge: bool = False, data_dir: Path | None = None, output: Output = "table") -> None:
    """Stop the cluster on this machine: its pods, and every process of ours.

    The journal stays, and the next `orch up` brings the services back. A machine that joined leaves: the cluster goes
    on without it.

    For example:
      orch down
      orch down --purge                delete the journal, the sandboxes and the token too

    Parameters
    ----------
    purge
        Also delete the journal, the sandboxes and the token.
    data_dir
        The cluster's folder [env ORCH_DATA_DIR; default ~/.orch].
    """
    from orch.cluster import down as stop

    result = stop(data_dir=data_dir, purge=purge)
    show_one(result, output, _down(result), name="cluster")


def status(common: Common = DEFAULT) -> None:
    """What the cluster is and how it does.

    For example:
      orch status
      orch status -o json | jq .agents
    """
    with common.connect() as cluster:
        info = cluster.info()
    show_one(info, common.output, _status(info), name="cluster")


def agents(common: Common = DEFAULT) -> None:
    """The agents: what they have, what is free, what runs on them.

    For example:
      orch agents                      free/total of each resource
      orch agents -o json
    """
    with common.connect() as cluster:
        rows = cluster.agents()
    columns = ("name", "state", "instances", "cpus", "mem", "disk", "gpus", "ports")
    show_rows(rows if common.output != "table" else [_agent(row) for row in rows], columns, common.output, name="name")


def drain(agent: str, common: Common = DEFAULT) -> None:
    """Give an agent no new pods; what runs there goes on.

    For example:
      orch drain a12                   before its machine is taken down
      orch resume a12                  give it pods again
    """
    with common.connect() as cluster:
        found = cluster.drain(agent)
    show_one(found, common.output, f"agent {agent} is drained: it takes no new pods until `orch resume {agent}`")


def resume(agent: str, common: Common = DEFAULT) -> None:
    """Give a drained agent new pods again.

    For example:
      orch resume a12
    """
    with common.connect() as cluster:
        found = cluster.drain(agent, False)
    show_one(found, common.output, f"agent {agent} is drained no more")


def version(*, output: Output = "table") -> None:
    """The versions of orch and of what it stands on.

    For example: orch version -o json
    """
    import platform
    from importlib.metadata import version as of

    from orch import __version__

    parts = {"orch": __version__, "python": platform.python_version()}
    parts |= {name: of(name) for name in ("ray", "numpy", "msgpack", "fastapi")}
    show_one(parts, output, name="orch")


def _down(result: dict[str, Any]) -> str:
    cluster, ran, purged = result["cluster"], result["was_running"], result["purged"]
    if cluster is None:
        return "there is no cluster here; it was not running, and nothing was touched"
    if result["member"]:
        what = "left" if ran else "was not running in"
        return f"this machine {what} cluster {cluster}; its sandboxes and settings here are " + (
            "deleted" if purged else "kept"
        )
    what = "is down" if ran else "was not running"
    return f"cluster {cluster} {what}; " + ("its data are deleted" if purged else "its journal is kept")


def _agents(number: Any) -> str:
    count = number if isinstance(number, int) else len(number)
    return number_of(count, "agent")


def _agent(row: dict[str, Any]) -> dict[str, Any]:
    amounts = {
        name: f"{row['free'][name]:g}/{row['total'][name]:g}" for name in ("cpus", "mem", "disk", "gpus", "ports")
    }
    return {"name": row["name"], "state": row["state"].lower(), "instances": row.get("instances", 0), **amounts}


def _status(info: dict[str, Any]) -> str:
    lines = [
        f"cluster   {info.get('cluster')}  {info.get('url', '')}",
        f"agents    {counts(info.get('agents', {}))}",
        f"instances {counts(info.get('instances', {}))}",
        f"services  {info.get('services', 0)}",
        f"jobs      {info.get('jobs', 0)}",
        f"journal   index {info.get('index', 0)}, epoch {info.get('epoch', 0)}",
    ]
    lines += [f"warning   {text}" for text in info.get("warnings", ())]
    return "\n".join(lines)


COMMANDS = (up, join, down, status, agents, drain, resume, version)

__all__ = ["COMMANDS", "say"]
