"""From a template to what exec needs: command, environment, user, limits. What can't be had here is said, not tried."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from orch.model.reasons import Reason
from orch.model.specs.template import ContainerTemplate, Template
from orch.node import environment
from orch.node.environment import Place
from orch.node.users import UnknownUserError, User, Users

OPEN_FILES = (1 << 14, 1 << 19)
"""Soft and hard limit of open files for pods, as far as the supervisor's own hard limit allows."""


class NotLaunchableError(Exception):
    """This agent can't run it. reason: for the column; the text is for people."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launchable:
    """One container, ready to be started but for what differs from instance to instance."""

    argv: list[bytes]
    env: dict[str, str]
    user: User
    path: bytes
    limits: tuple[tuple[int, int, int], ...]


def prepare(where: Place, users: Users, template: Template, container: ContainerTemplate) -> Launchable:
    """The launchable of a container. Raises NotLaunchableError."""
    needs = [need for need in template.needs if need != "mount:absolute"]
    if container.image or needs:
        asked = ", ".join([*needs, *(["image"] if container.image and "image" not in needs else [])])
        raise NotLaunchableError(Reason.NOT_SUPPORTED, f"it asks for {asked}, and this agent runs plain processes only")
    if container.secret_env or template.secret_env:
        raise NotLaunchableError(Reason.NOT_SUPPORTED, "it asks for secrets, and this agent has none to give")
    argv = ["/bin/sh", "-c", container.shell] if container.shell else list(container.argv)
    if not argv:
        raise NotLaunchableError(Reason.NOT_SUPPORTED, f"container {container.name!r} has no command")
    try:
        user = users.of(template.group, template.user_of(container))
    except UnknownUserError as error:
        raise NotLaunchableError(Reason.USER_UNKNOWN, str(error)) from None
    env = environment.common(where, template, container, user.name)
    if user.home:
        env.setdefault("HOME", user.home)
    path = os.fsencode(env.get("PATH", where.search_path))
    return Launchable([os.fsencode(word) for word in argv], env, user, path, limits())


def limits() -> tuple[tuple[int, int, int], ...]:
    """The resource limits of every pod: no core files, and as many open files as the supervisor may hand on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES[1] if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES[1])
    return (
        (resource.RLIMIT_NOFILE, min(OPEN_FILES[0], most), most),
        (resource.RLIMIT_CORE, 0, -1 if resource.getrlimit(resource.RLIMIT_CORE)[1] == resource.RLIM_INFINITY else 0),
    )
