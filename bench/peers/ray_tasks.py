"""Plain Ray: one task a command, each spawning and reaping it, on an own local Ray."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time

from bench.peers.work import COMMAND, ask, exit_code, output


def run(n: int) -> tuple[float, bool]:
    """Launch n commands in a process of its own; returns (launches a second, all outputs and codes right)."""
    return ask("bench.peers.ray_tasks", n)


def main(n: int) -> None:
    """Print `{per_s, right}` as JSON."""
    import ray

    with tempfile.TemporaryDirectory(prefix="r") as folder:
        ray.init(address="local", include_dashboard=False, log_to_driver=False, _temp_dir=folder)

        @ray.remote
        def launch(index: int) -> tuple[int, bytes]:
            done = subprocess.run(
                ["/bin/sh", "-c", COMMAND], env={"ORCH_INDEX": str(index)}, stdout=subprocess.PIPE, check=False
            )
            return done.returncode, done.stdout

        ray.get([launch.remote(index) for index in range(8)])
        begun = time.perf_counter()
        results = ray.get([launch.remote(index) for index in range(n)])
        took = time.perf_counter() - begun
        ray.shutdown()
    right = all(result == (exit_code(index), output(index)) for index, result in enumerate(results))
    print(json.dumps({"per_s": n / took, "right": right}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
