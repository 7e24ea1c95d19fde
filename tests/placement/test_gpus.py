"""Agents with devices: what the compiled loops answer is what the plain scan answers, whatever came and went before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import GPU_POLICIES, GpuCluster, GpuMatch, GpuShapes, Mix, ShapeError, reference_gpus
from orch.placement.gpu_shapes import ANY_MODEL
from orch.placement.gpus import policy_row, steps
from orch.placement.mix import WHOLE

POLICIES = list(GPU_POLICIES)


@dataclass
class Case:
    """Agents as (cpu, memory, devices, model), shapes as (cpu, memory, milli, number, models), how usual each is."""

    agents: list[tuple[int, int, int, int]]
    shapes: list[tuple[int, int, int, int, int]]
    usual: list[int]
    percent: int

    def columns(self) -> GpuShapes:
        cpu, memory, milli, number, models = zip(*self.shapes, strict=True)
        return GpuShapes.of(cpu, memory, milli, number, np.array(models, np.uint64))

    def mix(self) -> Mix:
        return Mix.of(self.columns(), self.usual, self.percent)

    def cluster(self) -> GpuCluster:
        cpu, memory, devices, model = np.array(self.agents, np.int32).reshape(-1, 4).T
        return GpuCluster(cpu, memory, devices, model, self.columns(), self.mix())

    def idle(self) -> list[reference_gpus.Agent]:
        return [reference_gpus.Agent(cpu, memory, [1000] * n, model) for cpu, memory, n, model in self.agents]

    def pods(self) -> list[reference_gpus.Pod]:
        return [reference_gpus.Pod(*shape) for shape in self.shapes]

    def kinds(self, policy: str) -> list[tuple[reference_gpus.Pod, int]]:
        mix = GPU_POLICIES[policy].mix(self.mix())
        rows = zip(*(c.tolist() for c in (mix.cpu, mix.milli, mix.number, mix.models, mix.weight)), strict=True)
        return [(reference_gpus.Pod(c, 0, milli, n, models), weight) for c, milli, n, models, weight in rows]

    def rule(self, policy: str) -> reference_gpus.Rule:
        largest = [max((a[0] for a in self.agents), default=0), max((1000 * a[2] for a in self.agents), default=0)]
        weights = GPU_POLICIES[policy]
        row = policy_row(weights, largest).tolist()
        cuts = steps().tolist() if weights.stepped else ()
        return reference_gpus.Rule(*row, cuts, WHOLE * weights.rare // 1000)


# Few distinct values, so that agents tie, fill up exactly and leave remainders that fit something.
@st.composite
def shape(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    number = draw(st.sampled_from([0, 1, 1, 1, 1, 2, 3, 8]))
    milli = draw(st.sampled_from([1000, 1000, 810, 470, 500, 320, 200, 1])) if number else 0
    models = draw(st.sampled_from([ANY_MODEL, ANY_MODEL, 0b1, 0b110, 1 << 63]))
    return draw(st.sampled_from([0, 1, 3, 8])), draw(st.sampled_from([0, 2, 5])), milli, number, models


agent = st.tuples(
    st.sampled_from([0, 4, 8, 16, 30]), st.sampled_from([4, 10, 40]), st.integers(0, 4) | st.just(16),
    st.sampled_from([0, 0, 1, 63]),
)  # fmt: skip


@st.composite
def cases(draw: st.DrawFn) -> Case:
    shapes = draw(st.lists(shape(), min_size=1, max_size=6))
    usual = [draw(st.integers(0, 50)) for _ in shapes]
    return Case(draw(st.lists(agent, max_size=6)), shapes, usual, draw(st.sampled_from([50, 95, 100])))


def devices_of(match: GpuMatch) -> list[tuple[int, ...]]:
    return [tuple(d for d in range(16) if bits >> d & 1) for bits in match.devices.tolist()]


@given(cases(), st.sampled_from(POLICIES), st.data())
@settings(max_examples=400)
def test_the_kernel_places_as_the_plain_scan_does(case: Case, policy: str, data: st.DataObject) -> None:
    """In several calls, with pods that leave in between and with a policy that may change."""
    cluster, agents, pods = case.cluster(), case.idle(), case.pods()
    for _ in range(3):
        order = data.draw(st.lists(st.integers(0, len(pods) - 1), max_size=12))
        match = cluster.place(order, policy)
        expected = reference_gpus.place(agents, [pods[row] for row in order], case.rule(policy), case.kinds(policy))
        assert match.agent.tolist() == [row for row, _ in expected]
        assert devices_of(match) == [tuple(sorted(devices)) for _, devices in expected]
        leaving = [at for at in range(len(order)) if data.draw(st.booleans())]
        cluster.release([order[at] for at in leaving], GpuMatch(match.agent[leaving], match.devices[leaving]))
        for at in leaving:
            row, devices = expected[at]
            if row >= 0:
                reference_gpus.charge(agents[row], pods[order[at]], devices, -1)
        room, device = cluster.columns()
        assert room.tolist() == [[a.cpu, a.memory] for a in agents]
        assert device.tolist() == [a.devices + [0] * (16 - len(a.devices)) for a in agents]
        policy = data.draw(st.sampled_from([policy, policy, *POLICIES]))


@pytest.mark.parametrize("policy", POLICIES)
def test_many_agents_that_fill_up_answer_as_a_fresh_cluster_would(policy: str) -> None:
    """The ring of changes goes round many times; a cluster that is built anew and charged the same has no ring."""
    draw = np.random.default_rng(7)
    columns = draw.choice([16, 64, 96], 40), draw.choice([1, 2, 8], 40), draw.integers(0, 3, 40)
    agents = [(cpu, 500, devices, model) for cpu, devices, model in zip(*(c.tolist() for c in columns), strict=True)]
    shapes = [(4, 1, 810, 1, ANY_MODEL), (8, 2, 1000, 1, 0b11), (3, 1, 200, 1, ANY_MODEL), (20, 1, 0, 0, ANY_MODEL),
              (1, 1, 470, 1, 0b100), (9, 9, 1000, 2, ANY_MODEL)]  # fmt: skip
    case = Case(agents, shapes, [30, 20, 10, 5, 4, 1], 95)
    order = draw.integers(0, len(shapes), 400).astype(np.int32)
    cluster, whole = case.cluster(), case.cluster().place(order, policy)
    parts = [cluster.place(order[start : start + 7], policy) for start in range(0, 400, 7)]
    assert np.concatenate([part.agent for part in parts]).tolist() == whole.agent.tolist()
    expected = reference_gpus.place(case.idle(), [case.pods()[s] for s in order], case.rule(policy), case.kinds(policy))
    assert whole.agent.tolist() == [row for row, _ in expected]
    assert (whole.agent == -1).any() and (whole.agent >= 0).any()


def test_a_share_of_a_device_goes_where_it_wastes_least() -> None:
    """A device with 500 free is the better one for 470 where nothing else fits in the rest of either."""
    case = Case([(100, 100, 2, 0)], [(1, 1, 500, 1, ANY_MODEL), (1, 1, 1000, 1, ANY_MODEL)], [1, 9], 100)
    cluster = case.cluster()
    match = cluster.place([0, 0, 1], "fgd")
    assert devices_of(match) == [(0,), (0,), (1,)]
    assert cluster.columns()[1][0, :2].tolist() == [0, 0]


def test_several_devices_are_different_ones_of_one_agent() -> None:
    case = Case([(9, 9, 1, 0), (9, 9, 3, 0)], [(1, 1, 600, 2, ANY_MODEL), (1, 1, 500, 1, ANY_MODEL)], [1, 1], 100)
    match = case.cluster().place([0, 1, 0], "first-fit")
    assert match.agent.tolist() == [1, 0, -1]
    assert devices_of(match)[0] == (0, 1)


def test_a_pod_without_a_device_runs_beside_any_model_and_a_pod_with_one_does_not() -> None:
    case = Case([(9, 9, 1, 5)], [(1, 1, 0, 0, 0b1), (1, 1, 1000, 1, 0b1), (1, 1, 1000, 1, 0b100001)], [0, 0, 0], 100)
    assert case.cluster().place([0, 1, 2], "fgd").agent.tolist() == [0, -1, 0]


def test_the_steps_are_those_of_the_sigmoid() -> None:
    """The authors' simulator scores int(100 * sigmoid(devices)); each step is the least decrease that reaches it."""
    cuts = steps().tolist()
    assert cuts == sorted(cuts) and cuts[49] == 0
    for at, cut in enumerate(cuts):
        devices = cut / (1000 * WHOLE)
        assert math.isclose(100 / (1 + math.exp(-devices)), at + 1, abs_tol=1e-6)


