"""Memory: an idle cluster beyond Ray's own, and what a finished batch instance leaves in the master."""

from __future__ import annotations

import time
from typing import Any

from bench.processes import command_of, pss_bytes, with_environment
from bench.rows import Rows, package_version

MIB = 1 << 20
FIRST, MORE = 100_000, 1_000_000


def run(rows: Rows, quick: bool = False) -> None:
    """Print MiB beyond `ray start --head`, and bytes per finished instance from 0.1M to 1.1M."""
    _idle(rows)
    _per_instance(rows, MORE // 10 if quick else MORE)


def _idle(rows: Rows) -> None:
    import orch
    from bench.ray_head import RayHead

    begun = time.perf_counter()
    with RayHead(block=True) as head:
        _settle(head.pss_bytes)
        ray = head.pss_bytes()
    with orch.local(agents=1) as cluster:
        marker = f"ORCH_CLUSTER={cluster.info()['cluster']}"
        _settle(lambda: _total(marker))
        parts = {command_of(pid)[:60]: pss_bytes(pid) // MIB for pid in with_environment(marker)}
        whole = _total(marker)
    rows.add(
        "memory", "idle", (whole - ray) / MIB, "MiB", 1, verified=whole > ray > 0, wall_s=time.perf_counter() - begun,
        ratio=whole / ray, peer="ray start --head", peer_version=package_version("ray"), parts=parts,
    )  # fmt: skip


def _per_instance(rows: Rows, more: int) -> None:
    import orch

    begun = time.perf_counter()
    with orch.local(agents=100, simulated=True) as cluster:
        marker = f"ORCH_CLUSTER={cluster.info()['cluster']}"
        first = _run(cluster, FIRST)
        before = _master(marker)
        last = _run(cluster, more)
        after = _master(marker)
    rows.add(
        "memory", "master-per-instance", (after - before) / more, "bytes", more, verified=first and last,
        wall_s=time.perf_counter() - begun, master_mib=round(after / MIB),
    )  # fmt: skip


def _run(cluster: Any, pods: int) -> bool:
    job = cluster.submit("/bench/many", cmd="true", count=pods, cpus=0.1, mem=8)
    job.wait(timeout=1800)
    return bool((job.exit_codes == 0).all())


def _master(marker: str) -> int:
    pids = [pid for pid in with_environment(marker) if "MasterActor" in command_of(pid)]
    assert len(pids) == 1, f"{len(pids)} processes look like the master"
    _settle(lambda: pss_bytes(pids[0]))
    return pss_bytes(pids[0])


def _total(marker: str) -> int:
    return sum(pss_bytes(pid) for pid in with_environment(marker))


def _settle(measure: Any, seconds: float = 10.0) -> None:
    """Wait until two measurements a second apart agree to 1%."""
    end = time.monotonic() + seconds
    last = 0
    while time.monotonic() < end:
        now = measure()
        if last and abs(now - last) < last / 100:
            return
        last = now
        time.sleep(1.0)
