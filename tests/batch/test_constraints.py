"""Where constraints and affinity let the pods of jobs go, and that they count whatever lies there already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.batch import Batch, launcher, relations, views
from orch.model.requests import StopJob, SubmitJob
from orch.model.specs.template import AffinityTemplate, ConstraintTemplate
from orch.model.states import State
from tests.batch.plain import Change, Rig
from tests.batch.test_batch import job, template
from tests.batch.test_laws import ACTS, LIVE, Life
from tests.batch.zones import NAMES, ZONES, each_operator, rig_of, ruled_out_by


def near(to: str = "", on: str = "@hostname", near: bool = True, required: bool = True) -> AffinityTemplate:
    return AffinityTemplate(to, on, near, required)


def apart(to: str = "", on: str = "@hostname", required: bool = True) -> AffinityTemplate:
    return near(to, on, False, required)


@pytest.fixture
def rig() -> Rig:
    return rig_of(Batch)


def submit(rig: Rig, count: int, *rules: tuple[str, str, str | None], path: str = "/demo/digest", **more: Any) -> int:
    """Submit a job with these constraints; its number."""
    shape = {name: more.pop(name) for name in ("affinity", "preferences", "cpus_milli") if name in more}
    wire = template(path, constraints=tuple(ConstraintTemplate(*rule) for rule in rules), **shape)
    number: int = rig.ask(SubmitJob, **job(count, template=wire, **more))["job"]
    return number


def agents_of(rig: Rig, number: int) -> list[int]:
    """The agents, ascending, of a job's pods that live."""
    columns = views.columns(rig.machine, number)
    assert columns is not None
    return sorted(columns.agents[np.isin(columns.states, LIVE)].tolist())


def ruled_out(rig: Rig, number: int) -> dict[str, int]:
    """Why one more pod of a job does not fit."""
    return ruled_out_by(rig, views.limits(rig.machine, number, ZONES, NAMES))


@each_operator
def test_each_operator(rig: Rig, count: int, rule: tuple[str, str, str | None], agents: list[int]) -> None:
    number = submit(rig, count, rule)
    assert agents_of(rig, number) == agents
    rig.same()
    if len(agents) < count:
        assert set(ruled_out(rig, number)) <= {f"constraint:{rule[0]} {rule[1]}", "constraint"}


def test_pods_of_the_job_that_run_count_also_after_a_restart(rig: Rig) -> None:
    number = submit(rig, 6, ("hostname", "UNIQUE", None))
    first = rig.master.of("batch")
    rig.say(first[:3], State.RUNNING)
    rig.restart()
    rig.send(Change(), "master")
    assert agents_of(rig, number) == [0, 1, 2, 3]
    rig.say(first[:1], State.FINISHED, 0)
    assert agents_of(rig, number) == [0, 1, 2, 3]
    assert ruled_out(rig, number) == {"constraint:hostname UNIQUE": 4}
    rig.restart(keep_records=True)
    assert agents_of(rig, number) == [0, 1, 2, 3]


def test_jobs_do_not_count_each_other_and_share_no_queue(rig: Rig) -> None:
    numbers = [submit(rig, 4, ("hostname", "UNIQUE", None)) for _ in range(3)]
    assert [agents_of(rig, number) for number in numbers] == [[0, 1, 2, 3]] * 3


def test_jobs_that_look_at_agents_alone_share_a_row_of_the_demand(rig: Rig) -> None:
    rig.master.usable = [0] * 4
    for _ in range(3):
        submit(rig, 5, ("disk", "LIKE", "ssd"))
    submit(rig, 5, ("disk", "LIKE", "hdd"))
    assert rig.master.demands["batch"].counts.tolist() == [15, 5]


def test_a_large_job_keeps_its_constraints_from_slice_to_slice(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "SLICE", 3)
    even = submit(rig, 16, ("@zone", "GROUP_BY", None))
    per = submit(rig, 16, ("hostname", "MAX_PER", "2"))
    rig.send(Change(), "master")
    zones = [ZONES[agent]["zone"] for agent in agents_of(rig, even)]
    assert (zones.count("a"), zones.count("b")) == (8, 8)
    assert agents_of(rig, per) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_more_counters_than_one_match_takes_are_matched_one_after_the_other(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relations, "CELLS", 9)
    monkeypatch.setattr(launcher, "CELLS", 9)
    rig.master.usable = [0] * 4
    numbers = [submit(rig, 2, ("hostname", "UNIQUE", None), ("zone", "UNIQUE", None)) for _ in range(4)]
    follower = submit(rig, 3, path="/demo/other", affinity=(apart("/demo/digest"),))
    rig.master.usable = [1] * 4
    for row in range(4):
        rig.master._touch(row)
    rig.send(Change(), "master")
    taken = [agents_of(rig, number) for number in numbers]
    assert all(len({ZONES[agent]["zone"] for agent in agents}) == 2 for agents in taken)
    assert agents_of(rig, follower) == [1, 1, 1]


