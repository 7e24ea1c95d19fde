"""`orch down`: stop the pods and every process of the cluster on this machine; the journal stays, unless `purge`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orch.cluster.files import ClusterFiles, read_json, remove
from orch.cluster.files import data_dir as find_data_dir
from orch.cluster.start import evict_from_ray, remove_runtime, stop_node
from orch.model.errors import ConflictError

GRACE_S = 60.0
"""For the supervisor, which gives each pod the grace of its own first."""


def down(*, data_dir: Path | str | None = None, purge: bool = False, grace_s: float = GRACE_S) -> dict[str, Any]:
    """Stop what runs: `{cluster, was_running, purged}`. Harmless where nothing runs. Raises ConflictError.

    On a machine that joined, only its own node is stopped. No process and no socket of the cluster is left; with
    `purge` no file either.
    """
    files = ClusterFiles(find_data_dir(data_dir))
    if not files.data.exists():
        return {"cluster": None, "was_running": False, "purged": purge}
    cluster = files.cluster_id()
    if cluster is None:
        if any(entry.name != "up.lock" for entry in files.data.iterdir()):
            raise ConflictError(f"{files.data} is no data dir of orch: it has no marker; nothing was touched")
        return {"cluster": None, "was_running": False, "purged": purge}
    with files.exclusive():
        config = read_json(files.config_json)
        node = None if config.get("head", True) else str(config["node"])
        running = stop_node(files, cluster, node, grace_s)
        evict_from_ray(files, config, purge)
        remove_runtime(cluster, node)
        files.cluster_json.unlink(missing_ok=True)
        if purge:
            sandboxes = Path(str(config.get("node_dir") or files.data / "node"))
            if sandboxes.name == f"{cluster}-{config.get('node')}":  # outside the data dir, and named after us
                remove(sandboxes)
            files.purge()
    return {"cluster": cluster, "was_running": running, "purged": purge}
