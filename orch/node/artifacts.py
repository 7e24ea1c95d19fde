"""Inputs of a container: fetched into its sandbox before it starts, unpacked, and given to its user.

http, https and file. A file must be readable by everybody where pods run as other users than the supervisor, or its
rights would be lent to them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from orch.model.specs.template import ArtifactTemplate
from orch.node.folders import open_to_others
from orch.node.users import User

TIMEOUT_S = 60.0
"""Without a byte."""
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")


class ArtifactError(Exception):
    """An input could not be had; says which, and why."""


async def fetch(wanted: Iterable[ArtifactTemplate], folder: Path, user: User) -> None:
    """Fetch all into a container's sandbox, one after the other. Raises ArtifactError."""
    for artifact in wanted:
        await asyncio.to_thread(_fetch, artifact, folder, user)


def _fetch(artifact: ArtifactTemplate, folder: Path, user: User) -> None:
    parts = urlsplit(artifact.uri)
    name = artifact.dest or Path(unquote(parts.path)).name
    target = folder / name
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ArtifactError(f"{artifact.uri!r} has no name for a file in the sandbox; state destPath")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if parts.scheme in ("http", "https"):
            with urllib.request.urlopen(artifact.uri, timeout=TIMEOUT_S) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
        elif parts.scheme in ("file", ""):
            _copy(Path(unquote(parts.path)), target, user)
        else:
            raise ArtifactError(f"{artifact.uri!r}: only http, https and file can be fetched")
        if artifact.executable:
            target.chmod(0o755)
        elif artifact.extract and name.endswith(_ARCHIVES):
            _extract(target, target.parent)
        _give(folder, user)
    except (OSError, urllib.error.URLError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise ArtifactError(f"{artifact.uri!r} could not be fetched: {error}") from error


def _copy(source: Path, target: Path, user: User) -> None:
    if not source.is_absolute():
        raise ArtifactError(f"{str(source)!r} is no absolute path")
    with open(source, "rb") as file:
        found = os.fstat(file.fileno())
        if user.uid > 0 and not (found.st_mode & stat.S_IROTH and open_to_others(source.resolve().parent)):
            raise ArtifactError(f"{source} may not be read by everybody, so not by a pod's user either")
        with open(target, "wb") as copy:
            shutil.copyfileobj(file, copy)


def _extract(archive: Path, folder: Path) -> None:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as bundle:  # it drops absolute paths and `..` by itself
            bundle.extractall(folder)
        return
    with tarfile.open(archive) as bundle:
        if hasattr(tarfile, "data_filter"):
            bundle.extractall(folder, filter="data")
            return
        for member in bundle:  # before Python 3.11.4: the same, but links may not lead upward at all
            steps = [*Path(member.name).parts, *(Path(member.linkname).parts if member.issym() else ())]
            if "/" in steps or ".." in steps:
                raise ArtifactError(f"{archive.name} holds {member.name!r}, which leads out of the sandbox")
            if member.isfile() or member.isdir() or member.issym():
                member.mode &= 0o755
                bundle.extract(member, folder, set_attrs=False)
                if not member.issym():
                    (folder / member.name).chmod(member.mode | (0o700 if member.isdir() else 0o600))


def _give(folder: Path, user: User) -> None:
    if user.uid < 0:
        return
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            os.chown(os.path.join(base, name), user.uid, user.gid, follow_symlinks=False)
