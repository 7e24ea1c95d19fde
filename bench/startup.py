"""How long a person waits: `orch --help`, `import orch`, and `orch up` beside `ray start --head` by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

from bench.rows import Rows, package_version

ROUNDS = 10


def run(rows: Rows, quick: bool = False) -> None:
    """Print seconds of each, and of `orch up` the seconds beyond Ray's own start."""
    rounds = 3 if quick else ROUNDS
    for case, command in (("help", ["-m", "orch", "--help"]), ("import", ["-c", "import orch"])):
        took, right = [], True
        begun = time.perf_counter()
        for _ in range(rounds):
            start = time.perf_counter()
            right &= subprocess.run([sys.executable, *command], capture_output=True, check=False).returncode == 0
            took.append(time.perf_counter() - start)
        wall = time.perf_counter() - begun
        rows.add("startup", case, median(took), "s", rounds, verified=right, wall_s=wall)
    for agents in (1, 2):
        _up(rows, agents, 1 if quick else 3)


def _up(rows: Rows, agents: int, rounds: int) -> None:
    import orch
    from bench.ray_head import RayHead

    own, peer = [], []
    begun = time.perf_counter()
    for _ in range(rounds):
        start = time.perf_counter()
        with RayHead():
            peer.append(time.perf_counter() - start)
        start = time.perf_counter()
        with orch.local(agents=agents):
            own.append(time.perf_counter() - start)
    rows.add(
        "startup", f"up-{agents}", median(own), "s", rounds, verified=True, wall_s=time.perf_counter() - begun,
        ratio=median(own) / median(peer), peer="ray start --head", peer_version=package_version("ray"),
        beyond_s=round(median(own) - median(peer), 2),
    )  # fmt: skip