def test_the_mix_holds_the_most_popular_kinds_and_knows_no_memory() -> None:
    shapes = GpuShapes.of([4, 4, 8, 2], [1, 9, 1, 1], [500, 500, 1000, 0], [1, 1, 1, 0])
    mix = Mix.of(shapes, [30, 30, 38, 2], 95)
    assert [mix.cpu.tolist(), mix.milli.tolist(), mix.number.tolist()] == [[4, 8], [500, 1000], [1, 1]]
    assert mix.weight.tolist() == [round(WHOLE * 60 / 98), round(WHOLE * 38 / 98)]
    assert len(Mix.of(shapes, [30, 30, 38, 2], 100)) == 3
    assert len(Mix.of(shapes, [0, 0, 0, 0])) == 0


def test_an_eased_mix_weighs_what_is_placed_easily_and_leaves_out_what_asks_for_no_device() -> None:
    shapes = GpuShapes.of([1000, 4000, 0, 9], [1, 1, 1, 1], [1000, 1000, 250, 0], [1, 1, 2, 0])
    eased = Mix.of(shapes, [10, 10, 10, 10], 100).eased(2)
    by_kind = dict(zip(zip(eased.cpu.tolist(), eased.milli.tolist(), strict=True), eased.weight.tolist(), strict=True))
    assert by_kind.keys() == {(1000, 1000), (4000, 1000), (0, 250)}
    assert by_kind[1000, 1000] == pytest.approx(4 * by_kind[4000, 1000], abs=4)
    assert by_kind[0, 250] == by_kind[1000, 1000], "less CPU than a core is as a core"
    assert sum(by_kind.values()) == pytest.approx(WHOLE, abs=3)