def test_a_gang_of_which_some_pods_start_again_keeps_its_constraints(rig: Rig) -> None:
    number = submit(rig, 4, ("hostname", "UNIQUE", None), gang=4, attempts=3)
    first = rig.master.of("batch")
    rig.master.usable[3] = 0
    rig.say(first[3:], State.FAILED, 1)
    assert agents_of(rig, number) == [0, 1, 2]
    rig.master.usable[3] = 1
    rig.master._touch(3)
    rig.send(Change(), "master")
    assert agents_of(rig, number) == [0, 1, 2, 3]


def test_a_job_without_constraints_asks_nothing(rig: Rig) -> None:
    number = submit(rig, 1)
    assert views.limits(rig.machine, number, ZONES, NAMES) == (None, None)
    assert views.limits(rig.machine, 99, ZONES, NAMES) == (None, None)


# ---- between submissions -------------------------------------------------------------------------------------------


def test_apart_from_another_job_that_runs_or_waits_with_it(rig: Rig) -> None:
    submit(rig, 12, path="/a")
    b = submit(rig, 20, path="/b", affinity=(apart("/a"),))
    assert set(agents_of(rig, b)) == {2, 3}
    assert ruled_out(rig, b)["constraint:@hostname apart from /a"] == 2


def test_a_job_that_comes_later_keeps_off_the_pods_that_are_to_be_apart_from_it(rig: Rig) -> None:
    b = submit(rig, 12, path="/b", affinity=(apart("/a"),))
    first = rig.master.of("batch")
    a = submit(rig, 20, path="/a")
    assert set(agents_of(rig, b)) == {0, 1} and set(agents_of(rig, a)) == {2, 3}
    last = submit(rig, 1, path="/a")
    rig.ask(StopJob, job=b)
    rig.restart()
    rig.send(Change(), "master")
    assert agents_of(rig, last) == [], "b's pods are being stopped, and are there yet"
    assert ruled_out(rig, last)["constraint:@hostname apart, as others ask of /a"] == 2
    rig.say(first, State.KILLED, -15)
    assert agents_of(rig, last) == [0] and views.limits(rig.machine, last, ZONES, NAMES) == (None, None)


def test_near_another_job_waits_until_it_has_pods(rig: Rig) -> None:
    b = submit(rig, 3, path="/b", affinity=(near("/a", "@zone"),))
    assert agents_of(rig, b) == []
    assert ruled_out(rig, b) == {"constraint:@zone near /a": 4}
    submit(rig, 1, ("disk", "IS", "ssd2"), path="/a")
    assert agents_of(rig, b) == [2, 2, 2]
    rig.same()


def test_jobs_that_wait_together_are_placed_with_regard_to_each_other_in_one_match(rig: Rig) -> None:
    """A waits in a queue with others of its kind until B points to it."""
    rig.master.usable = [0] * 4
    submit(rig, 3, path="/other")
    submit(rig, 3, path="/a")
    b = submit(rig, 12, path="/b", affinity=(near("/a", "@zone"), apart("/a")), priority=-1)
    assert rig.master.demands["batch"].counts.tolist() == [3, 3, 12]
    rig.master.usable = [0, 1, 1, 1]
    for row in range(4):
        rig.master._touch(row)
    rig.send(Change(), "master")
    assert agents_of(rig, b) == [], "no other agent of zone a is usable"
    rig.master.usable[0] = 1
    rig.master._touch(0)
    rig.send(Change(), "master")
    assert agents_of(rig, b) == [0] * 10


def test_a_path_that_nobody_points_to_any_more_shares_a_queue_again(rig: Rig) -> None:
    rig.master.usable = [0] * 4
    submit(rig, 3, path="/a")
    submit(rig, 3, path="/a")
    b = submit(rig, 1, path="/b", affinity=(apart("/a"),))
    assert sorted(rig.master.demands["batch"].counts.tolist()) == [1, 3, 3]
    rig.ask(StopJob, job=b)
    assert rig.master.demands["batch"].counts.tolist() == [6]


def test_near_its_own_goes_where_the_first_is(rig: Rig) -> None:
    assert agents_of(rig, submit(rig, 12, affinity=(near(),))) == [0] * 10
    assert agents_of(rig, submit(rig, 12, path="/b", affinity=(near(on="@zone"),))) == [1] * 10


def test_near_its_own_path_counts_other_jobs_there(rig: Rig) -> None:
    submit(rig, 1, ("disk", "IS", "ssd2"), path="/a", affinity=(near("/a"),))
    assert agents_of(rig, submit(rig, 2, path="/a", affinity=(near("/a"),))) == [2, 2]


def test_preferred_agents_come_first_and_others_when_those_are_full(rig: Rig) -> None:
    wanted = (ConstraintTemplate("disk", "LIKE", "hdd"), ConstraintTemplate("zone", "IS", "a"))
    assert agents_of(rig, submit(rig, 22, preferences=wanted)) == [0] * 10 + [1] * 10 + [2] * 2
    assert agents_of(rig, submit(rig, 4, path="/b", affinity=(apart(required=False),))) == [2, 2, 2, 3]


def test_near_another_job_if_possible(rig: Rig) -> None:
    submit(rig, 8, ("disk", "IS", "ssd2"), path="/a")
    assert agents_of(rig, submit(rig, 5, path="/b", affinity=(near("/a", required=False),))) == [0, 0, 0, 2, 2]


