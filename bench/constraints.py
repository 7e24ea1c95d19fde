"""The batch of `bench placement` once more under a constraint, in turns with the plain one.

- zones: each shape evenly over 16 zones (GROUP_BY), the agents dealt to zones in turn;
- unique: at most one pod of a shape on an agent (UNIQUE on the host). Where a shape has more pods than there are agents
  the rest stay unplaced: the row says how many;
- selector: each shape may use one half of the agents only, half of the demand on either;
- reserved: a tenth of each agent is set aside for others.

Timed as the plain case is; rules, masks and amounts are made before, as the index is. `ratio` is over the plain case,
both medians of rounds taken in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import verify
from bench.rows import Rows
from bench.workloads import Case, Int32, Workload
from orch.placement import Cluster, Rules

ZONES = 16
NAMES = ("zones", "unique", "selector", "reserved")
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Constraint:
    """arguments: what `assign` takes besides, made anew for each round. check: what is wrong with an assignment."""

    name: str
    arguments: Callable[[], dict[str, Any]]
    check: Callable[[Int32], list[str]]


def run(rows: Rows, case: Case, seed: int, made: Workload, rounds: int) -> None:
    """Print a row for each constraint."""
    every = [constraint(name, made) for name in NAMES]
    plain = Constraint("plain", dict, lambda agent: verify.problems(made, agent))
    took: dict[str, list[float]] = {one.name: [] for one in (plain, *every)}
    cpu: dict[str, list[float]] = {one.name: [] for one in (plain, *every)}
    agents: dict[str, Int32] = {}
    for _ in range(rounds):
        for one in (plain, *every):
            agent, wall_s, cpu_s = timed(made, one.arguments())
            took[one.name].append(wall_s)
            cpu[one.name].append(cpu_s)
            assert np.array_equal(agents.setdefault(one.name, agent), agent), "two runs of one input differ"
    plain_s = median(took["plain"])
    for one in every:
        wrong = one.check(agents[one.name])
        wall_s = median(took[one.name])
        rows.add(
            "placement", f"{case} {one.name}", 1000 * wall_s, "ms", rounds, verified=not wrong, wall_s=wall_s,
            cpu_s=median(cpu[one.name]), ratio=wall_s / plain_s, peer="the plain case", seed=seed, wrong=wrong,
            unplaced=int((agents[one.name] < 0).sum()), plain_ms=round(1000 * plain_s, 3),
            rounds=[round(1000 * t, 3) for t in took[one.name]],
        )  # fmt: skip


def timed(made: Workload, more: dict[str, Any]) -> tuple[Int32, float, float]:
    """(the assignment, seconds of wall, of processor) on empty agents."""
    cluster = Cluster(made.total, made.total, np.ones(len(made.total), np.uint8))
    cluster.assign(np.zeros((1, made.total.shape[1]), np.int32), [0])  # the order is built at the first match
    if "rules" in more:
        more["rules"].table(len(made.requests), len(made.total), len(made.shape))
    begun, cpu = time.perf_counter(), time.process_time()
    agent, _ = cluster.assign(made.requests, made.shape, **more)
    return agent, time.perf_counter() - begun, time.process_time() - cpu


def constraint(name: str, made: Workload) -> Constraint:
    """One of NAMES over a workload."""
    agents, shapes = len(made.total), len(made.requests)
    if name == "selector":
        half = np.arange(agents) % 2
        side = sides(made)
        allowed = (half[None, :] == side[:, None]).astype(np.uint8)
        return Constraint(
            name, lambda: {"allowed": allowed}, lambda agent: verify.problems(made, agent, lambda s: allowed[s] > 0)
        )
    if name == "reserved":
        held = made.total // 10
        rows = np.arange(agents, dtype=np.int32)
        return Constraint(name, lambda: {"held": (rows, held)}, lambda agent: verify.problems(made, agent, held=held))
    codes = np.arange(agents, dtype=np.int32) % (ZONES if name == "zones" else agents)

    def rules() -> dict[str, Any]:
        book = Rules(agents, shapes)
        attribute = book.attribute(codes)
        for shape in range(shapes):
            book.count(shape, book.counter(attribute))
            book.rule(shape, shape, "LEAST" if name == "zones" else "MAX", 0 if name == "zones" else 1)
        return {"rules": book}

    def check(agent: Int32) -> list[str]:
        return verify.even(made, agent, codes) if name == "zones" else verify.unique(made, agent)

    return Constraint(name, rules, check)


def sides(made: Workload) -> NDArray[np.int64]:
    """int64[S]: 0 or 1, so that both ask for about as much; the larger shapes are dealt first."""
    pods = np.bincount(made.shape, minlength=len(made.requests))
    share = (made.requests / made.total.sum(axis=0).clip(1)).max(axis=1) * pods
    side, asked = np.zeros(len(share), np.int64), [0.0, 0.0]
    for shape in np.argsort(-share, kind="stable").tolist():
        side[shape] = int(asked[1] < asked[0])
        asked[side[shape]] += float(share[shape])
    return side
