"""`orch up`, `down`, `why` and `run` by the command line, on clusters of our own in folders of our own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from acceptance.lines import Check, Context, Done, Line, at_most, clean_environ, holds, parsed
from bench.processes import command_of, with_environment
from bench.ray_head import RayHead
from orch.node.procfs import stat_of

UP_KEYS = ("url", "cluster", "token_file", "agents", "ready_ms")
WHY_KEYS = ("id", "agents", "feasible", "ruled_out", "nearest", "never", "sentence")
ERROR_KEYS = ("type", "title", "status", "detail", "message", "details")
BAD_POD = {
    "id": "/accept/bad",
    "containers": [{"name": "app", "resources": {"cpus": -1, "mem": 32}, "exec": {"command": {"shell": "true"}}}],
}


class OwnCluster:
    """The command line over one data folder; at the end of the block nothing of the cluster is left."""

    def __init__(self, context: Context, name: str) -> None:
        self.context = context
        self.data = context.folder / name
        self.id = ""

    def __enter__(self) -> OwnCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.orch("down", "--purge", seconds=120)
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def orch(self, *words: str, seconds: float = 60, stdin: str = "") -> Done:
        """Run one command of orch's."""
        env = clean_environ() | {"ORCH_DATA_DIR": str(self.data)}
        return self.context.run([self.context.python, "-m", "orch", *words], seconds=seconds, env=env, stdin=stdin)

    def up(self, agents: int) -> tuple[dict[str, Any], Done]:
        """`orch up -o json`: what it printed, parsed, and the command."""
        done = self.orch("up", "--agents", str(agents), "-o", "json", "--data-dir", str(self.data), seconds=120)
        said = parsed(done.stdout)
        self.id = str(said.get("cluster", self.id))
        return said, done

    def pids(self) -> list[int]:
        """The processes with this cluster's id in their environment."""
        return with_environment(f"ORCH_CLUSTER={self.id}") if self.id else []


def ray_alone_ms() -> float:
    """How long `ray start --head` takes by itself, in ms, with the options that a cluster of ours gives it."""
    begun = time.monotonic()
    with RayHead():
        return (time.monotonic() - begun) * 1000


def up(context: Context) -> Iterator[Line]:
    """Up twice is one cluster; ready soon after Ray alone would be; then down leaves nothing."""
    for agents, beyond_ms in ((1, 3000), (2, 5000)):
        ray_ms = ray_alone_ms()
        with OwnCluster(context, f"up-{agents}") as cluster:
            first, done = cluster.up(agents)
            missing = [key for key in UP_KEYS if key not in first]
            well = done.code == 0 and not missing
            name = f"up {agents} agent{'s' if agents > 1 else ''}"
            yield holds(name, well, f"exit {done.code}", "exit 0, all keys", f"missing {missing}\n{done.tail()}")
            if not well:
                continue
            over_ms = first["ready_ms"] - ray_ms
            detail = f"ready after {first['ready_ms']} ms, Ray alone {ray_ms:.0f} ms"
            yield at_most(f"{name} beyond Ray", over_ms, beyond_ms, "ms", detail)
            if agents == 2:
                yield from up_again(cluster, first)
            yield from down(cluster, first["url"])


def up_again(cluster: OwnCluster, first: dict[str, Any]) -> Iterator[Line]:
    """The second `orch up` finds the first one's cluster; its token is for its owner alone."""
    second, done = cluster.up(2)
    same = done.code == 0 and second.get("cluster") == first["cluster"] and second.get("url") == first["url"]
    yield holds("up twice", same, str(second.get("cluster")), f"the same cluster, {first['cluster']}", done.tail())
    mode = stat.S_IMODE(Path(first["token_file"]).stat().st_mode)
    yield holds("token file", mode == 0o600, f"{mode:04o}", "0600")


def down(cluster: OwnCluster, url: str) -> Iterator[Line]:
    """`orch down` with a service running: no process, no unix socket, no port is left."""
    job = cluster.orch("submit", "-n", "2", "--name", "/accept/sleep", "--", "exec sleep 1000")
    before = {pid: started(pid) for pid in cluster.pids()}  # Ray's agents write over the environment that tells them
    done = cluster.orch("down", seconds=120)
    alive = {pid for pid, since in before.items() if since is not None and started(pid) == since}
    left = [f"{pid} {command_of(pid)[:80]}" for pid in sorted(alive | set(cluster.pids()))]
    name = f"down ({cluster.data.name})"
    yield holds(name, done.code == job.code == 0 and not left, f"{len(left)} processes", "0 processes", "\n".join(
        [*left, job.tail(), done.tail()]
    ))  # fmt: skip
    sockets = sockets_of(cluster)
    if answers(url):
        sockets.append(url)
    yield holds(f"{name} sockets", not sockets, f"{len(sockets)} sockets", "0 sockets", "\n".join(sockets))


