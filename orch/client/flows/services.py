"""Services: run, look, scale, stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orch.client.effects import Flow, in_path
from orch.client.flows.base import Wire
from orch.model.errors import SpecError, TimeoutExceededError


def body_of(spec: Any, instances: int | None) -> tuple[str, dict[str, Any]]:
    """`("pods" or "apps", body)` of a `Pod`, or of a pod or app in Marathon's format; checked. Raises SpecError."""
    from orch.model.specs import parse

    body = spec.to_body() if hasattr(spec, "to_body") else spec
    if not isinstance(body, Mapping):
        raise SpecError(
            f"run takes an orch.Pod, or a pod or app in Marathon's format as a dict; got a {type(spec).__name__}.",
            details=[{"path": "/", "errors": ["must be an object"]}],
        )
    body = dict(body)
    kind = "pods" if any(name in body for name in ("containers", "scaling", "scheduling")) else "apps"
    if instances is not None:
        body |= {"scaling": {"kind": "fixed", "instances": instances}} if kind == "pods" else {"instances": instances}
    parse(body)
    return kind, body


def run(wire: Wire, spec: Any, instances: int | None, now: bool, replace: bool, key: str | None) -> Flow[str]:
    """Keep a pod or app running; returns its path."""
    from orch.model.specs.paths import absolute

    kind, body = body_of(spec, instances)
    path = absolute(str(body["id"]))
    params = {"now": "true"} if now else {}
    if replace:
        yield from wire.change("PUT", f"/v2/{kind}/{in_path(path)}", body, params, key)
    else:
        yield from wire.change("POST", f"/v2/{kind}", body, params, key)
    return path


def status(wire: Wire, path: str) -> Flow[dict[str, Any]]:
    """The service as it is now."""
    return (yield from wire.get(f"/v2/services/{in_path(path)}"))


def instances(wire: Wire, path: str) -> Flow[list[dict[str, Any]]]:
    """Its instances, oldest first."""
    found: dict[str, Any] = yield from wire.get(f"/v2/services/{in_path(path)}::instances")
    items: list[dict[str, Any]] = found["items"]
    return items


def endpoints(wire: Wire, path: str) -> Flow[list[dict[str, Any]]]:
    """Where its instances listen: `{instance, container, name, host, port}`."""
    rows = yield from instances(wire, path)
    return [
        {"instance": row["name"], "host": row.get("host"), **endpoint}
        for row in rows
        if row["state"] == "RUNNING"
        for endpoint in row.get("endpoints", ())
    ]


def scale(wire: Wire, path: str, count: int) -> Flow[None]:
    """Keep another number of instances."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise SpecError(
            f"a service is scaled to a whole number of instances, 0 or more; got {count!r}.",
            details=[{"path": "/instances", "errors": [f"got {count!r}"]}],
        )
    yield from wire.change("PUT", f"/v2/services/{in_path(path)}::scale", {"instances": count})


def wait(wire: Wire, path: str, timeout: float | None) -> Flow[None]:
    """Return once all wanted instances run the present version and are healthy. Raises TimeoutExceededError."""
    answer = yield from wire.poll(f"/v2/services/{in_path(path)}::wait", {"for": "running"}, timeout)
    if not answer["done"]:
        why = yield from wire.get(f"/v2/why/{in_path(path)}")
        found = answer["status"]
        raise TimeoutExceededError(
            f"service {path}: after {timeout:g} s {found['ready']} of {found['instances']} instances are ready. "
            f"{why['sentence']}",
            why=why,
        )


def stop(wire: Wire, path: str, wait_for_end: bool, timeout: float | None) -> Flow[dict[str, Any]]:
    """Stop all instances and forget the service; returns its last status."""
    yield from wire.change("DELETE", f"/v2/services/{in_path(path)}")
    if not wait_for_end:
        return (yield from status_or_gone(wire, path))
    answer = yield from wire.poll(f"/v2/services/{in_path(path)}::wait", {"for": "gone"}, timeout)
    found: dict[str, Any] = answer["status"]
    if not answer["done"]:
        raise TimeoutExceededError(
            f"service {path}: after {timeout:g} s some instances have not stopped: {found['states']}."
        )
    return found


def status_or_gone(wire: Wire, path: str) -> Flow[dict[str, Any]]:
    """The status, also of a service that is no more."""
    answer = yield from wire.poll(f"/v2/services/{in_path(path)}::wait", {"for": "gone"}, 0.0)
    found: dict[str, Any] = answer["status"]
    return found


def newest_instance(wire: Wire, path: str) -> Flow[str]:
    """The name of the youngest instance that was launched. Raises TimeoutExceededError where there is none."""
    rows = yield from instances(wire, path)
    launched = [row for row in rows if row["state"] != "SCHEDULED"]
    if not launched:
        why = yield from wire.get(f"/v2/why/{in_path(path)}")
        raise TimeoutExceededError(f"service {path} has no instance that was launched. {why['sentence']}", why=why)
    return str(launched[-1]["name"])
