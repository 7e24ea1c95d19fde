"""What the fields of an app say about each other. Paths are Marathon's, also where they are not the nearest ones."""

from __future__ import annotations

from orch.model.specs import paths
from orch.model.specs.legacy import is_resident, is_single_instance, on_host, port_list
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, child, children, items, number, text, upper, whole
from orch.model.specs.rules import (
    check_command,
    check_env,
    check_limits,
    check_linux,
    check_network_names,
    check_networks,
    check_roles,
    check_secret,
    check_secret_refs,
    check_secrets_feature,
    check_unreachable,
    container_networks,
    doubles,
    listed,
)
from orch.model.specs.rules_placing import check_triples
from orch.model.specs.rules_volume import check_app_volumes
from orch.model.specs.settings import Settings

_MIGRATION = ("DCOS_MIGRATION_API_VERSION", "DCOS_PACKAGE_FRAMEWORK_NAME", "DCOS_MIGRATION_API_PATH")


def check_old_fields(body: Body, problems: Problems) -> None:
    """Legacy fields and what they exclude. body: as given, without nulls, not yet in present form."""
    container, docker = child(body, "container"), child(body, "container", "docker")
    if items(body, "uris") and items(body, "fetch"):
        problems.add("/uris", "may not be set in conjunction with fetch: keep fetch only")
    ports, definitions = items(body, "ports"), [found for _, found in children(body, "portDefinitions")]
    if doubles(port for port in ports if port != 0):
        problems.add("/", "ports must be unique")
    if ports and definitions and ports != [definition.get("port", 0) for definition in definitions]:
        problems.add("/", "cannot specify both ports and port definitions: keep portDefinitions only")
    if "ipAddress" in body:
        if ports or definitions:
            problems.add("/", "cannot specify both an IP address and port")
        if items(body, "networks"):
            problems.add("/", "must not specify both networks and ipAddress: keep networks only")
        if "discovery" in child(body, "ipAddress") and upper(container, "type") == "DOCKER":
            problems.add("/ipAddress", "ipAddress/discovery is not allowed for Docker containers")
    if "network" in docker and items(body, "networks"):
        problems.add("/", "must not specify both container.docker.network and networks: keep networks only")
    if items(container, "portMappings") and items(docker, "portMappings"):
        problems.add("/container", "cannot specify both portMappings and docker.portMappings: keep portMappings only")
    if upper(container, "type") == "MESOS":
        for field in ("network", "portMappings"):
            if docker.get(field):
                problems.add(f"/container/docker/{field}", "must be empty: it is for type DOCKER only")
    imageless = upper(container, "type") == "DOCKER" and "docker" not in container
    if imageless or body.get("container") == {}:
        problems.add(
            "/container/docker", 'not defined: name an image, or write "type": "MESOS" for a container without one'
        )
    given = body.get("container")
    if isinstance(given, dict) and "docker" in given and "appc" in given:
        problems.add("/container", "mesos containers should specify, at most, a single image type")


def check_app(body: Body, given: Body, problems: Problems, settings: Settings) -> None:
    """Every rule over an app's fields. body: in present form. given: as it came, without nulls."""
    _check_ids(body, problems)
    check_env(child(body, "env"), "/env", problems, strict=False)
    check_secret_refs(body, child(body, "env"), "/env", problems, settings)
    check_secrets_feature(body, problems, settings)
    check_networks(body, problems, settings)
    check_limits(body, child(body, "resourceLimits"), "/resourceLimits", problems)
    check_linux(child(body, "container", "linuxInfo"), "/container/linuxInfo", problems)
    check_roles(text(body, "role"), items(body, "acceptedResourceRoles"), "/acceptedResourceRoles", problems)
    check_unreachable(child(body, "unreachableStrategy"), "/unreachableStrategy", problems)
    check_app_volumes(body, problems, settings)
    _check_run(body, given, problems, settings)
    _check_image(body, problems)
    _check_ports(body, problems)
    for index, check in children(body, "healthChecks"):
        _check_health(body, check, f"/healthChecks({index})", problems)
    _check_checks(body, problems)
    _check_readiness(body, problems)
    check_triples(body, problems)
    _check_strategies(body, problems)


def _check_ids(body: Body, problems: Problems) -> None:
    identity = text(body, "id")
    for fault in paths.faults(identity) if identity is not None else ():
        problems.add("/id", fault)
    for index, other in enumerate(items(body, "dependencies")):
        if isinstance(other, str):
            for fault in paths.faults(other, dots=True):
                problems.add(f"/dependencies({index})", fault)
            if other == identity:
                problems.add(f"/dependencies({index})", "an app can't depend on itself")


def _check_run(body: Body, given: Body, problems: Problems, settings: Settings) -> None:
    command, arguments = "cmd" in body, bool(items(body, "args"))
    container = child(body, "container")
    image = "docker" in container or "appc" in container
    bare = not command and not arguments and not image
    refused = settings.strict or ("container" in given and on_host(body))
    if (command and arguments) or (bare and refused):
        problems.add(
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."
            + (" Both are given: keep one" if command else " Nothing is there to run: add cmd, args or an image"),
        )
    gpus = number(body, "gpus", 0)
    if gpus is not None and gpus > 0:
        if upper(container, "type") == "DOCKER":
            problems.add("/", "GPU resources only work with the Mesos containerizer: set container.type to MESOS")
        if "gpu_resources" not in settings.features:
            problems.add("/", "Feature gpu_resources is not enabled. Enable with --enable_features gpu_resources)")
    labels = child(body, "labels")
    if labels.get(_MIGRATION[0]) and (labels[_MIGRATION[0]] != "v1" or not all(labels.get(key) for key in _MIGRATION)):
        problems.add(
            "/",
            "DCOS_PACKAGE_FRAMEWORK_NAME and DCOS_MIGRATION_API_PATH must be defined when using "
            "DCOS_MIGRATION_API_VERSION, which must be v1",
        )


