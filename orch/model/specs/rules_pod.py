"""What the fields of a pod say about each other. Paths are Marathon's, also where they are not the nearest ones."""

from __future__ import annotations

from orch.model.specs import paths
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, child, children, items, number, text, upper, whole
from orch.model.specs.rules import (
    check_command,
    check_env,
    check_limits,
    check_linux,
    check_network_names,
    check_networks,
    check_persistent,
    check_roles,
    check_secret,
    check_secret_refs,
    check_secrets_feature,
    check_unreachable,
    container_networks,
    doubles,
    listed,
)
from orch.model.specs.rules_placing import check_placement
from orch.model.specs.settings import Settings

CHECK_KINDS = ("http", "tcp", "exec")


def check_pod(body: Body, problems: Problems, settings: Settings) -> None:
    """Every rule over a pod's fields. body: as given, without nulls."""
    identity = text(body, "id")
    if identity is not None:
        for fault in paths.faults(paths.absolute(identity, settings.base) if _plain(identity) else identity):
            problems.add("/id", fault)
    check_env(child(body, "environment"), "/environment", problems, strict=True)
    check_secret_refs(body, child(body, "environment"), "/environment", problems, settings)
    check_secrets_feature(body, problems, settings)
    check_networks(body, problems, settings)
    check_linux(child(body, "linuxInfo"), "/linuxInfo", problems)
    for index, container in children(body, "containers"):
        _check_container(body, container, f"/containers({index})", problems, settings)
    _check_uniqueness(body, problems)
    _check_volumes(body, problems)
    _check_scheduling(body, problems)
    _check_resident(body, problems)


def _plain(identity: str) -> bool:
    """Whether a relative id can be made absolute without losing dots that must be reported."""
    return not any(part in (".", "..") for part in identity.split("/"))


def _check_container(body: Body, container: Body, at: str, problems: Problems, settings: Settings) -> None:
    environment = child(container, "environment")
    check_env(environment, f"{at}/environment", problems, strict=True)
    check_secret_refs(body, environment, f"{at}/environment", problems, settings)
    check_limits(child(container, "resources"), child(container, "resourceLimits"), f"{at}/resourceLimits", problems)
    check_linux(child(container, "linuxInfo"), f"{at}/linuxInfo", problems)
    _check_run(body, container, at, problems, settings)
    for index, endpoint in children(container, "endpoints"):
        _check_endpoint(body, endpoint, f"{at}/endpoints({index})", problems)
    for field in ("healthCheck", "check"):
        if isinstance(container.get(field), dict):
            _check_check(container, container[field], f"{at}/{field}", problems)
    volumes = [text(volume, "name") for _, volume in children(body, "volumes")]
    for index, mount in children(container, "volumeMounts"):
        name = text(mount, "name")
        if name is not None and name not in volumes:
            known = f"there are {listed(volumes)}" if volumes else "the pod has none"
            problems.add(
                f"{at}/volumeMounts({index})/name",
                f"Referenced Volume in VolumeMount should exist: {name!r} is not in /volumes ({known})",
            )


def _check_run(body: Body, container: Body, at: str, problems: Problems, settings: Settings) -> None:
    execution = child(container, "exec")
    if isinstance(execution.get("command"), dict):
        check_command(execution["command"], f"{at}/exec/command", problems)
        if execution.get("overrideEntrypoint") is False and "shell" in execution["command"]:
            problems.add(
                f"{at}/exec/overrideEntrypoint",
                "can't be false with command.shell, which always replaces the entrypoint",
            )
    if settings.strict and "exec" not in container and "image" not in container:
        problems.add(at, "has nothing to run: add exec (a command) or image")
    image = child(container, "image")
    secret = text(child(image, "pullConfig"), "secret")
    if secret is not None:
        check_secret(
            secret, child(body, "secrets"), f"{at}/image/pullConfig", problems,
            "pullConfig.secret must refer to an existing secret",
        )  # fmt: skip
        if upper(image, "kind") == "APPC":
            problems.add(f"{at}/image/pullConfig", "pullConfig is supported only with Docker images")


def _check_endpoint(body: Body, endpoint: Body, at: str, problems: Problems) -> None:
    networks = container_networks(body)
    if networks and endpoint.get("containerPort") is None:
        problems.add(f"{at}/containerPort", "is required when using container-mode networking")
    if networks:
        check_network_names(endpoint, networks, at, problems)
    twice = doubles(items(endpoint, "protocol"))
    if twice:
        problems.add(f"{at}/protocol", f"Duplicate protocols within the same endpoint are not allowed: {listed(twice)}")


