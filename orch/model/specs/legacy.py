"""An app's body in present form: legacy fields translated, defaults that depend on other fields filled in.

Nothing that was submitted in present form is taken away, and doing it twice changes nothing.
"""

from __future__ import annotations

from typing import Any

from orch.model.specs import paths
from orch.model.specs.raw import Body, child, children, items, text, upper
from orch.model.specs.settings import Settings

ARCHIVES = (".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
DOCKER_NETWORKS = {"HOST": "host", "BRIDGE": "container/bridge", "USER": "container", "NONE": "container"}
SINGLE_INSTANCE = "MARATHON_SINGLE_INSTANCE_APP"


def normalised(body: Body, settings: Settings) -> Body:
    """A new body; what is of a wrong kind stays as it is, for the shape check to report."""
    app = dict(body)
    _ids(app, settings)
    _fetch(app)
    _networks(app, settings)
    _container(app)
    _ports(app)
    _checks(app)
    _strategies(app)
    for legacy in ("uris", "ports", "ipAddress"):
        app.pop(legacy, None)
    return app


def is_single_instance(app: Body) -> bool:
    """Whether the app's label forbids a second instance at any time."""
    return child(app, "labels").get(SINGLE_INSTANCE) == "true"


def is_resident(app: Body) -> bool:
    """Whether the app has persistent volumes."""
    return any("persistent" in volume for _, volume in children(app, "container", "volumes"))


def port_list(app: Body) -> list[Any]:
    """The ports that indices of checks count: mappings in a container network, definitions in the host's."""
    if not on_host(app):
        return items(app, "container", "portMappings")
    return items(app, "portDefinitions")


def on_host(app: Body) -> bool:
    """Whether the app uses the network of its agent."""
    return all(upper(net, "mode", "container") == "HOST" for _, net in children(app, "networks"))


def _ids(app: Body, settings: Settings) -> None:
    identity = text(app, "id")
    if identity is None:
        return
    if not any(part in (".", "..") for part in identity.split("/")):
        app["id"] = paths.absolute(identity, settings.base)
    if "dependencies" in app:
        app["dependencies"] = (
            [
                paths.absolute(other, app["id"]) if isinstance(other, str) else other
                for other in items(app, "dependencies")
            ]
            if isinstance(app["dependencies"], list)
            else app["dependencies"]
        )


def _fetch(app: Body) -> None:
    uris = [uri for uri in items(app, "uris") if isinstance(uri, str)]
    if uris and not app.get("fetch"):
        app["fetch"] = [{"uri": uri, "extract": uri.lower().endswith(ARCHIVES)} for uri in uris]


def _networks(app: Body, settings: Settings) -> None:
    mode = DOCKER_NETWORKS.get(upper(child(app, "container", "docker"), "network"), "")
    if not app.get("networks"):
        address = app.get("ipAddress")
        if isinstance(address, dict) and mode in ("", "container"):
            net: Body = {"mode": "container"}
            net.update(
                {new: address[old] for old, new in (("networkName", "name"), ("labels", "labels")) if old in address}
            )
            app["networks"] = [net]
        else:
            app["networks"] = [{"mode": mode or "host"}]
    if isinstance(app["networks"], list):
        app["networks"] = [_named(net, settings) for net in app["networks"]]


def _named(net: Any, settings: Settings) -> Any:
    if isinstance(net, dict) and upper(net, "mode", "container") == "CONTAINER" and "name" not in net:
        return {**net, "name": settings.default_network} if settings.default_network else net
    return net


def _container(app: Body) -> None:
    if "container" not in app and ("ipAddress" in app or not on_host(app)):
        app["container"] = {"type": "MESOS"}
    if not isinstance(app.get("container"), dict):
        return
    container = dict(app["container"])
    if "type" not in container:
        container["type"] = "DOCKER" if "docker" in container or not container else "MESOS"
    if isinstance(container.get("docker"), dict):
        docker = dict(container["docker"])
        mappings = docker.pop("portMappings", None)
        docker.pop("network", None)
        if mappings is not None and not container.get("portMappings"):
            container["portMappings"] = mappings
        container["docker"] = docker
    discovered = items(app, "ipAddress", "discovery", "ports")
    if discovered and not container.get("portMappings"):
        container["portMappings"] = [_discovered(port) for port in discovered]
    app["container"] = container


def _discovered(port: Any) -> Any:
    if not isinstance(port, dict):
        return port
    return {"containerPort" if name == "number" else name: value for name, value in port.items()}


def _ports(app: Body) -> None:
    if "portDefinitions" not in app and isinstance(app.get("ports"), list):
        app["portDefinitions"] = [{"port": port} for port in app["ports"]]
    if on_host(app):
        app.setdefault("portDefinitions", [{"port": 0, "name": "default"}])
        return
    container = app["container"]
    if not isinstance(container, dict):
        return
    container.setdefault("portMappings", [{"containerPort": 0, "name": "default"}])
    if isinstance(container["portMappings"], list):
        missing = len(items(app, "portDefinitions")) - len(container["portMappings"])
        mappings = [*container["portMappings"], *({"containerPort": 0} for _ in range(missing))]
        bridged = any(upper(net, "mode") == "CONTAINER/BRIDGE" for _, net in children(app, "networks"))
        container["portMappings"] = [
            {**found, "hostPort": 0} if bridged and isinstance(found, dict) and "hostPort" not in found else found
            for found in mappings
        ]


def _checks(app: Body) -> None:
    checks = app.get("healthChecks")
    if not isinstance(checks, list) or not port_list(app):
        return
    app["healthChecks"] = [
        {**check, "portIndex": 0}
        if isinstance(check, dict)
        and upper(check, "protocol", "HTTP") != "COMMAND"
        and "port" not in check
        and "portIndex" not in check
        else check
        for check in checks
    ]


def _strategies(app: Body) -> None:
    resident = is_resident(app)
    if resident:
        app.setdefault("residency", {})
        app.setdefault("unreachableStrategy", "disabled")
    default = {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0}
    if is_single_instance(app):
        default = {"minimumHealthCapacity": 0.0, "maximumOverCapacity": 0.0}
    elif resident:
        default = {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.0}
    if isinstance(app.get("upgradeStrategy", {}), dict):
        app["upgradeStrategy"] = {**default, **app.get("upgradeStrategy", {})}
    app.setdefault("unreachableStrategy", {})
