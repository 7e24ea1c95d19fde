"""Commands that only look: ps, inspect, logs, why, endpoints, events."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from orch.cli.common import DEFAULT, Common
from orch.cli.instance import instance_text
from orch.cli.output import ago, counts, show_one, show_rows, time_of_day
from orch.model.errors import NotFoundError

if TYPE_CHECKING:
    from orch.client import Cluster


def ps(id: str | None = None, *, common: Common = DEFAULT) -> None:
    """What runs, what waits, what has ended: services and jobs, or the instances of one.

    For example:
      orch ps
      orch ps /demo/web
      orch ps 7 -o json

    Parameters
    ----------
    id
        A service's path, or a job's number or path: list its instances.
    """
    with common.connect() as cluster:
        rows = cluster.ps() if id is None else cluster.instances(id)
        if id is not None and not rows and common.output == "table":
            rows = _instead(cluster, id)
    if common.output == "table":
        now_ms = int(time.time() * 1000)
        rows = [_row(row, now_ms) for row in rows]
    columns = ("id", "kind", "state", "wanted", "age", "note") if id is None else _INSTANCE
    show_rows(rows, columns, common.output)


def inspect(id: str, *, common: Common = DEFAULT) -> None:
    """Everything about one service, job, instance or agent, with its story.

    For example:
      orch inspect /demo/web
      orch inspect demo_web.1          an instance: its containers, and what happened to it
      orch inspect a1 -o json

    Parameters
    ----------
    id
        A path, a job's number, an instance's name or number, or an agent's name.
    """
    with common.connect() as cluster:
        thing = cluster.inspect(id)
    if common.output == "table" and thing["kind"] == "instance":
        show_one(thing, "table", instance_text(thing))
    else:
        show_one(thing, "yaml" if common.output == "table" else common.output)


def logs(
    id: str,
    *,
    container: Annotated[str | None, Parameter(name=["--container", "-c"])] = None,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    stderr: Annotated[bool, Parameter(negative="")] = False,
    lines: Annotated[int, Parameter(name=["--lines", "-n"])] = 0,
    common: Common = DEFAULT,
) -> None:
    """What an instance printed; of a service, its newest instance; of a job, its first pod.

    For example:
      orch logs /demo/web -c app -f
      orch logs demo_digest.j7.12 --stderr

    Parameters
    ----------
    id
        A service's path, a job's number, or an instance's name.
    container
        Of a pod with several: which one.
    follow
        Go on as more is printed.
    stderr
        The other stream.
    lines
        Only so many of the last lines; 0 for all.
    """
    stream = "stderr" if stderr else "stdout"
    with common.connect() as cluster:
        for chunk in cluster.logs(id, container=container, stream=stream, follow=follow, lines=lines):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


def why(id: str, *, common: Common = DEFAULT) -> None:
    """Why something is not running (or that it is): which agents were ruled out by what, and how near the nearest came.

    For example:
      orch why /demo/web
      orch why 7 -o json

    Parameters
    ----------
    id
        A service's path, a job's number or path, or an instance's name.
    """
    with common.connect() as cluster:
        answer = cluster.why(id)
    show_one(answer.to_dict(), common.output, str(answer))


def endpoints(path: str = "/", *, common: Common = DEFAULT) -> None:
    """Where services are reached: host and port of each endpoint of what runs, its health, its virtual addresses.

    For example:
      orch endpoints
      orch endpoints /demo/web -o json

    Parameters
    ----------
    path
        A service, or a group of services.
    """
    with common.connect() as cluster:
        rows = cluster.endpoints(path)
    if common.output == "table":
        rows = [_reached(row) for row in rows]
    show_rows(rows, ("instance", "name", "address", "protocol", "health", "vip"), common.output)


def _reached(row: dict[str, Any]) -> dict[str, Any]:
    health = {True: "healthy", False: "unhealthy", None: "ready" if row["ready"] else None}[row["healthy"]]
    return {
        "instance": row["instance"],
        "name": row["name"],
        "address": f"{row['host']}:{row['port']}" if row["port"] else None,
        "protocol": ",".join(row["protocols"]),
        "health": health,
        "vip": ", ".join(row["vips"]),
    }


def events(
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    since: int | None = None,
    type: str | None = None,
    common: Common = DEFAULT,
) -> None:
    """What happens in the cluster, a line an event.

    For example:
      orch events                      what has happened, as far as it is remembered
      orch events -f --type instance
      orch events --since 120 -o json

    Parameters
    ----------
    follow
        Go on as more happens.
    since
        Begin after this index.
    type
        Only events of this type: master, agent, agents, job, pods, service or instance.
    """
    with common.connect() as cluster:
        for event in cluster.events(follow=follow, since=since, type=type):
            show_one(event, "jsonl" if common.output in ("json", "jsonl") else common.output, _event(event))


def _instead(cluster: Cluster, id: str) -> list[dict[str, Any]]:
    """Of a service that has no instance now: what waits, and why, and the one that ended last."""
    try:
        found = cluster.service(id).status()
    except NotFoundError:
        return []  # an agent on which nothing runs
    waiting = found["waiting"]
    scheduled = {"id": found["id"], "state": "SCHEDULED", "note": found["note"]}
    return [*([scheduled] if waiting else []), *found["ended"][:1]]


_INSTANCE = ("id", "state", "agent", "attempt", "exit", "age", "note")


def _row(row: dict[str, Any], now_ms: int) -> dict[str, Any]:
    if row.get("kind") in ("service", "pod", "app", "job"):
        state = counts(row["states"]) if "states" in row else row.get("state", "-")
        return {
            "id": row["id"], "kind": row["kind"], "state": state, "wanted": row.get("instances", row.get("count")),
            "age": ago(row.get("since_ms"), now_ms), "note": row.get("note"),
        }  # fmt: skip
    return {
        "id": row["id"], "state": row["state"].lower(), "agent": row.get("agent"), "attempt": row.get("attempt"),
        "exit": row.get("exit_code"), "age": ago(row.get("since_ms"), now_ms), "note": row.get("note"),
    }  # fmt: skip


def _event(event: dict[str, Any]) -> str:
    when = time_of_day(event.get("at_ms"))
    rest = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("at_ms", "type", "index"))
    return f"{when} {event.get('index', '-')} {event.get('type')} {rest}"


COMMANDS = (ps, inspect, logs, why, endpoints, events)
