"""Rules that pods and apps share: what the fields of a body say about each other.

Each rule reads the raw body, adds what it finds to `problems`, and says nothing about values of the wrong kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from orch.model.specs import limits
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, child, children, items, number, text, upper
from orch.model.specs.settings import Settings

ENV_NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
_IS_VALUE = re.compile(r"^[A-Za-z0-9.\-/_]+$|^$")
_WHOLE = re.compile(r"^-?\d+$")
OPERATORS = ("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS")


def doubles(values: Iterable[object]) -> list[object]:
    """The strings and numbers that come more than once, in order, each once."""
    counts: dict[object, int] = {}
    for value in values:
        if isinstance(value, str | int | float):
            counts[value] = counts.get(value, 0) + 1
    return [value for value, count in counts.items() if count > 1]


def listed(values: Sequence[object]) -> str:
    """Values for a message: `a, b, c`, shortened where there are many."""
    shown = ", ".join(str(value)[:80] for value in values[:8])
    return f"{shown}, ... ({len(values)} in all)" if len(values) > 8 else shown


def check_env(env: Body, at: str, problems: Problems, strict: bool) -> None:
    """Names of environment variables. strict: what a shell can name (pods); otherwise anything but empty and '='."""
    for index, name in enumerate(env):
        where = f"{at}/keys({index})"
        if strict and not ENV_NAME.fullmatch(name):
            problems.add(
                where,
                f"{name[:80]!r} must contain only alphanumeric chars or underscore, and must not begin with a number",
            )
        elif not strict and (not name or "=" in name or "\0" in name):
            problems.add(where, f"{name[:80]!r} is no name of a variable: not empty, and without '=' and NUL")
        if strict and len(name) > limits.ENV_NAME_CHARS:
            problems.add(where, f"is {len(name)} characters long; at most {limits.ENV_NAME_CHARS} are allowed")


def check_secret_refs(body: Body, env: Body, at: str, problems: Problems, settings: Settings) -> None:
    """Every secret that the environment names is declared, and the feature is on."""
    declared = child(body, "secrets")
    for name, value in env.items():
        if isinstance(value, dict) and isinstance(value.get("secret"), str):
            check_secret(value["secret"], declared, f"{at}/{name}/secret", problems, "references an undefined secret")
            if "secrets" not in settings.features:
                problems.add(
                    at, "use of secret-references in the environment requires the secrets feature to be enabled"
                )


def check_secret(name: str, declared: Body, at: str, problems: Problems, message: str) -> None:
    """One reference to a secret."""
    if name not in declared:
        known = f"declared are {listed(sorted(map(str, declared)))}" if declared else "none is declared"
        problems.add(at, f'{message}: {name!r} is not in /secrets ({known}). Add "{name}": {{"source": ...}} there')


def check_secrets_feature(body: Body, problems: Problems, settings: Settings) -> None:
    """Secrets are declared only where the feature is on."""
    if child(body, "secrets") and "secrets" not in settings.features:
        problems.add(
            "/secrets", "must be empty; Feature secrets is not enabled. Enable with --enable_features secrets)"
        )


def check_constraint(
    field: str | None, operator: str, value: str | None, at: str, problems: Problems, values_required: bool
) -> None:
    """One placement rule. values_required: CLUSTER must have a value (pods)."""
    if field is not None and not field:
        problems.add(at, "names no field: the first part is an attribute, hostname, @zone or @region")
    if operator not in OPERATORS:
        problems.add(at, f"{operator!r} is no operator; it must be one of {', '.join(OPERATORS)}")
        return
    message = ""
    if operator == "UNIQUE":
        message = "" if value is None else "Value specified but not used: UNIQUE does not accept a value"
    elif operator == "CLUSTER":
        message = "Missing value: CLUSTER must have one" if values_required and not value else ""
    elif operator in ("LIKE", "UNLIKE"):
        message = _regex_fault(operator, value)
    elif operator == "IS":
        message = (
            ""
            if value is not None and _IS_VALUE.fullmatch(value)
            else (f"IS only supports text values: letters, digits and . - / _; got {value!r}. For patterns use LIKE")
        )
    elif value is None:
        message = "" if operator == "GROUP_BY" else "Value was not specified: MAX_PER must have an integer value"
    elif not _WHOLE.fullmatch(value):
        message = f"Value {value[:80]!r} is not a number: {operator} takes a whole number as text"
    if message:
        problems.add(at, message)


def _regex_fault(operator: str, value: str | None) -> str:
    if value is None:
        return f"A regular expression value must be provided for {operator}"
    if len(value) > limits.TEXT_CHARS:
        return ""
    try:
        re.compile(value)
    except re.error as fault:
        return f"{value[:80]!r} is not a valid regular expression: {fault}"
    return ""


def check_networks(body: Body, problems: Problems, settings: Settings) -> None:
    """One host network, one bridge, or container networks of different names."""
    nets = [net for _, net in children(body, "networks")]
    modes = [upper(net, "mode", "container") for net in nets]
    named = list(zip(nets, modes, strict=True))
    if any(mode == "HOST" and (text(net, "name") or child(net, "labels")) for net, mode in named):
        problems.add("/networks", "Host networks may not have names or labels")
    if any(mode == "CONTAINER/BRIDGE" and text(net, "name") for net, mode in named):
        problems.add("/networks", "Bridge networks may not have names")
    names = [text(net, "name") or "" for net, mode in named if mode == "CONTAINER"]
    if doubles(names):
        problems.add("/networks", f"Duplicate networks are not allowed: {listed(doubles(names))}")
    if len(names) < len(modes) and len(modes) > 1:
        problems.add(
            "/networks",
            "May specify a single host network, single bridge network, or else 1-to-n container networks",
        )
    if "" in names and not settings.default_network:
        problems.add("/networks", "Network name must be specified when container network is selected.")


def container_networks(body: Body) -> list[str]:
    """The names of the container networks of a body, "" for one without a name."""
    return [
        text(net, "name") or ""
        for _, net in children(body, "networks")
        if upper(net, "mode", "container") == "CONTAINER"
    ]


def check_network_names(mapping: Body, networks: Sequence[str], at: str, problems: Problems) -> None:
    """An endpoint's or mapping's networkNames exist, and there is one where a port of the agent must choose."""
    chosen = [name for name in items(mapping, "networkNames") if isinstance(name, str)]
    for index, name in enumerate(chosen):
        if name not in networks:
            problems.add(f"{at}/networkNames({index})", f"{name!r} is not one of ({listed(networks)})")
    if mapping.get("hostPort") is None:
        return
    if len(chosen) > 1 or (len(networks) > 1 and len(chosen) != 1):
        problems.add(
            at,
            "networkNames must be a single item list when hostPort is specified and more than 1 container network is "
            "defined",
        )


def check_limits(requested: Body, allowed: Body, at: str, problems: Problems) -> None:
    """A limit is not below what is reserved."""
    for name, default in (("cpus", 1.0), ("mem", 128.0)):
        limit, asked = number(allowed, name), number(requested, name, default)
        if limit is not None and asked is not None and limit < asked:
            problems.add(
                f"{at}/{name}",
                f"resource limit must be greater than or equal to requested resource ({asked}); got {limit}",
            )


def check_linux(info: Body, at: str, problems: Problems) -> None:
    """Seccomp has a profile or is off; shared memory has a size only where it is private."""
    seccomp = info.get("seccomp")
    if isinstance(seccomp, dict):
        unconfined = seccomp.get("unconfined", False)
        if unconfined is True and text(seccomp, "profileName") is not None:
            problems.add(f"{at}/seccomp", "Seccomp unconfined can NOT be true when Profile is defined")
        if unconfined is False and text(seccomp, "profileName") is None:
            problems.add(f"{at}/seccomp", "Seccomp unconfined must be true when Profile is NOT defined")
    ipc = child(info, "ipcInfo")
    if upper(ipc, "mode") == "SHARE_PARENT" and ipc.get("shmSize") is not None:
        problems.add(
            f"{at}/ipcInfo/shmSize", "shmSize can only be set with mode PRIVATE; the pod's is shared otherwise"
        )


def check_roles(role: str | None, accepted: list[object], at: str, problems: Problems) -> None:
    """acceptedResourceRoles holds `*` and the role itself, where a role is given."""
    if role is None:
        return
    allowed = ["*"] if role == "*" else ["*", role]
    if any(name not in allowed for name in accepted):
        problems.add(at, f"acceptedResourceRoles can only contain {' and '.join(allowed)}; got {listed(accepted)}")


def check_unreachable(strategy: Body, at: str, problems: Problems) -> None:
    """An instance is given up no sooner than it is replaced."""
    inactive, expunge = number(strategy, "inactiveAfterSeconds", 0), number(strategy, "expungeAfterSeconds", 0)
    if inactive is not None and expunge is not None and expunge < inactive:
        problems.add(at, f"expungeAfterSeconds ({expunge:g}) must not be less than inactiveAfterSeconds ({inactive:g})")


def check_persistent(volume: Body, at: str, problems: Problems) -> None:
    """A persistent volume's size, maxSize and constraints fit its type."""
    kind = upper(volume, "type", "root")
    size, most = number(volume, "size"), number(volume, "maxSize")
    if size is not None and size == 0:
        problems.add(f"{at}/size", "got 0, expected more than 0 (MiB)")
    if most is not None and kind != "MOUNT":
        problems.add(at, "Only mount volumes can have maxSize")
    if most is not None and size is not None and most <= size:
        problems.add(at, f"Max size must be larger than size; got maxSize {most} and size {size}")
    constraints = items(volume, "constraints")
    if constraints and kind == "ROOT":
        problems.add(at, "Constraints on root volumes are not supported")
    for index, rule in enumerate(constraints):
        if isinstance(rule, list) and len(rule) in (2, 3) and all(isinstance(part, str) for part in rule):
            _check_disk_constraint(rule, f"{at}/constraints({index})", problems)


def _check_disk_constraint(rule: list[str], at: str, problems: Problems) -> None:
    field, operator = rule[0], rule[1].upper()
    if field != "path" or len(rule) != 3:
        problems.add(at, f'Unsupported constraint {",".join(rule)}: only ["path", "LIKE" or "UNLIKE", pattern]')
    elif operator not in ("LIKE", "UNLIKE"):
        problems.add(at, "Operator must be one of LIKE, UNLIKE")
    elif fault := _regex_fault(operator, rule[2]):
        problems.add(at, fault)


def check_command(command: Body, at: str, problems: Problems) -> None:
    """Exactly one of shell and argv."""
    if ("shell" in command) == ("argv" in command):
        problems.add(at, "must hold either shell (one line) or argv (a list), and not both")
    argv = items(command, "argv")
    if argv and argv[0] == "":
        problems.add(f"{at}/argv(0)", "must not be empty: it is the program to run")
