"""A second client, in a process of its own: asks `ps`, `why` and `status` again and again, and says how long each took.

    python -m bench.ask URL

The token is the first line of stdin; it prints a line once it has asked once, and at the second line of stdin an
object of milliseconds by question.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from orch.client.cluster import Cluster
from orch.client.places import Place

PAUSE_S = 0.005


def main(url: str) -> int:
    """Ask until told to stop."""
    token = sys.stdin.readline().strip()
    with Cluster(Place(url, token)) as cluster:
        ended = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
        job = max(job.number for job in cluster.jobs())
        questions: dict[str, Callable[[], Any]] = {
            "ps": cluster.ps, "why": lambda: cluster.why(job), "status": cluster.info
        }  # fmt: skip
        took: dict[str, list[float]] = {name: [] for name in questions}
        for ask in questions.values():
            ask()
        print("ready", flush=True)
        while not ended.is_set():
            for name, ask in questions.items():
                began = time.perf_counter()
                ask()
                took[name].append((time.perf_counter() - began) * 1000)
                time.sleep(PAUSE_S)
    print(json.dumps(took))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
