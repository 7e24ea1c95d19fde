"""What batch makes of a master that knows more, less or other things than it does itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.batch import Batch, views
from orch.model import messages as m
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.requests import StopJob, SubmitJob
from orch.model.states import State
from tests.batch.plain import Ask, Change, Rig
from tests.batch.test_batch import AGENT, envs, job


@pytest.fixture
def rig() -> Rig:
    return Rig(Batch, [AGENT])


def told(kind: type, rows: list[tuple[int, int, State]], **more: Any) -> Any:
    """A message about (id, attempt, state)s."""
    return kind(
        **more,
        ids=np.array([row[0] for row in rows], dtype=np.int64),
        attempts=np.array([row[1] for row in rows], dtype=np.int32),
        states=np.array([row[2] for row in rows], dtype=np.uint8),
        exit_codes=np.full(len(rows), NO_EXIT_CODE, dtype=np.int16),
        reasons=np.zeros(len(rows), dtype=np.uint8),
        agents=np.zeros(len(rows), dtype=np.int32),
        started_ms=np.zeros(len(rows), dtype=np.int64),
        changed_ms=np.full(len(rows), 1_000_000, dtype=np.int64),
    )


def seen(rig: Rig, kind: type) -> list[Any]:
    """Messages of a kind that the master got, oldest first."""
    return [event for event in rig.master.log if isinstance(event, kind)]


def forget_at_master(rig: Rig, *pods: int) -> None:
    for pod in pods:
        row = rig.master.instances.pop(pod)
        if row["state"] < State.FINISHED:
            free = rig.master.free[row["agent"]]
            rig.master.free[row["agent"]] = [a + b for a, b in zip(free, row["request"], strict=True)]


def test_launches_that_the_master_does_not_hold_are_lost_and_launched_again(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(4, attempts=2))["first_id"]
    forget_at_master(rig, first + 1, first + 2)
    rig.restart()
    assert rig.master.launches[-2:] == [(first + 1, 2, 0), (first + 2, 2, 0)]
    once = rig.ask(SubmitJob, **job(1))["first_id"]
    forget_at_master(rig, once)
    rig.restart()
    lost = views.instance(rig.machine, once)
    assert (lost["state"], lost["reason"]) == ("LOST", "UNKNOWN_TO_MASTER")
    assert views.job(rig.machine, 2)["done"]


def test_launches_that_we_were_not_told_of_are_taken_over(rig: Rig) -> None:
    rig.master.refuse = lambda pod: True
    first = rig.ask(SubmitJob, **job(3, attempts=2))["first_id"]
    rows = [(first + 2, 1, State.RUNNING), (first, 1, State.FINISHED)]
    rig.send(told(m.Subscribed, rows, number=1, epoch=1))
    states = [State(state).name for state in views.states(rig.machine, 1)]
    assert states == ["FINISHED", "SCHEDULED", "RUNNING"]
    assert seen(rig, m.Acknowledge)[-1].ids.tolist() == [first]


def test_a_stopped_job_is_stopped_again_where_the_master_had_not_heard(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    rig.say([first, first + 1], State.RUNNING)
    rig.ask(StopJob, job=1)
    rig.say([first], State.KILLED, -15, reason=Reason.STOPPED_BY_USER)
    before = len(seen(rig, m.Kill))
    rig.send(told(m.Subscribed, [(first + 1, 1, State.RUNNING)], number=1, epoch=2))
    assert len(seen(rig, m.Kill)) == before, "it is KILLING as far as we know, and KILLING is no way back to RUNNING"
    forget_at_master(rig, first + 1)
    rig.restart()
    assert views.job(rig.machine, 1)["done"]


def test_what_was_to_stop_is_stopped_again_after_a_restart(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    other = rig.ask(SubmitJob, **job(1))["first_id"]
    rig.say([first, other], State.RUNNING)
    kills: list[m.Kill] = []
    rig.master._kill = kills.append  # type: ignore[method-assign]
    rig.ask(StopJob, job=1)
    rig.restart()
    assert [kill.ids.tolist() for kill in kills] == [[first, first + 1]] * 2
    assert kills[1].reasons.tolist() == [Reason.STOPPED_BY_USER] * 2


def test_what_a_refused_accept_was_thought_to_take_is_free_again(rig: Rig) -> None:
    rig.master.refuse = lambda pod: True
    rig.ask(SubmitJob, **job(10))
    rig.master.refuse = lambda pod: False
    rig.send(Change(), "master")
    assert len(rig.master.launches) == 10


def test_a_launch_of_a_job_that_was_stopped_meanwhile_is_stopped(rig: Rig) -> None:
    rig.master.refuse = lambda pod: True
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    offer = seen_offer(rig)
    machine = rig.machine
    machine.handle(rig.now_ms, offer)
    machine.handle(rig.now_ms, StopJob("r", "", "ada", rig.now_ms, 1))
    ids, attempts = np.array([first, first + 1]), np.ones(2, dtype=np.int32)
    machine.check()
    commands = machine.handle(rig.now_ms, m.AcceptResult("batch", ids, attempts, np.array([0, 16], dtype=np.uint8)))
    kills = [command.message for command in commands if isinstance(getattr(command, "message", None), m.Kill)]
    assert [kill.ids.tolist() for kill in kills] == [[first]]
    assert [State(state).name for state in views.states(machine, 1)] == ["STAGING", "KILLED"]
    machine.check()


def seen_offer(rig: Rig) -> m.OfferBatch:
    """An offer of all that is free."""
    free = np.array(rig.master.free, dtype=np.int32)
    return m.OfferBatch(
        generation=99,
        full=True,
        changed=np.empty(0, dtype=np.int32),
        free=free,
        total=np.array(rig.master.total, dtype=np.int32),
        usable=np.ones(len(free), dtype=np.uint8),
        sessions=np.array(rig.master.sessions, dtype=np.int64),
        attributes=rig.master.attributes,
        names=["a0"],
        groups=["/demo", "/other"],
        headroom=np.tile(free.astype(np.int64).sum(axis=0), (2, 1)),
    )


def test_a_result_that_answers_nothing_is_dropped(rig: Rig) -> None:
    rig.ask(SubmitJob, **job(1))
    stray = m.AcceptResult("batch", np.array([7]), np.ones(1, dtype=np.int32), np.zeros(1, dtype=np.uint8))
    before = len(rig.records)
    rig.send(Ask("batch", stray), "master")
    assert len(rig.records) == before


def test_stale_and_doubled_news_change_nothing_and_ends_are_acknowledged_again(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1, attempts=2))["first_id"]
    rig.say([first], State.FAILED, 1)
    before = len(rig.facts(type(rig.records[0].facts[0][1]))), len(rig.records)
    for state in (State.FAILED, State.KILLED):
        rig.send(Ask("batch", told(m.InstanceUpdates, [(first, 1, state)])), "master")
    rig.send(Ask("batch", told(m.InstanceUpdates, [(first, 1, State.RUNNING)])), "master")
    assert before == (1, len(rig.records))
    assert [ack.ids.tolist() for ack in seen(rig, m.Acknowledge)] == [[first]] * 3
    ahead = told(m.InstanceUpdates, [(first, 7, State.FAILED)])
    rig.send(Ask("batch", ahead), "master")
    assert len(seen(rig, m.Acknowledge)) == 3, "an end of an attempt that we do not know of yet is not ours to forget"


def test_of_two_news_of_one_pod_in_a_message_the_last_counts(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    rows = [(first, 1, State.RUNNING), (first + 1, 1, State.RUNNING), (first, 1, State.FINISHED)]
    rig.send(Ask("batch", told(m.InstanceUpdates, rows)), "master")
    assert [State(state).name for state in views.states(rig.machine, 1)] == ["FINISHED", "RUNNING"]


def test_pods_that_nobody_knows_are_stopped_and_their_ends_acknowledged(rig: Rig) -> None:
    for rows in ([(5, 1, State.RUNNING)], [(6, 1, State.FAILED)]):
        rig.send(Ask("batch", told(m.InstanceUpdates, rows)), "master")
    rig.ask(SubmitJob, **job(1))
    rig.send(Ask("batch", told(m.InstanceUpdates, [(5, 1, State.RUNNING)])), "master")
    assert [(kill.ids.tolist(), kill.reasons.tolist()) for kill in seen(rig, m.Kill)] == [
        ([5], [Reason.UNKNOWN_TO_MASTER])
    ] * 2
    assert [ack.ids.tolist() for ack in seen(rig, m.Acknowledge)] == [[6]]


def test_a_resend_of_what_has_ended_or_never_was_sends_nothing(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2, **envs(b"A=0\0", b"A=1\0")))["first_id"]
    rig.say([first], State.RUNNING)
    lost = m.ResendRequest(np.array([first], dtype=np.int64), np.array([1], dtype=np.int32))
    rig.send(Ask("batch", lost), "master")
    old = m.ResendRequest(np.array([first + 1], dtype=np.int64), np.array([3], dtype=np.int32))
    rig.send(Ask("batch", old), "master")
    assert seen(rig, m.Relaunch) == [] and seen(rig, m.Kill) == []


def test_a_pod_out_of_reach_that_is_over_its_time_is_asked_for_now_and_then(rig: Rig) -> None:
    from tests.batch.test_batch import template

    first = rig.ask(SubmitJob, **job(1, template=template(timeout_ms=1_000)))["first_id"]
    rig.say([first], State.RUNNING)
    rig.say([first], State.UNREACHABLE)
    rig.master._kill = lambda event: None  # type: ignore[method-assign]
    rig.wait(25_000)
    assert len(seen(rig, m.Kill)) == 3
    rig.restart()
    assert rig.host.wake_ms() is not None


def test_a_job_that_ended_in_time_is_looked_at_no_more(rig: Rig) -> None:
    from tests.batch.test_batch import template

    first = rig.ask(SubmitJob, **job(1, template=template(timeout_ms=1_000)))["first_id"]
    rig.say([first], State.RUNNING)
    rig.say([first], State.FINISHED, 0)
    rig.wait(1_000)
    assert rig.host.wake_ms() is None and seen(rig, m.Kill) == []


def test_a_wrong_clock_of_an_agent_does_not_end_an_attempt_early(rig: Rig) -> None:
    from tests.batch.test_batch import template

    first = rig.ask(SubmitJob, **job(2, template=template(timeout_ms=1_000)))["first_id"]
    rig.now_ms += 100
    rig.say([first], State.RUNNING, started_ms=5)
    rig.say([first + 1], State.RUNNING, started_ms=rig.now_ms + 10_000_000)
    rig.wait(899)
    assert rig.master.of("batch", State.KILLING) == []
    rig.wait(1)
    assert rig.master.of("batch", State.KILLING) == [first]
    rig.wait(100)
    assert rig.master.of("batch", State.KILLING) == [first, first + 1]


def test_requests_before_the_first_contact_are_refused() -> None:
    machine = Batch()
    event = SubmitJob(request="r", key="k", user="ada", at_ms=0, **job(1))
    (reply,) = machine.handle(0, event)
    assert reply.error["status"] == 503 and "try again" in reply.error["detail"]
    assert machine.wake_ms is None
    machine.check()


def test_the_demand_is_not_restated_while_an_accept_is_on_its_way(rig: Rig) -> None:
    rig.master.refuse = lambda pod: True
    rig.ask(SubmitJob, **job(15))
    told_before = len(seen(rig, m.Demand))
    one, two = (rig.machine.handle(rig.now_ms, seen_offer(rig))[0].message for _ in range(2))
    assert (len(one.ids), len(two.ids)) == (10, 5)
    for accept in (one, two):
        refused = m.AcceptResult("batch", accept.ids, accept.attempts, np.full(len(accept.ids), 16, dtype=np.uint8))
        assert rig.machine.handle(rig.now_ms, refused) == []
    rig.machine.check()
    assert len(seen(rig, m.Demand)) == told_before
