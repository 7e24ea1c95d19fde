"""Rules for the volumes of an app: plain folders of the agent, persistent, external and secret ones."""

from __future__ import annotations

import re

from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, child, children, text, upper
from orch.model.specs.rules import check_persistent, check_secret, doubles, listed
from orch.model.specs.settings import Settings

PROVIDERS = ("dvdi", "csi")
_OPTION_KEY = re.compile(r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
KINDS = ("persistent", "external", "secret")


def check_app_volumes(body: Body, problems: Problems, settings: Settings) -> None:
    """Every rule over `container.volumes`."""
    names = []
    for index, volume in children(body, "container", "volumes"):
        at = f"/container/volumes({index})"
        kinds = [kind for kind in KINDS if kind in volume]
        if len(kinds) > 1:
            problems.add(at, f"illegal combination of {' and '.join(kinds)} volume fields: keep one")
        elif not kinds:
            _check_host(volume, at, problems)
        elif kinds == ["persistent"]:
            _check_persistent(volume, at, problems)
        elif kinds == ["external"]:
            _check_external(body, volume, at, problems, settings)
            names.append(text(child(volume, "external"), "name"))
        else:
            _check_path(volume, at, problems)
            secret = text(volume, "secret")
            if secret is not None:
                check_secret(
                    secret, child(body, "secrets"), f"{at}/secret", problems,
                    "volume.secret must refer to an existing secret",
                )  # fmt: skip
                if "secrets" not in settings.features:
                    problems.add(at, "Feature secrets is not enabled. Enable with --enable_features secrets)")
    twice = doubles(name for name in names if name)
    if twice:
        problems.add("/container/volumes", f"Volume names must be unique: {listed(twice)}")


def _check_path(volume: Body, at: str, problems: Problems) -> None:
    if not volume.get("containerPath"):
        problems.add(f"{at}/containerPath", "must not be empty: it is where the container sees the volume")


def _check_host(volume: Body, at: str, problems: Problems) -> None:
    _check_path(volume, at, problems)
    if not volume.get("hostPath"):
        problems.add(
            f"{at}/hostPath", "undefined: a volume needs one of hostPath, persistent, external or secret, and not empty"
        )


def _check_persistent(volume: Body, at: str, problems: Problems) -> None:
    path = volume.get("containerPath")
    if path in (None, "", ".", ".."):
        problems.add(f"{at}/containerPath", "must be the name of a folder in the sandbox: not empty, . or ..")
    elif isinstance(path, str) and "/" in path:
        problems.add(f"{at}/containerPath", f'value must not contain "/": {path!r} is no single name')
    if upper(volume, "mode", "RW") == "RO":
        problems.add(f"{at}/mode", "must be RW: a persistent volume is for writing")
    check_persistent(child(volume, "persistent"), f"{at}/persistent", problems)


def _check_external(body: Body, volume: Body, at: str, problems: Problems, settings: Settings) -> None:
    external, where = child(volume, "external"), f"{at}/external"
    _check_path(volume, at, problems)
    if "external_volumes" not in settings.features:
        problems.add(at, "Feature external_volumes is not enabled. Enable with --enable_features external_volumes)")
    for field in ("name", "provider"):
        if field not in external:
            problems.add(f"{where}/{field}", "not defined: an external volume names its provider and itself")
    provider = text(external, "provider")
    if provider is not None and provider not in PROVIDERS:
        problems.add(f"{where}/provider", f"is unknown provider: {provider!r}; known are {', '.join(PROVIDERS)}")
    options = child(external, "options")
    for key in options:
        if isinstance(key, str) and not _OPTION_KEY.fullmatch(key):
            problems.add(f"{where}/options", f"{key[:80]!r} is no name of an option: prefix/name")
    if provider == "dvdi":
        _check_dvdi(body, external, options, where, problems)


def _check_dvdi(body: Body, external: Body, options: Body, where: str, problems: Problems) -> None:
    driver = options.get("dvdi/driver")
    if not driver:
        problems.add(f'{where}/options("dvdi/driver")', "not defined: it names the volume driver")
    docker = upper(child(body, "container"), "type") == "DOCKER"
    if docker and "size" in external:
        problems.add(f"{where}/size", "must be undefined for Docker containers")
    if driver == "rexray":
        iops = options.get("dvdi/iops")
        if isinstance(iops, str) and not (iops.isdigit() and int(iops) > 0):
            problems.add(f'{where}/options/"dvdi/iops"', f"must be a whole number of 1 or more as text; got {iops!r}")
        overwrite = options.get("dvdi/overwritefs")
        if isinstance(overwrite, str) and overwrite.lower() not in ("true", "false"):
            problems.add(f'{where}/options/"dvdi/overwritefs"', f"must be true or false as text; got {overwrite!r}")
