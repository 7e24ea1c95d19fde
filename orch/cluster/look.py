"""What runs of a cluster on this machine, told without asking it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orch.cluster.bring_up import answers
from orch.cluster.files import ClusterFiles, runtime_base
from orch.cluster.files import data_dir as find_data_dir
from orch.cluster.processes import of_cluster
from orch.cluster.start import supervisor


def status(*, data_dir: Path | str | None = None) -> dict[str, Any]:
    """`{cluster, running, answers, url, supervisor: pid, processes: {role: n}, data_dir}`; pods count as role `pod`."""
    files = ClusterFiles(find_data_dir(data_dir))
    cluster = files.cluster_id()
    found = files.read()
    processes: dict[str, int] = {}
    for process in of_cluster(cluster, runtime_base()) if cluster else ():
        role = process.role or "pod"
        processes[role] = processes.get(role, 0) + 1
    boss = supervisor(files)
    url = found.get("url")
    return {
        "cluster": cluster,
        "running": boss is not None,
        "answers": bool(url) and answers(str(url)),
        "url": url,
        "supervisor": boss.pid if boss else None,
        "processes": processes,
        "data_dir": str(files.data),
    }