def _check_image(body: Body, problems: Problems) -> None:
    container, docker = child(body, "container"), child(body, "container", "docker")
    secret = text(child(docker, "pullConfig"), "secret")
    if secret is not None:
        at = "/container/docker/pullConfig"
        if upper(container, "type") == "DOCKER":
            problems.add(at, "pullConfig is not supported with Docker containerizer: set container.type to MESOS")
        check_secret(secret, child(body, "secrets"), at, problems, "pullConfig.secret must refer to an existing secret")
    digest = text(child(container, "appc"), "id")
    if digest is not None and (not digest.startswith("sha512-") or digest == "sha512-"):
        problems.add("/container/appc/id", "id must begin with 'sha512-', followed by the digest")
    networks = container_networks(body)
    if upper(container, "type") == "DOCKER" and len(networks) > 1:
        problems.add("/", "may only specify a single container network when using the Docker container engine")
    if networks:
        for index, mapping in children(container, "portMappings"):
            check_network_names(mapping, networks, f"/container/portMappings({index})", problems)


def _check_ports(body: Body, problems: Problems) -> None:
    for field, found in (
        ("portDefinitions", [port for _, port in children(body, "portDefinitions")]),
        ("container/portMappings", [port for _, port in children(body, "container", "portMappings")]),
    ):
        names = doubles(name for name in (text(port, "name") for port in found) if name is not None)
        if names:
            problems.add(f"/{field}", f"Port names must be unique. Given more than once: {listed(names)}")
    ports = [whole(port, "port") or 0 for _, port in children(body, "portDefinitions")]
    if doubles(port for port in ports if port != 0):
        problems.add(
            "/portDefinitions",
            f"Ports must be unique. Given more than once: {listed(doubles(port for port in ports if port != 0))}",
        )


def _check_health(body: Body, check: Body, at: str, problems: Problems) -> None:
    protocol = upper(check, "protocol", "HTTP")
    if protocol == "COMMAND" and "command" not in check:
        problems.add(at, 'a check of protocol COMMAND must have a command: {"command": {"value": ...}}')
    if protocol != "COMMAND" and "command" not in check:
        index, ports = whole(check, "portIndex"), port_list(body)
        nowhere = "port" not in check and "portIndex" not in check
        if nowhere or (index is not None and index >= len(ports)):
            problems.add(
                at,
                "Health check port indices must address an element of the ports array or container port mappings. "
                f"The app has {len(ports)} ports",
            )
    docker = upper(child(body, "container"), "type") == "DOCKER"
    if upper(check, "ipProtocol") == "IPV6" and not (docker and protocol.startswith("MESOS_")):
        problems.add(
            at, "IPv6 can only be used for container type DOCKER with the protocols MESOS_HTTP, MESOS_HTTPS, MESOS_TCP"
        )


def _check_checks(body: Body, problems: Problems) -> None:
    network_checks = [
        check
        for _, check in children(body, "healthChecks")
        if "command" not in check and upper(check, "protocol").startswith("MESOS_")
    ]
    if len(network_checks) > 1:
        problems.add("/", "AppDefinition can contain at most one Mesos health check")
    if "check" not in body:
        return
    if upper(child(body, "container"), "type") == "DOCKER":
        problems.add("/", "AppDefinition must not use 'checks' if using docker")
    check = child(body, "check")
    kinds = [kind for kind in ("http", "tcp", "exec") if kind in check]
    if len(kinds) != 1:
        problems.add("/check", f"Only one of http, tcp, or command may be specified; got {listed(kinds) or 'none'}")
    if isinstance(child(check, "exec").get("command"), dict):
        check_command(check["exec"]["command"], "/check/exec/command", problems)


def _check_readiness(body: Body, problems: Problems) -> None:
    names = [text(port, "name") for port in port_list(body) if isinstance(port, dict)]
    for index, check in children(body, "readinessChecks"):
        at = f"/readinessChecks({index})"
        name = check.get("portName", "http-api")
        if isinstance(name, str) and name not in names:
            problems.add(f"{at}/portName", f"No port definition reference for portName {name}")
        interval, timeout = number(check, "intervalSeconds", 30), number(check, "timeoutSeconds", 10)
        if interval is not None and timeout is not None and timeout >= interval:
            problems.add(f"{at}/timeoutSeconds", f"got {timeout:g}, expected less than intervalSeconds ({interval:g})")


def _check_strategies(body: Body, problems: Problems) -> None:
    resident = is_resident(body)
    strategy = child(body, "upgradeStrategy")
    fields: tuple[str, ...] = ("minimumHealthCapacity", "maximumOverCapacity")
    if is_single_instance(body):
        instances = number(body, "instances", 1)
        if instances is not None and instances > 1:
            problems.add("/", "Single instance app may only have one instance")
    else:
        fields = fields[1:] if resident else ()
    for field in fields:
        if number(strategy, field):
            problems.add(f"/upgradeStrategy/{field}", f"got {strategy[field]}, expected 0.0")
    if "residency" in body and not resident:
        problems.add("/", "App must contain persistent volumes and define residency")
    if resident and body.get("unreachableStrategy") != "disabled":
        problems.add("/", "unreachableStrategy must be disabled for resident tasks")
