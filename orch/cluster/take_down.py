"""`orch down`: stop the pods and every process of the cluster on this machine; the journal stays, unless `purge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json
from orch.cluster.files import data_dir as find_data_dir
from orch.cluster.start import delete_all, evict_from_ray, remove_runtime, stop_node
from orch.model.errors import ConflictError

GRACE_S = 60.0
"""For the supervisor, which gives each pod the grace of its own first."""


def down(*, data_dir: Path | str | None = None, purge: bool = False, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Stop what runs: `{cluster, member, was_running, purged}`. Harmless where nothing runs. Raises ConflictError.

    On a machine that joined (`member`), only its own node is stopped: the machine leaves, the cluster goes on. No
    process and no socket of the cluster is left; with `purge` no file either.
    """
    files = ClusterFiles(find_data_dir(data_dir))
    nothing = {"cluster": None, "member": False, "was_running": False, "purged": purge}
    if not files.data.exists():
        return nothing
    cluster = files.cluster_id()
    if cluster is None:
        if any(entry.name != "up.lock" for entry in files.data.iterdir()):
            raise ConflictError(f"{files.data} is no data dir of orch: it has no marker; nothing was touched")
        return nothing
    with files.exclusive():
        config = read_json(files.config_json)
        node = None if config.get("head", True) else str(config["node"])
        running = stop_node(files, cluster, node, grace_s)
        evict_from_ray(files, config, purge)
        remove_runtime(cluster, node)
        files.cluster_json.unlink(missing_ok=True)
        if purge:
            delete_all(files, cluster, config)
    return {"cluster": cluster, "member": node is not None, "was_running": running, "purged": purge}