def test_more_than_the_kernel_has_room_for_is_refused(rig: Rig) -> None:
    rules = tuple(ConstraintTemplate(f"a{at}", "UNIQUE") for at in range(15))
    error = rig.refused(SubmitJob, **job(1, template=template(constraints=rules, affinity=(near(),))))
    assert error["details"][0]["path"] == "/constraints" and "16 constraints" in error["message"]
    rules = tuple(ConstraintTemplate("a", "IS", "b") for _ in range(16))
    assert "16 preferences" in rig.refused(SubmitJob, **job(1, template=template(preferences=rules)))["message"]
    submit(rig, 1, *[(f"a{at}", "UNIQUE", None) for at in range(15)], preferences=rules[:15])


def test_a_path_that_is_pointed_to_by_more_attributes_than_the_kernel_has_room_for(rig: Rig) -> None:
    """What has no room as a rule is a mask, and its job is matched alone."""
    rig.master.attributes = [{f"k{at}": f"v{row % 2}" for at in range(90)} for row in range(4)]
    rig.master.usable = [0, 1, 0, 0]
    rig.master._touch(1)
    for at in range(90):
        submit(rig, 1, path=f"/b/{at}", cpus_milli=10, affinity=(apart("/a", f"k{at}"),))
    rig.master.usable = [1] * 4
    for row in range(4):
        rig.master._touch(row)
    assert set(agents_of(rig, submit(rig, 30, path="/a"))) == {0, 2}
    rig.same()


# ---- whatever happens ----------------------------------------------------------------------------------------------

RULES = st.sampled_from([("hostname", "UNIQUE", None), ("@zone", "CLUSTER", None), ("zone", "MAX_PER", "2")])
AFFINITY = st.sampled_from([apart("/a/y"), apart("/b", "zone"), near("/a/x", "zone"), apart(), near(on="zone")])


class Constrained(Life):
    """A life of jobs with constraints and affinity; what was launched in an event is judged by plain lists."""

    def __init__(self, draw: Any) -> None:
        super().__init__(draw)
        self.zones = ["a", "a", "b"]
        self.rig.master.attributes = [{"hostname": f"h{row}", "zone": zone} for row, zone in enumerate(self.zones)]

    def submit_constrained(self) -> None:
        rules = tuple(ConstraintTemplate(*rule) for rule in self.draw(st.lists(RULES, max_size=1)))
        affinity = tuple(self.draw(st.lists(AFFINITY, max_size=2)))
        path = self.draw(st.sampled_from(["/a/x", "/a/y", "/b"]))
        count = self.draw(st.integers(1, 6))
        fields = job(count, attempts=2, template=template(path, constraints=rules, affinity=affinity))
        answer = self.rig.ask(SubmitJob, **fields)
        self.jobs[answer["job"]] = {**fields, "ids": range(answer["first_id"], answer["first_id"] + count)}

    def values(self, field: str, pods: list[int]) -> list[Any]:
        agents = [self.rig.master.instances[pod]["agent"] for pod in pods]
        return agents if field.removeprefix("@") == "hostname" else [self.zones[agent] for agent in agents]

    def judge_places(self, launched: set[int]) -> None:
        """By what lives after an event: what a rule forbids must not have come with it."""
        live = self.rig.master.of("batch", *LIVE)
        for fields in self.jobs.values():
            own = [pod for pod in live if pod in fields["ids"]]
            new = [pod for pod in own if pod in launched]
            for rule in fields["template"]["constraints"]:
                values = self.values(rule["field"], own)
                if rule["operator"] == "CLUSTER":
                    assert len(set(values)) <= 1
                else:
                    assert all(values.count(value) <= (1 if rule["operator"] == "UNIQUE" else 2) for value in values)
            for one in fields["template"]["affinity"]:
                self.judge_affinity(one, own, new, live)

    def judge_affinity(self, one: dict[str, Any], own: list[int], new: list[int], live: list[int]) -> None:
        own_values, new_values = self.values(one["field"], own), self.values(one["field"], new)
        if not one["to"]:
            allowed = len(set(own_values)) <= 1 if one["near"] else len(set(own_values)) == len(own_values)
            assert allowed
            return
        numbers = [number for number, fields in self.jobs.items() if fields["template"]["path"] == one["to"]]
        there = [pod for pod in live if any(pod in self.jobs[number]["ids"] for number in numbers)]
        values = set(self.values(one["field"], there))
        if one["near"] and new and not set(new) & set(there):
            assert set(new_values) <= values
        if not one["near"] and not set(own) & set(there):  # whichever came first
            assert not values & set(own_values)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_whatever_happens_no_pod_goes_where_its_job_forbids_it(data: st.DataObject) -> None:
    life = Constrained(data.draw)
    life.submit_constrained()
    acts = [*ACTS, *[Constrained.submit_constrained] * 6]
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=20)):
        before = len(life.rig.master.launches)
        act(life)
        life.judge_places({launch[0] for launch in life.rig.master.launches[before:]})
        life.rig.same()
