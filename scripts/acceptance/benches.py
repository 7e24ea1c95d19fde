"""`python -m bench ...`: figures beside their peers, measured in one run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from acceptance.lines import Check, Context, Done, Line, at_least, at_most, holds, rows

KEYS = ("name", "case", "figure", "unit", "n", "ratio", "peer", "peer_version", "commit", "cpu_s", "wall_s", "verified")
LAUNCH_CASES = ("orch", "bare1", "bare2", "ray_tasks", "hyperqueue")
Cases = dict[str, dict[str, Any]]


def measured(context: Context, name: str, seconds: float, *options: str) -> tuple[Cases, Done]:
    """The rows of one benchmark by their case."""
    done = context.run([context.python, "-m", "bench", name, "--json", *options], seconds=seconds)
    return {str(row.get("case")): row for row in rows(done.stdout)}, done


def figure(cases: Cases, case: str) -> float | None:
    """The figure of a case that was measured and verified."""
    row = cases.get(case, {})
    return row["figure"] if row.get("verified") is True else None


def ratio(cases: Cases, case: str) -> float | None:
    """How many times its peer's figure that of a case is, where it was verified."""
    row = cases.get(case, {})
    return row["ratio"] if row.get("verified") is True else None


def launch(context: Context) -> Iterator[Line]:
    """10,000 pods by the ordinary path, beside bare spawning, Ray tasks and HyperQueue."""
    cases, done = measured(context, "launch", 1800)
    missing = [case for case in LAUNCH_CASES if case not in cases]
    lacking = sorted({key for row in cases.values() for key in KEYS if key not in row})
    unverified = [case for case, row in cases.items() if row.get("verified") is not True]
    well = done.code == 0 and not (missing or lacking or unverified)
    said = f"{len(cases)} cases, {len(cases) - len(unverified)} verified"
    detail = f"missing cases {missing}, missing keys {lacking}, unverified {unverified}\n{done.tail()}"
    yield holds("launch cases", well, said, f"{len(LAUNCH_CASES)} cases, all verified", detail)
    own, peer = figure(cases, "orch"), figure(cases, "hyperqueue")
    bare = max((figure(cases, case) or 0 for case in ("bare1", "bare2")), default=0)
    n = cases.get("orch", {}).get("n", 0)
    yield at_least("launch pods", n, 10_000, "pods")
    to_bare = own / bare if own and bare else None
    to_peer = own / peer if own and peer else None
    yield at_least("launch to bare", to_bare, 0.4, "of the better bare", f"{own} to {bare} pods/s")
    yield at_least("launch to HyperQueue", to_peer, 3, "times", f"{own} to {peer} pods/s")


def latency(context: Context) -> Iterator[Line]:
    """One pod on an idle cluster, submit to RUNNING as the client sees it."""
    cases, done = measured(context, "latency", 600)
    yield at_most("latency p50", figure(cases, "p50"), 30, "ms", done.tail())
    yield at_most("latency p99", figure(cases, "p99"), 100, "ms", done.tail())


def startup(context: Context) -> Iterator[Line]:
    """`orch --help`, and `import orch`."""
    cases, done = measured(context, "startup", 600)
    yield at_most("orch --help", figure(cases, "help"), 0.3, "s", done.tail())
    yield at_most("import orch", import_seconds(context), 0.15, "s")


def import_seconds(context: Context) -> float | None:
    """Seconds that `import orch` adds to a Python that has started: the median of 9."""
    code = "import time; a = time.perf_counter(); import orch; print(time.perf_counter() - a)"
    runs = [context.run([context.python, "-c", code], seconds=30) for _ in range(9)]
    took = sorted(float(done.stdout) for done in runs if done.code == 0)
    return took[len(took) // 2] if len(took) == len(runs) else None


def memory(context: Context) -> Iterator[Line]:
    """An idle cluster beyond Ray's own, and what a finished batch instance leaves in the master."""
    cases, done = measured(context, "memory", 3600)
    idle = figure(cases, "idle")
    yield at_most("memory idle", idle and idle * 2**20 / 1e6, 350, "MB beyond Ray", done.tail())
    yield at_most("memory per instance", figure(cases, "master-per-instance"), 100, "bytes", done.tail())


CHECKS = [Check("launch", launch), Check("latency", latency), Check("startup", startup), Check("memory", memory)]
