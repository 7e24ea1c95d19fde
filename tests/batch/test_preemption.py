"""Jobs and preemption: who asks for the place of others, and what becomes of those that gave way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orch.batch import Batch, views
from orch.model import messages as m
from orch.model.reasons import Reason
from orch.model.requests import StopJob, SubmitJob
from orch.model.specs.template import AffinityTemplate
from orch.model.states import State
from tests.batch.plain import Rig
from tests.batch.test_batch import AGENT, job, template
from tests.batch.test_constraints import submit
from tests.batch.test_reconcile import seen_offer
from tests.batch.zones import NAMES, ZONES, each_operator, rig_of


@pytest.fixture
def rig() -> Rig:
    return Rig(Batch, [AGENT])


def test_a_pod_that_gave_way_waits_again_and_has_lost_no_attempt(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1, attempts=2))["first_id"]
    for attempt in range(1, 6):
        assert rig.master.launches[-1] == (first, attempt, 0)
        rig.say([first], State.KILLED, -15, reason=Reason.PREEMPTED)
    rig.say([first], State.FAILED, 1)
    assert rig.master.launches[-1] == (first, 7, 0)
    rig.say([first], State.FAILED, 1)
    assert [State(state) for state in views.states(rig.machine, 1)] == [State.FAILED]
    rig.same()


def test_a_pod_that_gave_way_does_not_come_back_once_its_job_is_stopped(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1, attempts=2))["first_id"]
    rig.ask(StopJob, job=1)
    rig.say([first], State.KILLED, -15, reason=Reason.PREEMPTED)
    assert [State(state) for state in views.states(rig.machine, 1)] == [State.KILLED]


def test_a_restart_remembers_what_did_not_count(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1, attempts=1))["first_id"]
    rig.say([first], State.KILLED, -15, reason=Reason.PREEMPTED)
    rig.restart()
    assert rig.machine.ledger.pods["spared"].tolist() == [1]
    rig.say([first], State.FAILED, 1)
    assert [State(state) for state in views.states(rig.machine, 1)] == [State.FAILED]


def pressed(rig: Rig, least: int, room: int = 100) -> m.Accept:
    """The answer to an offer in which pods of priority `least` and more may take places."""
    offer = seen_offer(rig)
    bands = np.array([least], dtype=np.int32)
    headroom = np.array([[room * 100, room * 16, 0, 0, 0]] * len(offer.groups), dtype=np.int64)
    freeable = np.zeros((1, *offer.free.shape), dtype=np.int32)
    [command] = rig.machine.handle(rig.now_ms, replace(offer, bands=bands, freeable=freeable, headroom=headroom))
    rig.machine.check()
    assert isinstance(command.message, m.Accept)
    return command.message


def waiting(rig: Rig, *each: tuple[int, int, int]) -> None:
    """Jobs of (pods, priority, gang) that wait."""
    rig.master.refuse = lambda pod: True
    for pods, priority, gang in each:
        rig.ask(SubmitJob, **job(pods, priority=priority, gang=gang))


def test_pods_of_enough_priority_ask_for_any_place_the_highest_first(rig: Rig) -> None:
    waiting(rig, (2, 0, 0), (3, 4, 0), (2, 9, 0))
    accept = pressed(rig, 4)
    assert accept.priorities.tolist() == [9, 9, 4, 4, 4]
    assert accept.agents.tolist() == [-1] * 5 and accept.preempt.tolist() == [1] * 5


def test_no_more_ask_than_the_group_may_take_and_gangs_ask_whole(rig: Rig) -> None:
    waiting(rig, (6, 4, 3))
    accept = pressed(rig, 4, room=5)
    assert accept.gangs.tolist() == [0, 0, 0]


def test_who_has_nothing_of_enough_priority_passes(rig: Rig) -> None:
    waiting(rig, (2, 0, 0))
    assert len(pressed(rig, 4).ids) == 0


def pressed_in_zones(rig: Rig, freeable: list[int]) -> m.Accept:
    """The answer to an offer of full agents in two zones, where pods of a lower priority hold so many milli-CPUs."""
    shown = seen_offer(rig)
    offer = replace(
        shown, names=NAMES, free=shown.free * np.array([0, 1, 1, 1, 1], dtype=np.int32),
        bands=np.array([5], dtype=np.int32),
        freeable=np.array([[[cpus, 0, 0, 0, 0] for cpus in freeable]], dtype=np.int32),
        headroom=np.tile(shown.free.astype(np.int64).sum(axis=0), (2, 1)),
    )  # fmt: skip
    [command] = rig.machine.handle(rig.now_ms, offer)
    rig.machine.check()
    assert isinstance(command.message, m.Accept)
    return command.message


@each_operator
def test_whose_agents_matter_takes_places_only_there(
    count: int, rule: tuple[str, str, str | None], agents: list[int]
) -> None:
    rig = rig_of(Batch)
    rig.master.refuse = lambda pod: True
    submit(rig, count, rule, priority=5)
    accept = pressed_in_zones(rig, [1000] * len(ZONES))
    assert sorted(accept.agents.tolist()) == agents and accept.preempt.tolist() == [1] * len(agents)
    assert (accept.sessions == np.array(rig.master.sessions)[accept.agents]).all()


def test_a_gang_whose_agents_matter_takes_all_its_places_or_none() -> None:
    rig = rig_of(Batch)
    rig.master.refuse = lambda pod: True
    submit(rig, 6, ("hostname", "UNIQUE", None), priority=5, gang=3)
    assert pressed_in_zones(rig, [1000, 0, 100, 0]).agents.tolist() == []
    accept = pressed_in_zones(rig, [1000, 100, 0, 100])
    assert sorted(accept.agents.tolist()) == [0, 1, 3] and accept.gangs.tolist() == [0, 0, 0]


def test_two_jobs_that_are_to_be_apart_take_no_places_beside_each_other() -> None:
    rig = rig_of(Batch)
    rig.master.refuse = lambda pod: True
    submit(rig, 1, ("hostname", "IS", "h0"), priority=7, path="/demo/first")
    submit(rig, 4, path="/demo/second", priority=6, affinity=(AffinityTemplate("/demo/first", "@zone", False, True),))
    accept = pressed_in_zones(rig, [1000] * len(ZONES))
    assert accept.priorities.tolist() == [7, 6, 6, 6, 6] and set(accept.agents[1:].tolist()) <= {2, 3}


def test_a_place_that_the_master_found_is_where_the_pod_is(rig: Rig) -> None:
    waiting(rig, (2, 4, 0))
    accept = pressed(rig, 4)
    result = m.AcceptResult(
        "batch", accept.ids, accept.attempts, np.array([0, 12], dtype=np.uint8), np.array([0, -1], dtype=np.int32)
    )
    rig.machine.handle(rig.now_ms, result)
    columns = views.columns(rig.machine, 1)
    assert columns is not None
    assert columns.agents.tolist() == [0, -1] and [State(one).name for one in columns.states] == [
        "STAGING",
        "SCHEDULED",
    ]
    rig.machine.check()


def test_an_ordinary_accept_says_nothing_of_preemption(rig: Rig) -> None:
    rig.ask(SubmitJob, **job(3, template=template(), priority=7))
    [accept] = [event for event in rig.master.log if isinstance(event, m.Accept)]
    assert len(accept.preempt) == 0 and accept.agents.tolist() == [0, 0, 0]
