"""What a plan shows is what happens, on the seeds of clusters where it once was not, and some more."""

from __future__ import annotations

import pytest

from bench.plan import Cluster, compared, told
from orch.model.codec import encode
from orch.plan import Future, effect_of
from orch.plan.future import PATIENT
from orch.sim.head import machines

# 7: instances that pass their checks; 35, 66, 100: who reports first; 28: who has waited longest.
SEEDS = [1_000_003 + number for number in (7, 28, 35, 66, 100)]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_planned_is_what_happens(seed: int) -> None:
    planned, happened = compared(seed)
    assert told(planned) == told(happened)
    assert len(happened.started) + len(happened.stopped) > 0


def test_a_future_changes_nothing_of_the_cluster_and_is_the_same_twice() -> None:
    cluster = Cluster(SEEDS[0])
    cluster.take(*cluster.request())
    machine, request = cluster.request()
    image = cluster.image()
    before = encode(image)
    effects = []
    for _ in range(2):
        reply, records = Future(machines(**PATIENT), image, cluster.world.now_ms).ask(machine, request)
        assert reply.error is None
        effects.append(told(effect_of(records)))
    assert effects[0] == effects[1] and encode(image) == before == encode(cluster.image())
