"""Random clusters and demands for the placement's tests, and what the reference makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from orch.placement import POLICIES, Cluster, Demand, Match, reference

INT32_MOST = 2**31 - 1

# Few distinct values, so that agents tie and fill up exactly; now and then the ends of int32.
amounts = st.one_of(st.integers(0, 6), st.sampled_from([10, 12, 1000, INT32_MOST - 1, INT32_MOST]))
small_amounts = st.integers(0, 6)
policies = st.sampled_from(["best-fit", "best-fit", "first-fit", "spread"])


@dataclass
class Case:
    """One cluster and one demand; rows of the demand are (shape, count, gang, priority)."""

    free: list[list[int]]
    total: list[list[int]]
    usable: list[bool]
    requests: list[list[int]]
    allowed: list[list[int] | None]
    demand: list[tuple[int, int, int, int]]
    headroom: list[int] | None
    policy: str | list[str]

    @property
    def dims(self) -> int:
        return len(self.requests[0])

    def cluster(self) -> Cluster:
        shape = (len(self.free), self.dims)
        return Cluster(
            np.array(self.free, np.int32).reshape(shape),
            np.array(self.total, np.int32).reshape(shape),
            np.array(self.usable, np.uint8),
        )

    def agents(self) -> reference.Agents:
        return reference.Agents([list(row) for row in self.free], [list(row) for row in self.total], list(self.usable))

    def columns(self) -> Demand:
        shape, count, gang, priority = np.array(self.demand, np.int64).reshape(-1, 4).T
        policy = None if isinstance(self.policy, str) else [POLICIES[name] for name in self.policy]
        return Demand.of(shape, count, gang, priority, policy)

    @property
    def default_policy(self) -> str:
        return self.policy if isinstance(self.policy, str) else "best-fit"

    def masks(self) -> np.ndarray | None:
        if all(row is None for row in self.allowed):
            return None
        rows = [[1] * len(self.free) if row is None else row for row in self.allowed]
        return np.array(rows, np.uint8).reshape(len(rows), len(self.free))

    def match(self, cluster: Cluster) -> Match:
        return cluster.match(self.requests, self.columns(), self.masks(), self.default_policy, self.headroom)

    def by_reference(self, agents: reference.Agents) -> reference.Answer:
        return reference.match(self.policy, agents, self.demand, self.requests, self.allowed, self.headroom)


@st.composite
def agent_rows(draw: st.DrawFn, dims: int, values: st.SearchStrategy[int]) -> tuple[list[int], list[int], bool]:
    """(free, total, usable) of one agent; now and then a tombstone."""
    total = draw(st.lists(values, min_size=dims, max_size=dims))
    free = [draw(st.one_of(st.just(t), st.integers(0, t))) for t in total]
    return free, total, draw(st.sampled_from([True, True, True, False]))


@st.composite
def cases(draw: st.DrawFn, most_agents: int = 7, most_pods: int = 9) -> Case:
    """Any cluster, any demand: all policies, gangs, priorities, masks, headroom, drained agents, tombstones."""
    dims = draw(st.sampled_from([4, 5, 5, 5, 6, 8]))
    values = draw(st.sampled_from([amounts, small_amounts]))
    agents = draw(st.lists(agent_rows(dims, values), max_size=most_agents))
    requests = draw(st.lists(st.lists(values, min_size=dims, max_size=dims), min_size=1, max_size=4))
    flags = st.lists(st.integers(0, 1), min_size=len(agents), max_size=len(agents))
    allowed = [draw(st.one_of(st.none(), flags)) for _ in requests]
    demand = []
    for _ in range(draw(st.integers(0, 5))):
        gang = draw(st.sampled_from([0, 1, 1, 2, 3]))
        blocks = draw(st.integers(0, most_pods // max(gang, 1)))
        shape = draw(st.integers(0, len(requests) - 1))
        demand.append((shape, blocks * max(gang, 1), gang, draw(st.sampled_from([0, 0, 0, 5, -(2**31), INT32_MOST]))))
    headroom = draw(st.one_of(st.none(), st.lists(st.integers(-2, 40), min_size=dims, max_size=dims)))
    return Case(
        [a[0] for a in agents],
        [a[1] for a in agents],
        [a[2] for a in agents],
        requests,
        allowed,
        demand,
        headroom,
        draw(st.one_of(policies, st.lists(policies, min_size=len(demand), max_size=len(demand)))),
    )