def _check_check(container: Body, check: Body, at: str, problems: Problems) -> None:
    kinds = [kind for kind in CHECK_KINDS if kind in check]
    if len(kinds) != 1:
        problems.add(at, f"Only one of http, tcp, or command may be specified; got {listed(kinds) or 'none'}")
    names = [text(endpoint, "name") for _, endpoint in children(container, "endpoints")]
    for kind in ("http", "tcp"):
        name = text(child(check, kind), "endpoint")
        if name is not None and name not in names:
            known = f"it has {listed(names)}" if names else "it has none"
            problems.add(
                f"{at}/{kind}/endpoint",
                f"must be contained in the container endpoints: {name!r} is no endpoint of the container ({known}). "
                "Add the endpoint, or name another",
            )
    command = child(check, "exec").get("command")
    if isinstance(command, dict):
        check_command(command, f"{at}/exec/command", problems)
    interval, timeout = number(check, "intervalSeconds", 60), number(check, "timeoutSeconds", 20)
    if interval is not None and timeout is not None and timeout >= interval:
        problems.add(
            f"{at}/timeoutSeconds",
            f"got {timeout:g}, expected less than intervalSeconds ({interval:g}). Shorten it, or check less often",
        )


def _check_uniqueness(body: Body, problems: Problems) -> None:
    """Names and ports that come twice: told where the second one is, and where Marathon's programs look for it."""
    containers = [(f"/containers({index})", container) for index, container in children(body, "containers")]
    if _check_names([(at, text(container, "name")) for at, container in containers], "container", problems):
        problems.add("/containers", "container names are not unique")
    endpoints = [
        (f"{at}/endpoints({index})", endpoint)
        for at, container in containers
        for index, endpoint in children(container, "endpoints")
    ]
    # Of an endpoint Marathon says no more than the whole body: a second detail that leads nowhere.
    _check_names([(at, text(endpoint, "name")) for at, endpoint in endpoints], "endpoint", problems)
    for field, label in (("containerPort", "container ports"), ("hostPort", "host ports")):
        twice = doubles(port for port in (whole(endpoint, field) for _, endpoint in endpoints) if port)
        if twice:
            problems.add("/", f"{label} must be unique in a pod; given more than once: {listed(twice)}")
    volumes = [(f"/volumes({index})", text(volume, "name")) for index, volume in children(body, "volumes")]
    if _check_names(volumes, "volume", problems):
        problems.add("/volumes", "volume names are not unique")


def _check_names(named: list[tuple[str, str | None]], noun: str, problems: Problems) -> bool:
    """Whether a name comes twice; each further one is reported."""
    first: dict[str, str] = {}
    found = False
    for at, name in named:
        if name is None:
            continue
        if name in first:
            problems.add(f"{at}/name", f"the {noun} name {name!r} is used twice: {first[name]} has it too. Rename one")
            found = True
        first.setdefault(name, at)
    return found


def _check_volumes(body: Body, problems: Problems) -> None:
    mounted = [
        text(mount, "name")
        for _, container in children(body, "containers")
        for _, mount in children(container, "volumeMounts")
    ]
    for index, volume in children(body, "volumes"):
        at = f"/volumes({index})"
        kinds = [kind for kind in ("host", "secret", "persistent") if kind in volume]
        if len(kinds) > 1:
            problems.add(at, f"can be only one of host, secret and persistent; got {listed(kinds)}")
        secret = text(volume, "secret")
        if secret is not None:
            check_secret(secret, child(body, "secrets"), at, problems, "volume.secret must refer to an existing secret")
        if isinstance(volume.get("persistent"), dict):
            check_persistent(volume["persistent"], f"{at}/persistent", problems)
        name = text(volume, "name")
        if name is not None and name not in mounted:
            problems.add(at, f"volume must be referenced by at least one container; {name!r} is in no volumeMounts")


def _check_scheduling(body: Body, problems: Problems) -> None:
    scaling = child(body, "scaling")
    least, most = whole(scaling, "instances"), whole(scaling, "maxInstances")
    if least is not None and most is not None and most < least:
        problems.add("/scaling/maxInstances", f"got {most}, expected instances ({least}) or more")
    scheduling = child(body, "scheduling")
    placement = child(scheduling, "placement")
    check_placement(placement, "/scheduling/placement", problems)
    check_unreachable(child(scheduling, "unreachableStrategy"), "/scheduling/unreachableStrategy", problems)
    check_roles(text(body, "role"), items(placement, "acceptedResourceRoles"), "/acceptedResourceRoles", problems)


def _check_resident(body: Body, problems: Problems) -> None:
    """Pods with persistent volumes keep to their reserved disk: no extra instances, no replacement elsewhere."""
    if not any("persistent" in volume for _, volume in children(body, "volumes")):
        return
    scheduling = child(body, "scheduling")
    if text(body, "role") == "*":
        problems.add("/role", "Resident pods cannot have the role *: volumes are reserved for a role of their own")
    unreachable = scheduling.get("unreachableStrategy")
    if unreachable is not None and unreachable != "disabled":
        problems.add(
            "/",
            'unreachableStrategy must be disabled for pods with persistent volumes: write "disabled", or leave it out',
        )
    over = number(child(scheduling, "upgrade"), "maximumOverCapacity")
    if over:
        problems.add(
            "/upgrade/maximumOverCapacity",
            f"got {over}, expected 0.0: no instance can be extra with persistent volumes",
        )
    if "*" in items(scheduling, "placement", "acceptedResourceRoles"):
        problems.add("/acceptedResourceRoles", "A resident pod can't accept offers of role *; name its own role only")
