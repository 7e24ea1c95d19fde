"""Sandboxes of service instances: one folder per container, `shared` and the volumes linked into each.

Everything is made by descriptor and never through a link, because the folders belong to the pod once they are there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from orch.model.specs.template import ContainerTemplate, Template
from orch.node.users import User

SHARED = "shared"


class SandboxError(OSError):
    """A sandbox can't be made as the spec has it."""


def make(sandbox: Path, template: Template, users: dict[str, User]) -> None:
    """Make an instance's sandbox. sandbox: `Folders.sandbox(id, attempt)`. users: by container name.

    Volumes of kind "host" are links to the machine's own folder: a plain process sees the machine as it is. Raises
    OSError (no space, no right) and SandboxError.
    """
    sandbox.parent.mkdir(mode=0o711, exist_ok=True)
    sandbox.parent.chmod(0o711)
    several = len({user.uid for user in users.values()}) > 1
    sandbox.mkdir(mode=0o700, exist_ok=True)
    owner = next(iter(users.values()))
    _own(sandbox, owner, 0o711 if several else 0o700)
    folders = [SHARED, *(volume.name for volume in template.volumes if volume.kind == "shared")]
    for name in dict.fromkeys(folders):
        folder = sandbox / _plain(name)
        folder.mkdir(exist_ok=True)
        _own(folder, owner, 0o1777 if several else 0o700)
    for container in template.containers:
        folder = sandbox / _plain(container.name)
        folder.mkdir(mode=0o700, exist_ok=True)
        _links(folder, sandbox, template, container, users[container.name])
        _own(folder, users[container.name], 0o700)


def _links(folder: Path, sandbox: Path, template: Template, container: ContainerTemplate, user: User) -> None:
    _link(folder / SHARED, Path("..") / SHARED)
    volumes = {volume.name: volume for volume in template.volumes}
    for mount in container.mounts:
        volume = volumes[mount.volume]
        at = folder / _inside(mount.path)
        for parent in reversed(at.relative_to(folder).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            _own(folder / parent, user, 0o700)
        if volume.kind == "host":
            source = Path(volume.source)
            _link(at, source if source.is_absolute() else sandbox / _plain(container.name) / _inside(volume.source))
        else:
            _link(at, sandbox / _plain(volume.name))


def _link(at: Path, to: Path) -> None:
    if not at.is_symlink():
        at.symlink_to(to)


def _own(path: Path, user: User, mode: int) -> None:
    path.chmod(mode)
    if user.uid >= 0:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _plain(name: str) -> str:
    if not name or "/" in name or name in (".", ".."):
        raise SandboxError(f"{name!r} can't be the name of a folder")
    return name


def _inside(path: str) -> Path:
    """A mount path inside the sandbox; an absolute one can't be had by a plain process."""
    found = Path(path)
    if found.is_absolute() or ".." in found.parts or not found.parts:
        raise SandboxError(f"a plain process can only have volumes inside its sandbox; {path!r} is not")
    return found


def remove(sandbox: Path) -> None:
    """Remove a sandbox and everything in it; links are removed, not followed."""
    shutil.rmtree(sandbox, ignore_errors=True)