def test_what_the_usual_shares_leave_of_a_device() -> None:
    shapes = GpuShapes.of([1, 1, 1], [1, 1, 1], [470, 320, 1000], [1, 1, 2])
    mix = Mix.of(shapes, [50, 25, 25], 100)
    left = (mix.left(0) / WHOLE).tolist()
    assert [left[free] for free in (0, 300, 320, 470, 530, 640, 790, 1000)] == [0, 300, 0, 0, 60, 0, 0, 40]
    rare = (mix.left(WHOLE // 4) / WHOLE).tolist()
    assert rare[470] == pytest.approx(470 * (1 - 0.5 / 0.75), abs=0.01)
    assert rare[320] == pytest.approx(320 * (1 - 0.25 / 0.5), abs=0.01)


def test_nothing_at_all_is_an_answer() -> None:
    empty = Case([], [(1, 1, 500, 1, ANY_MODEL)], [1], 95).cluster()
    assert (len(empty), empty.place([0, 0]).agent.tolist()) == (0, [-1, -1])
    one = Case([(1, 1, 1, 0)], [(1, 1, 500, 1, ANY_MODEL)], [1], 95).cluster()
    assert one.place([]).agent.tolist() == []


GOOD = {"cpu": [4], "memory": [4], "milli": [500], "number": [1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpu": [-1]}, "cpu holds -1"),
        ({"cpu": [2**31]}, "cpu holds 2147483648"),
        ({"cpu": [float("nan")]}, "cpu is float64"),
        ({"memory": [1, 2]}, r"memory has shape \[2\]"),
        ({"milli": [1001]}, "milli holds 1001"),
        ({"number": [17]}, "number holds 17"),
        ({"milli": [0]}, "shape 0 asks for 1 devices of 0 milli"),
        ({"models": [-1]}, "models holds -1"),
    ],
)
def test_bad_shapes_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        GpuShapes.of(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpu": [-4]}, "cpu holds -4"),
        ({"memory": []}, r"memory has shape \[0\]"),
        ({"devices": [17]}, "devices holds 17"),
        ({"devices": [-1]}, "devices holds -1"),
        ({"model": [64]}, "model holds 64"),
        ({"model": [-1]}, "model holds -1"),
    ],
)
def test_bad_agents_are_refused(change: dict, message: str) -> None:
    shapes = GpuShapes.of(**GOOD)
    with pytest.raises(ShapeError, match=message):
        GpuCluster(**{"cpu": [4], "memory": [4], "devices": [1], "model": [0], **change}, shapes=shapes,
                   mix=Mix.of(shapes, [1]))  # fmt: skip


def test_bad_pods_and_policies_are_refused_and_change_nothing() -> None:
    cluster = Case([(9, 9, 2, 0)], [(4, 4, 500, 1, ANY_MODEL)], [1], 95).cluster()
    for shape, policy, message in (([1], "fgd", "only 1 shapes"), ([-1], "fgd", "-1"), ([0], "luck", "policy is")):
        with pytest.raises(ShapeError, match=message):
            cluster.place(shape, policy)
    with pytest.raises(ShapeError, match="count holds -1"):
        Mix.of(GpuShapes.of(**GOOD), [-1])
    match = cluster.place([0])
    cluster.release([0], match)
    for again, message in ((match, "not yet given back"), (GpuMatch(match.agent + 1, match.devices), "only 1 agents")):
        with pytest.raises(ShapeError, match=message):
            cluster.release([0], again)
    assert cluster.columns()[0].tolist() == [[9, 9]]
