"""HyperQueue with a local server and one worker, as its own documentation starts it."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from bench.peers.work import COMMAND, ask, exit_code, output


def run(n: int) -> tuple[float, bool]:
    """Launch n commands in a process of its own; returns (launches a second, all outputs and codes right)."""
    return ask("bench.peers.hyperqueue_tasks", n)


def main(n: int) -> None:
    """Print `{per_s, right}` as JSON."""
    from hyperqueue import Job, LocalCluster
    from hyperqueue.cluster import WorkerConfig

    with tempfile.TemporaryDirectory() as folder, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig())
        client = cluster.client()
        job = Job(max_fails=n)
        tasks = [
            job.program(["sh", "-c", COMMAND], env={"ORCH_INDEX": str(i)}, stdout=f"{folder}/{i}", stderr=None)
            for i in range(n)
        ]
        begun = time.perf_counter()
        submitted = client.submit(job)
        client.wait_for_jobs([submitted], raise_on_error=False)
        took = time.perf_counter() - begun
        failed = client.get_failed_tasks(submitted)
        codes = sum((task_id in failed) == (exit_code(i) != 0) for i, task_id in enumerate(t.task_id for t in tasks))
        printed = all((Path(folder) / str(i)).read_bytes() == output(i) for i in range(n))
    print(json.dumps({"per_s": n / took, "right": printed and codes == n}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
