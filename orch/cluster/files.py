"""The files of a cluster on one machine: its data dir, its short runtime dir, and what is in them.

data dir (0711, because pods of other uids have their sandboxes below it; all else in it is for the owner only):
  .orch          marker with the cluster's id: only folders that have it are ever deleted
  cluster.json   what clients need: {cluster, url, token_file, node, pid, ...}
  supervisor.json  what the supervisor is to run
  token, node-token, ray-token   secrets, 0600
  journal/       the master's (SqliteStore);  aside/ events that failed;  blobs/ payloads of jobs
  node/          sandboxes and exit journals of the agents;  logs/ of our own processes
runtime dir (/tmp/orch-<uid>/<cluster>, 0700): sockets and Ray's temp dir, whose paths may have 107 bytes at most.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orch.client import places
from orch.model.errors import ConflictError, OrchError, UsageError

MARKER = ".orch"


def data_dir(given: Path | str | None) -> Path:
    """The folder that was given, else the one where clients look too (`orch.client.places.data_dir`)."""
    return Path(os.path.abspath(os.path.expanduser(given))) if given else places.data_dir()


def runtime_base() -> Path:
    """The owner's folder for sockets: `/tmp/orch-<uid>`. Raises OrchError where it belongs to somebody else."""
    base = Path(f"/tmp/orch-{os.getuid()}")
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise OrchError(f"the folder {base} for sockets cannot be made: {error}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise OrchError(
            f"{base} belongs to another user (uid {found.st_uid}); ask them, or an administrator, to remove it"
        )
    os.chmod(base, 0o700)
    return base


def runtime_dir(cluster: str, node: str = "") -> Path:
    """The runtime dir of a cluster's head, or of another node of it on this machine."""
    assert len(cluster) >= 8, f"no id of a cluster: {cluster!r}"  # or it would be everybody's folder
    return runtime_base() / (f"{cluster[:8]}-{node}" if node else cluster[:8])


class ClusterFiles:
    """Paths below one data dir, and reading and writing of its small files."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.marker = data / MARKER
        self.cluster_json = data / "cluster.json"
        self.config_json = data / "supervisor.json"
        self.token = data / "token"
        self.node_token = data / "node-token"
        self.ray_token = data / "ray-token"
        self.blobs = data / "blobs"
        self.logs = data / "logs"

    def prepare(self) -> str:
        """Make the folder, or check that it is ours; returns the cluster's id, new or of old. Raises OrchError."""
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o711)
            owner = self.data.stat().st_uid
            if owner != os.geteuid():
                raise UsageError(f"{self.data} belongs to another user (uid {owner}); give another --data-dir")
            if not self.marker.exists():
                others = [entry.name for entry in self.data.iterdir() if entry.name != "up.lock"]
                if others:
                    raise UsageError(
                        f"{self.data} holds other files ({', '.join(sorted(others)[:3])}); give an empty --data-dir"
                    )
                write_private(self.marker, secrets.token_hex(8) + "\n")
            os.chmod(self.data, 0o711)
            self.logs.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unusable(error) from error
        for path in (self.token, self.node_token, self.ray_token):
            if not path.exists():
                write_private(path, secrets.token_urlsafe(32) + "\n")
        return self.cluster_id() or ""

    def cluster_id(self) -> str | None:
        """The id in the marker; None where this is no data dir of ours."""
        try:
            return self.marker.read_text().strip() or None
        except OSError:
            return None

    def read(self) -> dict[str, Any]:
        """`cluster.json`, empty if there is none."""
        return read_json(self.cluster_json)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """One `up` or `down` at a time on one data dir."""
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o711)
            fd = os.open(self.data / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _unusable(self, error: OSError) -> OrchError:
        remedy = "give another one by --data-dir or ORCH_DATA_DIR"
        return OrchError(f"the data dir {self.data} cannot be used: {error.strerror}; {remedy}")

    def runtime(self, node: str = "") -> Path:
        """The runtime dir of this cluster (of this node of it, where it is not the head)."""
        return runtime_dir(self.cluster_id() or "", node)

    def purge(self) -> None:
        """Delete everything, if it is ours. Raises ConflictError where the marker is missing."""
        if not self.data.exists():
            return
        if self.cluster_id() is None:
            raise ConflictError(f"{self.data} has no {MARKER} marker, so it is not ours to delete")
        # The marker goes last: an interrupted purge can be repeated.
        for entry in self.data.iterdir():
            if entry.name not in (MARKER, "up.lock"):
                remove(entry)
        remove(self.marker)
        remove(self.data / "up.lock")
        with contextlib.suppress(OSError):
            self.data.rmdir()


def remove(path: Path) -> None:
    """Delete a file or a whole folder; links are not followed, what is gone already does not matter."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=_force)
    else:
        path.unlink(missing_ok=True)


def _force(function: Any, path: str, error: Any) -> None:
    """A pod may have taken away its folder's write bit."""
    with contextlib.suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)
        os.chmod(path, 0o700, follow_symlinks=False) if os.path.isdir(path) else None
        function(path)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it is there whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, path)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """See `write_private`."""
    write_private(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """A small file of ours; empty where it is not there (or half a file of another version)."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def secret(path: Path) -> str:
    """A token from its file."""
    return path.read_text().strip()


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log of ours."""
    with contextlib.suppress(OSError):
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    return ""


def write_failure(config: dict[str, Any], error: OrchError) -> None:
    """Tell `up`, which waits, why the node cannot start."""
    write_json(Path(config["runtime_dir"]) / "failed.json", {"nonce": config["nonce"], "error": error.to_dict()})
