"""A replay places as the plain one does, measures what its placements say, and gives the same answer every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.model.errors import UsageError
from orch.placement import GPU_POLICIES, POLICIES
from orch.placement.gpu_shapes import ANY_MODEL
from orch.trace import replay as replaying
from orch.trace.lists import Agents, Pods
from orch.trace.replay import Outcome, replay
from tests.trace import plain

Kind = tuple[int, int, int, int, int, int]


def agents_of(rows: list[tuple[int, int, int, int]]) -> Agents:
    """Agents as (cpus milli, mem, devices, model)."""
    cpu, mem, devices, model = np.array(rows, np.int32).T
    zero = np.zeros_like(cpu)
    total = np.stack([cpu, mem, zero, 1000 * devices, zero], axis=1).astype(np.int32)
    return Agents(tuple(f"n{at}" for at in range(len(rows))), total, devices, model, ("A", "B"))


def pods_of(kinds: list[Kind], rows: list[tuple[int, int, int, int, int]]) -> Pods:
    """Kinds as (cpus milli, mem, milli, devices, models, gang), rows as (kind, gangs, priority, arrival, duration)."""
    cpu, mem, milli, number, _, gang = (list(column) for column in zip(*kinds, strict=True))
    zero = [0] * len(kinds)
    request = np.array([cpu, mem, zero, [m * n for m, n in zip(milli, number, strict=True)], zero], np.int32).T
    kind, gangs, priority, arrival, duration = np.array(rows, np.int64).T
    return Pods(
        np.ascontiguousarray(request), np.array(milli, np.int32), np.array(number, np.int32),
        np.array([one[4] for one in kinds], np.uint64), np.array(gang, np.int32), kind.astype(np.int32),
        (gangs * np.maximum(np.array(gang)[kind], 1)).astype(np.int32), priority.astype(np.int32), arrival, duration,
    )  # fmt: skip


# Few values, so that agents fill up exactly, pods wait, and many things happen at one instant.
@st.composite
def kind(draw: st.DrawFn, devices: bool) -> Kind:
    number = draw(st.sampled_from([0, 1, 1, 2])) if devices else 0
    milli = draw(st.sampled_from([1000, 500, 300])) if number else 0
    models = draw(st.sampled_from([ANY_MODEL, ANY_MODEL, 0b01, 0b10])) if number else ANY_MODEL
    gang = draw(st.sampled_from([0, 0, 0, 2, 3]))
    return draw(st.sampled_from([0, 500, 1000, 3000])), draw(st.sampled_from([0, 1, 4])), milli, number, models, gang


@st.composite
def traces(draw: st.DrawFn, devices: bool) -> tuple[Agents, Pods]:
    many = st.integers(0, 3) if devices else st.just(0)
    agent = st.tuples(st.sampled_from([1000, 3000, 4000]), st.sampled_from([2, 5, 9]), many, st.integers(0, 1))
    kinds = sorted(draw(st.lists(kind(devices), min_size=1, max_size=4, unique=True)))
    row = st.tuples(
        st.integers(0, len(kinds) - 1), st.integers(0, 3), st.sampled_from([0, 0, 0, 1, -5]), st.integers(0, 6),
        st.sampled_from([-1, 0, 1, 2, 5]),
    )  # fmt: skip
    rows = draw(st.lists(row, min_size=1, max_size=14).filter(lambda rows: any(one[1] for one in rows)))
    return agents_of(draw(st.lists(agent, min_size=1, max_size=4))), pods_of(kinds, rows)


def equals_the_plain_one(outcome: Outcome, expected: list[plain.Placed]) -> None:
    assert outcome.row.tolist() == [pod.row for pod in expected]
    assert outcome.start.tolist() == [pod.start for pod in expected]
    assert outcome.agent.tolist() == [pod.agent for pod in expected]


@pytest.mark.parametrize(
    ("many", "cells", "ahead"), [(0, -1, 1), (256, -1, 1), (256, 4, 1), (256, 100, 1), (256, 100, 2)]
)
@pytest.mark.parametrize("policy", POLICIES)
@given(trace=traces(devices=False))
@settings(max_examples=120)
def test_amounts_are_placed_as_by_the_plain_replay(
    many: int, cells: int, ahead: int, policy: str, trace: tuple[Agents, Pods]
) -> None:
    """Whether or not it is asked first how many would fit, and whether all are tried at once or turn by turn."""
    agents, pods = trace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orch.trace.queue.MANY", many)
        patch.setattr("orch.trace.replay.CELLS", cells)
        patch.setattr("orch.trace.queue.AHEAD", ahead)
        outcome = replay(agents, pods, policy)
    equals_the_plain_one(outcome, plain.replay(agents, pods, policy, on_devices=False))
    measures_what_it_did(outcome, agents, pods)


@pytest.mark.parametrize(
    ("many", "cells", "ahead"), [(0, -1, 1), (256, -1, 1), (256, 4, 1), (256, 100, 1), (256, 100, 2)]
)
@pytest.mark.parametrize("policy", GPU_POLICIES)
@given(trace=traces(devices=True))
@settings(max_examples=60)
def test_devices_are_given_as_by_the_plain_replay(
    many: int, cells: int, ahead: int, policy: str, trace: tuple[Agents, Pods]
) -> None:
    agents, pods = trace
    on_devices = policy not in POLICIES or bool(pods.number.any())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orch.trace.queue.MANY", many)
        patch.setattr("orch.trace.replay.CELLS", cells)
        patch.setattr("orch.trace.queue.AHEAD", ahead)
        outcome = replay(agents, pods, policy)
    equals_the_plain_one(outcome, plain.replay(agents, pods, policy, on_devices))
    measures_what_it_did(outcome, agents, pods)


def measures_what_it_did(outcome: Outcome, agents: Agents, pods: Pods) -> None:
    """Sums over time are those of the pods, each by itself; reasons are of all that wait; fragments are parts."""
    placed = np.flatnonzero(outcome.start >= 0)
    stays = pods.duration[outcome.row]
    ends = np.where(stays < 0, outcome.end_ms, outcome.start + stays)
    request = pods.request[pods.kind[outcome.row]].astype(np.int64)
    passed = outcome.end_ms - outcome.begin_ms
    for d in range(5):
        area = sum(int(request[pod, d]) * int(ends[pod] - outcome.start[pod]) for pod in placed)
        if passed:
            assert outcome.used_mean[d] == pytest.approx(area / passed)
        last = outcome.last_arrival_ms
        now = sum(
            int(request[pod, d]) for pod in placed
            if outcome.start[pod] <= last and (stays[pod] < 0 or ends[pod] > last)
        )  # fmt: skip
        assert outcome.used_last[d] == now <= outcome.used_peak[d] <= agents.total[:, d].sum()
    assert all(0 <= part <= 1 for one in outcome.samples for part in one.fragmentation)
    waiting = len(outcome.start) - len(placed)
    assert outcome.samples[-1].waiting == waiting
    assert sum(why["pods"] for why in outcome.why) == waiting or len(outcome.why) == replaying.WHYS
    assert all(why["feasible"] == 0 or why["gang"] > 1 for why in outcome.why)


@pytest.mark.parametrize("policy", ["best-fit", "fgd"])
@given(trace=traces(devices=True), order=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_moves_nothing_where_no_two_are_equal(
    policy: str, trace: tuple[Agents, Pods], order: object
) -> None:
    agents, pods = trace
    first, again = replay(agents, pods, policy), replay(agents, pods, policy)
    assert first.start.tolist() == again.start.tolist() and first.agent.tolist() == again.agent.tolist()
    assert first.samples == again.samples and first.why == again.why
    rows = list(range(len(pods.kind)))
    order.shuffle(rows)  # type: ignore[attr-defined]
    moved = replace(
        pods, kind=pods.kind[rows], count=pods.count[rows], priority=pods.priority[rows], arrival=pods.arrival[rows],
        duration=np.full(len(rows), 2),
    )  # fmt: skip
    still = replay(agents, replace(pods, duration=np.full(len(rows), 2)), policy)
    shuffled = replay(agents, moved, policy)
    assert still.start.tolist() == shuffled.start.tolist() and still.agent.tolist() == shuffled.agent.tolist()


def test_what_a_policy_can_not_do_is_said() -> None:
    agents = agents_of([(1000, 10, 1, 0)])
    share = pods_of([(1, 1, 500, 1, ANY_MODEL, 0)], [(0, 1, 0, 0, -1)])
    with pytest.raises(UsageError, match="no policy 'best'; there are best-fit, first-fit, spread, fgd-stepped"):
        replay(agents, share, "best")
    with pytest.raises(UsageError, match="spread counts whole GPUs"):
        replay(agents, share, "spread")
    model = pods_of([(1, 1, 1000, 1, 0b1, 0)], [(0, 1, 0, 0, -1)])
    with pytest.raises(UsageError, match="spread counts whole GPUs"):
        replay(agents, model, "spread")
    whole = pods_of([(1, 1, 1000, 1, ANY_MODEL, 0)], [(0, 2, 0, 0, -1)])
    assert replay(agents, whole, "spread").agent.tolist() == [0, -1]
    with pytest.raises(UsageError, match="no pod"):
        replay(agents, pods_of([(1, 1, 0, 0, ANY_MODEL, 0)], [(0, 0, 0, 0, -1)]), "best-fit")


def test_a_small_trace_by_hand() -> None:
    """Two cores: a pod of both cores, then two of one that wait for it; the one that matters more goes first."""
    agents = agents_of([(2000, 10, 0, 0)])
    pods = pods_of(
        [(2000, 1, 0, 0, ANY_MODEL, 0), (1500, 1, 0, 0, ANY_MODEL, 0)],
        [(0, 1, 0, 0, 10_000), (1, 1, 0, 1000, 5000), (1, 1, 7, 2000, 5000)],
    )
    outcome = replay(agents, pods, "best-fit")
    assert outcome.row.tolist() == [0, 1, 2]
    assert outcome.start.tolist() == [0, 15_000, 10_000]
    assert outcome.end_ms == 20_000
    assert outcome.used_mean[0] == (2000 * 10 + 1500 * 10) / 20
    assert (outcome.used_peak[0], outcome.used_last[0]) == (2000, 2000)


def test_disk_and_ports_are_not_looked_at_with_devices_and_it_is_said() -> None:
    agents = agents_of([(1000, 10, 1, 0)])
    pods = pods_of([(1, 1, 1000, 1, ANY_MODEL, 0)], [(0, 1, 0, 0, -1)])
    pods.request[0, 2] = 1
    assert replay(agents, pods, "fgd").ignored == ("disk",)
