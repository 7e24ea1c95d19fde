"""Anything by its id: what it is, its instances, its logs, why it waits; and lists of everything."""

from __future__ import annotations

from typing import Any

from orch.client.effects import Flow, in_path
from orch.client.flows import jobs, services, streams
from orch.client.flows.base import Wire
from orch.model.errors import NotFoundError, UsageError

PAGE = 1000


def find(wire: Wire, identity: str | int) -> Flow[dict[str, Any]]:
    """`{kind: service | job | instance | agent, id, ...}` of a path, a job's number, an instance's or agent's name."""
    return (yield from wire.get("/v2/find", {"id": str(identity)}))


def why(wire: Wire, identity: str | int) -> Flow[dict[str, Any]]:
    """Why it is not running, or that it is."""
    return (yield from wire.get(f"/v2/why/{in_path(identity)}"))


def listed(wire: Wire, path: str) -> Flow[list[dict[str, Any]]]:
    """All items of a list that comes in pages."""
    found: list[dict[str, Any]] = []
    after: Any = None
    while True:
        page = yield from wire.get(path, {"limit": PAGE, "offset": after})
        found.extend(page["items"])
        after = page.get("next")
        if after is None:
            return found


def ps(wire: Wire) -> Flow[list[dict[str, Any]]]:
    """Services and jobs, each with its `kind` and how many instances are in which state."""
    running = yield from listed(wire, "/v2/services")
    return running + (yield from listed(wire, "/v2/jobs"))


def instances(wire: Wire, identity: str | int) -> Flow[list[dict[str, Any]]]:
    """The instances of a service or job, or the one that is meant."""
    thing = yield from find(wire, identity)
    if thing["kind"] == "service":
        return (yield from services.instances(wire, thing["id"]))
    if thing["kind"] == "job":
        return (yield from listed(wire, f"/v2/jobs/{thing['job']}/instances"))
    if thing["kind"] == "agent":
        return (yield from listed(wire, f"/v2/agents/{in_path(thing['id'])}/instances"))
    return [(yield from wire.get(f"/v2/instances/{in_path(thing['id'])}"))]


def inspect(wire: Wire, identity: str | int) -> Flow[dict[str, Any]]:
    """Everything about one thing, its story included."""
    thing = yield from find(wire, identity)
    routes = {"service": "/v2/services", "job": "/v2/jobs", "instance": "/v2/instances", "agent": "/v2/agents"}
    name = thing["job"] if thing["kind"] == "job" else thing["id"]
    return (yield from wire.get(f"{routes[thing['kind']]}/{in_path(name)}", {"story": "true"}))


def endpoints(wire: Wire, path: str) -> Flow[list[dict[str, Any]]]:
    """Where a service, or the services of a group, are reached. Raises NotFoundError where there is neither."""
    answer = yield from wire.get("/v2/endpoints", {"under": path})
    if not answer["items"] and path.strip("/"):
        below = yield from wire.get("/v2/services", {"under": path, "limit": 1})
        if not below["items"]:
            raise NotFoundError(f"there is no service {path}, and none in a group of that name. `orch ps` lists them.")
    return list(answer["items"])


def instance_of(wire: Wire, identity: str | int) -> Flow[str]:
    """The instance whose logs are meant: itself; of a service the newest; of a job the first."""
    thing = yield from find(wire, identity)
    if thing["kind"] == "service":
        return (yield from services.newest_instance(wire, thing["id"]))
    if thing["kind"] == "job":
        page = yield from wire.get(f"/v2/jobs/{thing['job']}/instances", {"limit": 1})
        return str(page["items"][0]["name"])
    if thing["kind"] == "agent":
        raise UsageError(f"{identity} is an agent; logs are of services, jobs and instances.")
    return str(thing["id"])


def logs(wire: Wire, identity: str | int, container: str | None, stream: str, follow: bool, lines: int) -> Flow[None]:
    """Emit what an instance printed, as bytes."""
    instance = yield from instance_of(wire, identity)
    params = {"container": container, "stream": stream, "lines": lines or None, "follow": "true" if follow else None}
    yield from streams.logs(wire, instance, params)


def stop(wire: Wire, identity: str | int, wait: bool, timeout: float | None) -> Flow[dict[str, Any]]:
    """Stop a service, a job, or one instance; a service starts another in its place. Returns what it is then."""
    thing = yield from find(wire, identity)
    if thing["kind"] == "service":
        return (yield from services.stop(wire, thing["id"], wait, timeout))
    if thing["kind"] == "job":
        return (yield from jobs.stop(wire, thing["job"], wait, timeout))
    if thing["kind"] == "agent":
        raise UsageError(f"{identity} is an agent; `drain` keeps new pods away from it.")
    return (yield from kill(wire, thing["id"], wait, timeout))


def kill(wire: Wire, instance: str, wait: bool, timeout: float | None, scale: bool = False) -> Flow[dict[str, Any]]:
    """Stop one instance; returns it as it is then."""
    path = f"/v2/instances/{in_path(instance)}"
    found: dict[str, Any] = yield from wire.change("DELETE", path, None, {"scale": "true"} if scale else None)
    if wait:
        try:
            answer = yield from wire.poll(f"{path}/wait", {"for": "terminal"}, timeout)
        except NotFoundError:
            return found  # It ended, and was forgotten with its service.
        found = answer["instance"]
    return found
