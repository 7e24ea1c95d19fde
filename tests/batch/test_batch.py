"""Jobs from submission to end, as a user sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.batch import Batch, views
from orch.model import messages as m
from orch.model.reasons import Reason
from orch.model.requests import ForgetJob, StopJob, StopPods, SubmitJob, TellStory
from orch.model.specs.template import ContainerTemplate, Template
from orch.model.states import State
from tests.batch.plain import Change, Rig

AGENT = [1000, 4096, 0, 0, 10]
NO_ENV = np.empty(0, dtype=np.int64)


def template(path: str = "/demo/digest", cpus_milli: int = 100, **more: Any) -> dict[str, Any]:
    container = ContainerTemplate("main", shell="true", cpus_milli=cpus_milli)
    return Template(path, "job", (container,), request=(cpus_milli, 16, 0, 0, 0), **more).to_wire()


def job(count: int, **more: Any) -> dict[str, Any]:
    fields = {"template": template(), "body": {"id": "/demo/digest"}, "env_off": NO_ENV, "env_blob": b""}
    return {**fields, "count": count, **more}


def envs(*each: bytes) -> dict[str, Any]:
    off = np.concatenate([[0], np.cumsum([len(one) for one in each])]).astype(np.int64)
    return {"env_off": off, "env_blob": b"".join(each)}


@pytest.fixture
def rig() -> Rig:
    return Rig(Batch, [AGENT])


def test_a_submitted_pod_is_launched_in_the_same_event(rig: Rig) -> None:
    answer = rig.ask(SubmitJob, **job(1))
    assert answer == {"job": 1, "path": "/demo/digest", "count": 1, "first_id": 1 << 44}
    assert rig.master.launches == [(1 << 44, 1, 0)]
    assert views.job(rig.machine, 1)["states"] == {"STAGING": 1}
    assert len(rig.records) == 1


def test_pods_run_and_end_and_the_job_is_done(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(3))["first_id"]
    ids = [first, first + 1, first + 2]
    rig.now_ms += 50
    rig.say(ids, State.RUNNING)
    rig.now_ms += 100
    rig.say(ids, State.FINISHED, 0)
    summary = views.job(rig.machine, 1)
    assert summary["states"] == {"FINISHED": 3} and summary["done"]
    assert summary["finished_ms"] == rig.now_ms
    assert rig.master.instances == {}
    one = views.instance(rig.machine, first + 1)
    assert one == {
        "id": first + 1, "name": "demo_digest.j1.1", "job": 1, "index": 1, "state": "FINISHED", "exit_code": 0,
        "reason": "NONE", "attempt": 1, "agent": 0, "started_ms": rig.now_ms - 100, "ended_ms": rig.now_ms,
    }  # fmt: skip
    rig.same()


def test_pods_beyond_the_room_wait_and_go_in_the_order_of_their_index(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(25))["first_id"]
    assert [launch[0] - first for launch in rig.master.launches] == list(range(10))
    assert [row["count"] for row in views.waiting(rig.machine, 1)] == [15]
    rig.say([first + 3, first + 7], State.FINISHED, 0)
    assert [launch[0] - first for launch in rig.master.launches[10:]] == [10, 11]
    rig.same()


def test_each_pod_gets_its_own_environment_whatever_the_order_of_launches() -> None:
    rig = Rig(Batch, [[200, 4096, 0, 0, 0]])
    each = [f"N={index}\0".encode() * (index + 1) for index in range(6)]
    first = rig.ask(SubmitJob, **job(6, attempts=2, **envs(*each)))["first_id"]
    rig.say([first + 1], State.FAILED, 1)
    rig.say([first], State.FINISHED, 0)
    seen = [
        (int(payload.index[row]), payload.env_blob[payload.env_off[row] : payload.env_off[row + 1]])
        for payload in rig.master.payloads
        for row in range(len(payload.index))
    ]
    assert seen == [(index, each[index]) for index in (0, 1, 1, 2)]


def test_a_failed_pod_gets_its_next_attempt_and_then_its_failure_stands(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2, attempts=2))["first_id"]
    rig.say([first], State.FAILED, 3, reason=Reason.EXITED)
    assert rig.master.launches[-1] == (first, 2, 0)
    rig.say([first], State.FAILED, 4, reason=Reason.EXITED)
    one = views.instance(rig.machine, first)
    assert (one["state"], one["exit_code"], one["attempt"]) == ("FAILED", 4, 2)
    rig.say([first + 1], State.FINISHED, 0)
    assert views.job(rig.machine, 1)["done"]
    rig.same()


def test_a_pod_whose_command_never_ran_is_launched_again_without_losing_an_attempt(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1))["first_id"]
    for attempt in range(2, 12):
        rig.say([first], State.DROPPED)
        assert rig.master.launches[-1][1] == attempt
    rig.say([first], State.DROPPED)
    assert views.instance(rig.machine, first)["state"] == "DROPPED"
    assert views.job(rig.machine, 1)["done"]


def test_a_job_that_is_stopped_launches_nothing_more_and_stops_what_runs(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(25, attempts=3))["first_id"]
    assert rig.ask(StopJob, job=1) == {"job": 1}
    assert views.job(rig.machine, 1)["states"] == {"KILLING": 10, "KILLED": 15}
    rig.say(range(first, first + 10), State.KILLED, -15, reason=Reason.STOPPED_BY_USER)
    assert views.job(rig.machine, 1)["done"]
    assert len(rig.master.launches) == 10
    assert rig.ask(StopJob, job=1) == {"job": 1}
    rig.same()


def test_a_large_job_is_stopped_piece_by_piece_and_not_what_has_ended_meanwhile() -> None:
    rig = Rig(lambda: Batch(stop_pods=4), [AGENT])
    first = rig.ask(SubmitJob, **job(10))["first_id"]
    assert rig.ask(StopJob, job=1) == {"job": 1}
    assert views.job(rig.machine, 1)["states"] == {"STAGING": 6, "KILLING": 4}
    rig.say([first + 5], State.FINISHED, 0)
    rig.wait(0)
    assert views.job(rig.machine, 1)["states"] == {"KILLING": 9, "FINISHED": 1}
    assert rig.machine.wake_ms is None
    rig.same()


def test_jobs_stopped_one_after_the_other_share_a_piece_and_a_restart_asks_for_the_rest() -> None:
    rig = Rig(lambda: Batch(stop_pods=4), [AGENT])
    rig.ask(SubmitJob, **job(5))
    rig.ask(SubmitJob, **job(5))
    rig.ask(StopJob, job=1)
    rig.ask(StopJob, job=2)
    assert [views.job(rig.machine, number)["states"] for number in (1, 2)] == [
        {"STAGING": 1, "KILLING": 4}, {"STAGING": 5},
    ]  # fmt: skip
    rig.host.tick(rig.now_ms)
    rig.settle()
    assert [views.job(rig.machine, number)["states"] for number in (1, 2)] == [
        {"KILLING": 5}, {"STAGING": 2, "KILLING": 3},
    ]  # fmt: skip
    rig.restart()
    assert views.job(rig.machine, 2)["states"] == {"KILLING": 5}


def test_pods_of_a_job_are_stopped_by_themselves_whether_they_run_or_wait(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(25, attempts=3))["first_id"]
    answer = rig.ask(StopPods, job=1, indexes=np.array([24, 3, 12, 3, 4], dtype=np.int64), key="once")
    assert answer == {"job": 1, "stopped": 4}
    assert views.job(rig.machine, 1)["states"] == {"KILLING": 2, "KILLED": 2, "STAGING": 8, "SCHEDULED": 13}
    rig.say([first + 3, first + 4], State.KILLED, -15, reason=Reason.STOPPED_BY_USER)
    assert [launch[0] - first for launch in rig.master.launches[10:]] == [10, 11]
    assert rig.ask(StopPods, job=1, indexes=np.array([3], dtype=np.int64)) == {"job": 1, "stopped": 0}
    again = rig.ask(StopPods, job=1, indexes=np.array([24, 3, 12, 3, 4], dtype=np.int64), key="once")
    assert again == answer
    rig.same()


def test_a_pod_that_was_stopped_and_is_lost_gets_no_further_attempt(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2, attempts=3))["first_id"]
    rig.ask(StopPods, job=1, indexes=np.array([0], dtype=np.int64))
    rig.restart()
    assert (views.instance(rig.machine, first)["state"], views.instance(rig.machine, first)["reason"]) == (
        "KILLING", "STOPPED_BY_USER",
    )  # fmt: skip
    rig.say([first, first + 1], State.LOST, reason=Reason.AGENT_LOST)
    assert [(launch[0] - first, launch[1]) for launch in rig.master.launches] == [(0, 1), (1, 1), (1, 2)]
    assert views.instance(rig.machine, first)["state"] == "LOST"
    rig.same()


def test_a_stop_of_pods_that_a_job_does_not_have_is_refused(rig: Rig) -> None:
    rig.ask(SubmitJob, **job(2))
    for number, index in ((2, 0), (1, 2), (1, -1)):
        refusal = rig.refused(StopPods, job=number, indexes=np.array([index], dtype=np.int64))
        assert refusal["status"] == 404
    assert "has pods 0 to 1" in refusal["detail"]
    assert rig.ask(StopPods, job=1, indexes=np.array([], dtype=np.int64)) == {"job": 1, "stopped": 0}


def test_a_job_ends_when_the_last_pods_that_wait_are_stopped() -> None:
    rig = Rig(Batch, [AGENT])
    first = rig.ask(SubmitJob, **job(11))["first_id"]
    rig.say(range(first, first + 9), State.FINISHED, 0)
    rig.say([first + 9, first + 10], State.FINISHED, 0)
    rig.ask(SubmitJob, **job(12))
    second = rig.machine.ledger.next_id - 12
    rig.say(range(second, second + 10), State.FAILED, 1)
    rig.ask(StopPods, job=2, indexes=np.array([10, 11], dtype=np.int64))
    rig.say([second + 10, second + 11], State.KILLED, reason=Reason.STOPPED_BY_USER)
    assert views.job(rig.machine, 2)["done"]


def test_a_job_says_how_its_agents_are_chosen_and_otherwise_the_cluster_does() -> None:
    rig = Rig(lambda: Batch(policy="first-fit"), [AGENT] * 3)
    rig.ask(SubmitJob, **job(2, template=template(policy="spread")))
    assert [launch[2] for launch in rig.master.launches] == [0, 1]
    rig.ask(SubmitJob, **job(1, template=template(policy="best-fit")))
    rig.ask(SubmitJob, **job(1, template=template(cpus_milli=950)))
    rig.ask(SubmitJob, **job(1))
    assert [launch[2] for launch in rig.master.launches[2:]] == [0, 2, 0]
    rig.same()


def test_jobs_of_several_policies_wait_in_queues_of_their_own(rig: Rig) -> None:
    for policy in ("spread", "first-fit", ""):
        rig.ask(SubmitJob, **job(10, template=template(policy=policy)))
    assert [views.job(rig.machine, number)["states"] for number in (1, 2, 3)] == [
        {"STAGING": 10}, {"SCHEDULED": 10}, {"SCHEDULED": 10},
    ]  # fmt: skip
    rig.restart()
    rig.same()


def test_a_job_is_forgotten_once_it_is_done(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(1))["first_id"]
    refusal = rig.refused(ForgetJob, job=1)
    assert refusal["status"] == 409 and "1 pod not ended" in refusal["detail"]
    rig.say([first], State.FINISHED, 0)
    assert rig.ask(ForgetJob, job=1, key="k") == {"job": 1}
    assert views.job(rig.machine, 1) is None and views.find(rig.machine, "/demo/digest") is None
    assert rig.ask(ForgetJob, job=1, key="k") == {"job": 1}
    assert rig.refused(ForgetJob, job=1)["status"] == 404
    assert rig.ask(SubmitJob, **job(1)) == {"job": 2, "path": "/demo/digest", "count": 1, "first_id": first + 1}
    rig.same()


def test_a_key_sent_again_gets_the_first_answer_and_does_nothing(rig: Rig) -> None:
    one = rig.ask(SubmitJob, **job(2, key="once"))
    two = rig.ask(SubmitJob, **job(2, key="once"))
    other = rig.ask(SubmitJob, **job(2, key="once", user="bob"))
    assert one == two and other["job"] == 2
    assert len(rig.master.launches) == 4


def test_an_attempt_that_runs_too_long_is_stopped(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(3, template=template(timeout_ms=5_000)))["first_id"]
    rig.say([first], State.RUNNING)
    rig.wait(2_000)
    rig.say([first + 1], State.RUNNING)
    rig.wait(2_999)
    assert rig.master.of("batch", State.KILLING) == []
    rig.wait(1)
    assert rig.master.of("batch", State.KILLING) == [first]
    rig.say([first], State.KILLED, -15, reason=Reason.TIMEOUT)
    rig.wait(2_000)
    assert rig.master.of("batch", State.KILLING) == [first + 1]
    rig.say([first + 1], State.KILLED, -9, reason=Reason.TIMEOUT)
    rig.say([first + 2], State.FINISHED, 0)
    assert views.job(rig.machine, 1)["done"] and rig.host.wake_ms() is None


def test_gangs_launch_whole_or_not_at_all() -> None:
    rig = Rig(Batch, [[300, 4096, 0, 0, 0], [200, 4096, 0, 0, 0]])
    first = rig.ask(SubmitJob, **job(8, gang=4))["first_id"]
    assert [launch[0] - first for launch in rig.master.launches] == [0, 1, 2, 3]
    assert views.waiting(rig.machine, 1)[0]["gang"] == 4
    rig.say([first], State.FINISHED, 0)
    assert len(rig.master.launches) == 4
    rig.say([first + 1, first + 2], State.FINISHED, 0)
    assert [launch[0] - first for launch in rig.master.launches] == list(range(8))


def test_a_refused_accept_is_tried_again_with_the_next_offer(rig: Rig) -> None:
    rig.master.refuse = lambda instance: True
    first = rig.ask(SubmitJob, **job(2))["first_id"]
    assert rig.master.launches == []
    rig.master.refuse = lambda instance: False
    rig.send(Change(), "master")
    assert rig.master.launches == [(first, 1, 0), (first + 1, 1, 0)]


def test_what_no_agent_can_do_is_never_launched_and_says_so(rig: Rig) -> None:
    rig.ask(SubmitJob, **job(2, template=template(needs=("image",))))
    assert rig.master.launches == []
    (row,) = views.waiting(rig.machine, 1)
    assert row["needs"] == ["image"] and "needs image" in row["sentence"]
    rig.ask(StopJob, job=1)
    assert views.job(rig.machine, 1)["states"] == {"KILLED": 2} and views.job(rig.machine, 1)["done"]


def test_a_restart_changes_nothing(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(25, attempts=2))["first_id"]
    rig.say([first + 4], State.FAILED, 1)
    before = views.job(rig.machine, 1)
    for keep_records in (False, True):
        rig.restart(keep_records)
        assert views.job(rig.machine, 1) == before
    rig.say([first], State.FINISHED, 0)
    assert rig.master.launches[-1] == (first + 10, 1, 0)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"count": 0}, "/instances"),
        ({"count": 10_000_001}, "/instances"),
        ({"count": 3, "gang": 2}, "/gang"),
        ({"gang": -1}, "/gang"),
        ({"attempts": 0}, "/retries"),
        ({"priority": 2**31}, "/priority"),
        ({"env_blob": b"A=1\0"}, "/each"),
        ({"env_off": np.array([0, 2, 1], dtype=np.int64), "env_blob": b"x"}, "/each"),
        ({"template": {**template(), "request": [1, 2]}}, "/"),
    ],
)
def test_a_bad_submission_names_the_field(rig: Rig, fields: dict[str, Any], path: str) -> None:
    error = rig.refused(SubmitJob, **{**job(2), **fields})
    assert error["status"] == 422 and error["details"][0]["path"] == path
    assert rig.records == []


def test_the_story_of_a_pod_tells_what_happened_to_it(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(2, attempts=2))["first_id"]
    rig.say([first], State.FAILED, 7)
    notes = rig.ask(TellStory, thing=first)["notes"]
    assert [note["what"] for note in notes] == ["launched", "updated", "launched"]
    assert notes[1]["exit_code"] == 7
    assert rig.ask(TellStory, thing="job 1")["notes"][0]["what"] == "submitted"


def test_launches_that_an_agent_lost_are_sent_again(rig: Rig) -> None:
    first = rig.ask(SubmitJob, **job(3, **envs(b"A=0\0", b"A=1\0", b"A=2\0")))["first_id"]
    from tests.batch.plain import Ask

    lost = m.ResendRequest(np.array([first + 2, first, 5], dtype=np.int64), np.array([1, 1, 1], dtype=np.int32))
    rig.send(Ask("batch", lost), "master")
    (again,) = [event for event in rig.master.log if isinstance(event, m.Relaunch)]
    assert again.ids.tolist() == [first, first + 2] and again.payload.env_blob == b"A=0\0A=2\0"
    (kill,) = [event for event in rig.master.log if isinstance(event, m.Kill)]
    assert kill.ids.tolist() == [5]


def test_jobs_that_ask_for_the_same_take_their_turn_in_the_order_of_submission(rig: Rig) -> None:
    rig.master.usable[0] = 0
    rig.send(Change(), "master")
    first = [rig.ask(SubmitJob, **job(4))["first_id"] for _ in range(4)]
    rig.master.usable[0] = 1
    rig.master._touch(0)
    rig.send(Change(), "master")
    launched = [launch[0] for launch in rig.master.launches]
    assert launched == [*range(first[0], first[0] + 4), *range(first[1], first[1] + 4), first[2], first[2] + 1]
