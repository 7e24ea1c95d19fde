"""Memory and CPU limits of service containers by control groups, v1 or v2, where this machine lets us make some.

A container's memory limit is what it asked for, unless its spec states another; its CPUs are shares, and a hard limit
only where its spec states one. Groups nest under the supervisor's own, which may be a container's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from orch.model.specs.template import UNLIMITED, ContainerTemplate
from orch.node.procfs import children

log = structlog.get_logger("orch.node")

ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_REMOVE_S = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """mem_mib, cpus_limit_milli: None for no limit."""

    mem_mib: int | None
    cpus_milli: int
    cpus_limit_milli: int | None


def limits_of(container: ContainerTemplate) -> Limits:
    """What a container's group is to hold it to."""
    mem = container.mem_mib if container.mem_limit_mib is None else container.mem_limit_mib
    cpus = container.cpus_limit_milli
    return Limits(
        mem if mem > 0 and mem != UNLIMITED else None,
        container.cpus_milli,
        cpus if cpus is not None and cpus > 0 else None,
    )


class Cgroups:
    """The groups of one agent. version: "v1", "v2", or "none", where limits are not enforced."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self.version = "none"
        self._parents: dict[str, Path] = {}
        for version, find in (("v2", _parents_v2), ("v1", _parents_v1)):
            try:
                parents = {controller: path / name for controller, path in find(root).items()}
                if not parents:
                    continue
                for path in dict.fromkeys(parents.values()):
                    path.mkdir(exist_ok=True)
                if version == "v2":
                    _enable(next(iter(parents.values())))
            except OSError as error:
                log.info("no control groups", version=version, error=str(error))
                continue
            self.version, self._parents = version, parents
            return

    def make(self, name: str, container: ContainerTemplate) -> tuple[Path, ...]:
        """Make a group with limits. Returns the files that a process writes "0" to, to get in; empty: no limits."""
        limits = limits_of(container)
        made = []
        try:
            for path in self._paths(name):
                path.mkdir(exist_ok=True)
                made.append(path / "cgroup.procs")
            self._set(name, limits)
        except OSError as error:
            log.warning("a control group could not be made", group=name, error=str(error))
            self.finish(name)
            return ()
        return tuple(made)

    def finish(self, name: str) -> bool:
        """Remove a group, whose processes have ended; True if one of them was killed for its memory."""
        killed = self._oom_kills(name) > 0
        for path in self._paths(name):
            deadline = time.monotonic() + _REMOVE_S
            while True:
                try:
                    path.rmdir()
                except FileNotFoundError:
                    break
                except OSError as error:  # the last zombie is just being taken
                    if error.errno != errno.EBUSY or time.monotonic() > deadline:
                        break
                    time.sleep(0.002)
                else:
                    break
        return killed

    def close(self) -> None:
        """Remove the agent's own groups, if nothing runs in them any more."""
        for path in dict.fromkeys(self._parents.values()):
            with contextlib.suppress(OSError):
                path.rmdir()

    def _paths(self, name: str) -> list[Path]:
        return list(dict.fromkeys(parent / name for parent in self._parents.values()))

    def _set(self, name: str, limits: Limits) -> None:
        memory, cpu = self._parents.get("memory"), self._parents.get("cpu")
        v2 = self.version == "v2"
        if memory is not None and limits.mem_mib is not None:
            _write(memory / name / ("memory.max" if v2 else "memory.limit_in_bytes"), limits.mem_mib << 20)
            with contextlib.suppress(OSError):  # swap is not counted everywhere
                swap = ("memory.swap.max", 0) if v2 else ("memory.memsw.limit_in_bytes", limits.mem_mib << 20)
                _write(memory / name / swap[0], swap[1])
        if cpu is None:
            return
        if v2:
            _write(cpu / name / "cpu.weight", min(10_000, max(1, limits.cpus_milli // 10)))
        else:
            _write(cpu / name / "cpu.shares", max(2, limits.cpus_milli * 1024 // 1000))
        if limits.cpus_limit_milli is not None:
            quota = max(1_000, limits.cpus_limit_milli * _PERIOD_US // 1000)
            if v2:
                _write(cpu / name / "cpu.max", f"{quota} {_PERIOD_US}")
            else:
                _write(cpu / name / "cpu.cfs_period_us", _PERIOD_US)
                _write(cpu / name / "cpu.cfs_quota_us", quota)

    def _oom_kills(self, name: str) -> int:
        memory = self._parents.get("memory")
        if memory is None:
            return 0
        file = memory / name / ("memory.events" if self.version == "v2" else "memory.oom_control")
        with contextlib.suppress(OSError, ValueError):
            for line in file.read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0


def _own() -> dict[str, str]:
    """Controller -> path of the supervisor's own group, from /proc/self/cgroup; "" is the v2 hierarchy."""
    found = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _below(mount: Path, path: str) -> Path:
    """The own group below a mount point, which may itself show only the part from our own group down."""
    inside = mount / path.lstrip("/")
    return inside if inside.is_dir() else mount


def _parents_v1(root: Path) -> dict[str, Path]:
    own = _own()
    return {
        controller: _below(root / controller, own[controller])
        for controller in ("memory", "cpu")
        if controller in own and (root / controller / "cgroup.procs").exists()
    }


def _parents_v2(root: Path) -> dict[str, Path]:
    if not (root / "cgroup.controllers").exists():
        return {}
    own = _below(root, _own().get("", "/"))
    have = (own / "cgroup.controllers").read_text().split()
    wanted = [controller for controller in ("memory", "cpu") if controller in have]
    if not wanted:
        return {}
    enabled = (own / "cgroup.subtree_control").read_text().split()
    if not set(wanted) <= set(enabled):
        _make_room(own)
        _write(own / "cgroup.subtree_control", " ".join(f"+{controller}" for controller in wanted))
    return dict.fromkeys(wanted, own)


def _make_room(own: Path) -> None:
    """A group that holds processes may not hand controllers down. Ours move to a leaf; those of others stay."""
    held = [int(pid) for pid in (own / "cgroup.procs").read_text().split()]
    ours = {os.getpid(), *children()}
    if held and set(held) <= ours:
        leaf = own / "supervisor"
        leaf.mkdir(exist_ok=True)
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                _write(leaf / "cgroup.procs", pid)


def _enable(parent: Path) -> None:
    have = (parent / "cgroup.controllers").read_text().split()
    wanted = [f"+{controller}" for controller in ("memory", "cpu") if controller in have]
    _write(parent / "cgroup.subtree_control", " ".join(wanted))


def _write(path: Path, value: int | str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode())
    finally:
        os.close(fd)