def started(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None where it runs no more."""
    stat = stat_of(pid)
    return stat.started if stat is not None and stat.alive else None


def sockets_of(cluster: OwnCluster) -> list[str]:
    """Unix sockets of a cluster, bound or only left behind as files: by its id or its data folder in their path."""
    bound = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "/" in line]
    marks = (cluster.id, cluster.id[:8], str(cluster.data))
    found = {path for path in bound if any(mark in path for mark in marks)}
    folders = [cluster.data, *Path("/tmp").glob(f"orch-*/{cluster.id[:8]}*"), *Path("/run/user").glob("*/orch*")]
    for folder in folders:
        found.update(str(path) for path in folder.rglob("*") if path.is_socket())
    return sorted(found)


def answers(url: str) -> bool:
    """Whether anything still listens at a URL's port."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=2):
            return True
    except OSError:
        return False


def why(context: Context) -> Iterator[Line]:
    """Why for what no agent could hold, and for what only waits: each agent is counted once."""
    with OwnCluster(context, "why") as cluster:
        _, done = cluster.up(2)
        if done.code:
            yield Line("why", f"up: exit {done.code}", "each agent counted once", False, done.tail())
            return
        most = most_cpus(cluster)
        whole = ("--cpus", f"{most}", "--mem", "16", "--", "exec sleep 1000")
        cluster.orch("submit", "-n", "2", "--name", "/accept/full", *whole)
        yield from explained(cluster, "/accept/impossible", 1000.0, never=True)
        yield from explained(cluster, "/accept/waiting", most, never=False)


def most_cpus(cluster: OwnCluster) -> float:
    """The CPUs of one agent."""
    said = json.loads(cluster.orch("agents", "-o", "json").stdout)
    agents = said if isinstance(said, list) else said["agents"]
    return float(max(agent["total"]["cpus"] for agent in agents))


def explained(cluster: OwnCluster, path: str, cpus: float, *, never: bool) -> Iterator[Line]:
    """Submit one pod that cannot be placed now, and judge what `orch why` says of it."""
    submitted = cluster.orch("submit", "--name", path, "--cpus", f"{cpus}", "--mem", "16", "-o", "json", "--", "true")
    done = cluster.orch("why", str(parsed(submitted.stdout).get("job", path)), "-o", "json")
    answer = parsed(done.stdout)
    missing = [key for key in WHY_KEYS if key not in answer]
    name = f"why {path.rpartition('/')[2]}"
    if done.code or missing:
        detail = f"missing {missing}\n{submitted.tail()}\n{done.tail()}"
        yield Line(name, f"exit {done.code}", "exit 0, all keys", False, detail)
        return
    counted = sum(row["agents"] for row in answer["ruled_out"])
    nearest = answer["nearest"] or {}
    right = (
        counted == answer["agents"] == 2
        and answer["feasible"] == 0
        and answer["never"] is never
        and nearest.keys() >= {"agent", "resource", "asked", "free"}
        and bool(answer["sentence"])
    )
    yield holds(name, right, answer["sentence"], f"2 agents counted once, never {never}", json.dumps(answer))


def bad_run(context: Context) -> Iterator[Line]:
    """`orch run BAD` says on stderr which field is wrong, and exits 2."""
    with OwnCluster(context, "bad") as cluster:
        _, started = cluster.up(1)
        if started.code:
            yield Line("run BAD", f"up: exit {started.code}", "exit 2, the path named", False, started.tail())
            return
        done = cluster.orch("run", "-", "-o", "json", stdin=json.dumps(BAD_POD))
        error = parsed(done.stderr)
        missing = [key for key in ERROR_KEYS if key not in error]
        paths = [detail.get("path", "") for detail in error.get("details", [])]
        right = done.code == 2 and not missing and any("cpus" in path for path in paths)
        detail = f"missing {missing}\n{done.tail()}"
        yield holds("run BAD", right, f"exit {done.code}, {paths}", "exit 2, the path named", detail)


CHECKS = [Check("up-down", up), Check("why", why), Check("run-bad", bad_run)]
