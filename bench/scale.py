"""The whole path at scale: from a client's submission of many pods to all of them RUNNING, as the client sees it.

Real are the client, the API, the journal (durable), allocator, kernel, commit, messages and Ray; the agents are
simulated, and so are the processes that they run. Each round is checked: every pod RUNNING at its first attempt, no
agent holding more than it has.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.parts import shared_out
from bench.processes import command_of, cpu_s, pss_bytes, with_environment
from bench.rows import ROOT, Rows

CASES = {
    "10k,1k": (10_000, 1_000, 5),
    "100k,10k": (100_000, 10_000, 5),
    "1M,100k": (1_000_000, 100_000, 5),
    "1M,1M": (1_000_000, 1_000_000, 3),
}
"""Pods, agents, rounds."""
QUICK = ("10k,1k", "100k,10k")
API_CASE = "1M,100k"
"""The one during which `ps`, `why` and `status` are asked."""
AGENT_CPUS, AGENT_MEM = 16, 65_536
LOAD = 0.9
"""Of the CPUs of all agents."""
TITLES = ("MasterActor", "SimulatedHost", "orch.cluster.gateway", "orch.cluster.supervisor", "gcs_server", "raylet")
SETTLE_S = 2.5
"""Between two rounds: the master gives memory back."""


def run(rows: Rows, quick: bool = False, case: str | None = None) -> None:
    """Print a row of each case, and one of the API's slowest answers meanwhile. Raises ValueError: no such case."""
    if case is not None and case not in CASES:
        raise ValueError(f"{case!r} is no case; there are {' '.join(CASES)}")
    for name in [case] if case else QUICK if quick else CASES:
        _case(rows, name, *CASES[name])


def _case(rows: Rows, case: str, pods: int, agents: int, rounds: int) -> None:
    import orch

    begun = time.perf_counter()
    with orch.local(agents=agents, simulated=True, agent_cpus=AGENT_CPUS, agent_mem=AGENT_MEM) as cluster:
        up_s = time.perf_counter() - begun
        marker = f"ORCH_CLUSTER={cluster.info()['cluster']}"
        cpus = LOAD * agents * AGENT_CPUS / pods
        pids = with_environment(marker)
        used = cpu_s(pids)
        found = [_round(cluster, pods, agents, cpus, marker) for _ in range(rounds)]
        used = cpu_s(pids) - used
        if case == API_CASE:
            _api(rows, case, cluster, pods, agents, cpus, marker)
    middle = sorted(found, key=lambda one: one["seconds"])[len(found) // 2]
    rows.add(
        "scale", case, median(one["seconds"] for one in found), "s", rounds,
        verified=all(one["right"] for one in found), wall_s=time.perf_counter() - begun, cpu_s=used / rounds,
        parts=middle["parts"], pss=middle["pss"], journal_bytes=middle["journal_bytes"], cpus=cpus,
        rounds=[round(one["seconds"], 3) for one in found], up_s=round(up_s, 1),
    )  # fmt: skip


def _round(cluster: Any, pods: int, agents: int, cpus: float, marker: str) -> dict[str, Any]:
    index = cluster.info()["index"]
    began = time.monotonic()
    job = cluster.submit("/bench/scale", cmd="true", count=pods, cpus=cpus, mem=16, env={"ORCH_SIM_MS": str(3_600_000)})
    job.wait(timeout=600, until="running")
    ended = time.monotonic()
    spans = [span for some in _get(cluster, f"/internal/spans?since={began}").values() for span in some]
    found = {
        "seconds": ended - began, "right": _is_right(job, pods, agents, cpus),
        "parts": shared_out(((what, first, last) for what, first, last in spans), began, ended),
        "pss": _pss(marker), "journal_bytes": _journal_bytes(cluster.data_dir, index),
    }  # fmt: skip
    job.stop(wait=True, timeout=600)
    time.sleep(SETTLE_S)
    return found


def _is_right(job: Any, pods: int, agents: int, cpus: float) -> bool:
    """Whether every pod runs, launched once, and no agent has more than it holds."""
    import orch

    columns = job._columns()
    each = np.bincount(columns["agents"], minlength=agents)
    return bool(
        len(columns["states"]) == pods
        and (columns["states"] == orch.State.RUNNING).all()
        and (columns["attempts"] == 1).all()
        and len(each) == agents
        and int(each.max()) * round(cpus * 1000) <= AGENT_CPUS * 1000
        and int(each.max()) * 16 <= AGENT_MEM
    )


def _get(cluster: Any, path: str) -> Any:
    import httpx

    headers = {"Authorization": f"Bearer {cluster._wire.place.token}"}
    answer = httpx.get(cluster.address + path, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.json()


def _pss(marker: str) -> dict[str, int]:
    """MiB by process, several of one kind together."""
    found: dict[str, int] = {}
    for pid in with_environment(marker):
        command = command_of(pid)
        title = next((title for title in TITLES if title in command), "other")
        found[title] = found.get(title, 0) + (pss_bytes(pid) >> 20)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _journal_bytes(data_dir: Path, index: int) -> int:
    """Of the records after an index."""
    file = f"file:{data_dir}/journal/journal.db?mode=ro"
    asked = "SELECT coalesce(sum(length(body)), 0) FROM journal WHERE idx > ?"
    with closing(sqlite3.connect(file, uri=True)) as db:
        return int(db.execute(asked, (index,)).fetchone()[0])


def _api(rows: Rows, case: str, cluster: Any, pods: int, agents: int, cpus: float, marker: str) -> None:
    """The slowest of what a second client asks while a job starts, runs and is stopped."""
    begun = time.perf_counter()
    place = cluster._wire.place
    command = [sys.executable, "-m", "bench.ask", place.url]
    asker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )  # fmt: skip
    assert asker.stdin is not None and asker.stdout is not None
    asker.stdin.write(place.token + "\n")
    asker.stdin.flush()
    asker.stdout.readline()  # it has asked once
    right = [_round(cluster, pods, agents, cpus, marker)["right"] for _ in range(2)]
    printed, _ = asker.communicate("stop\n", timeout=60)
    found = json.loads(printed)
    every = np.array([ms for some in found.values() for ms in some])
    rows.add(
        "scale", "api_p99", float(np.percentile(every, 99)), "ms", len(every), verified=all(right) and len(every) > 0,
        wall_s=time.perf_counter() - begun, during=case, p50=round(float(np.median(every)), 2),
        p99={name: round(float(np.percentile(some, 99)), 1) for name, some in found.items()},
        most={name: round(max(some), 1) for name, some in found.items()},
    )  # fmt: skip
