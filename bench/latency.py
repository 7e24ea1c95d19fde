"""One pod on an idle cluster: from the client's submit to RUNNING as the client sees it."""

from __future__ import annotations

import time

from bench.rows import Rows

SAMPLES = 200


def run(rows: Rows, quick: bool = False) -> None:
    """Print p50 and p99 in milliseconds."""
    import orch

    samples = 20 if quick else SAMPLES
    begun = time.perf_counter()
    took = []
    with orch.local(agents=1) as cluster:
        for at in range(samples + 5):
            start = time.perf_counter()
            job = cluster.submit("/bench/one", cmd="exec sleep 5", cpus=0.1, mem=8)
            job.wait(until="running", timeout=30)
            if at >= 5:
                took.append((time.perf_counter() - start) * 1000)
            job.stop()
            job.wait(timeout=30)
    took.sort()
    wall = time.perf_counter() - begun
    for case, share in (("p50", 0.5), ("p99", 0.99)):
        rows.add("latency", case, took[min(len(took) - 1, int(len(took) * share))], "ms", samples,
                 verified=len(took) == samples, wall_s=wall)  # fmt: skip
