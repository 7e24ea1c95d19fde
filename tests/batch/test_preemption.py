"""Jobs and preemption: who asks for the place of others, and what becomes of those that gave way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from orch.batch import Batch, views
from orch.model import messages as m
from orch.model.reasons import Reason
from orch.model.requests import StopJob, SubmitJob
from orch.model.states import State
from tests.batch.plain import Rig
from tests.batch.test_batch import AGENT, job, template
from tests.batch.test_reconcile import seen_offer


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
