"""What services makes of a master that knows more, less or other things than it does itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.model import facts_services as facts
from orch.model import messages as m
from orch.model.reasons import Reason
from orch.model.requests import DeleteService, KillInstances, PutService, ScaleService
from orch.model.states import State
from orch.services import Services, requests, views
from tests.batch.plain import Ask, Change, Rig
from tests.batch.test_reconcile import forget_at_master, seen, seen_offer, told
from tests.services.test_services import AGENT, HEALTHY, PATH, live, run, spec, status, template


@pytest.fixture
def rig() -> Rig:
    return Rig(Services, [AGENT])


def test_instances_that_the_master_does_not_hold_are_lost_and_replaced(rig: Rig) -> None:
    rig.ask(PutService, **spec(3))
    run(rig)
    gone = live(rig)[1]
    forget_at_master(rig, gone)
    rig.restart()
    assert len(live(rig)) == 3 and gone not in live(rig)
    last = views.ended(rig.machine, PATH)[0]
    assert (last["id"], last["state"], last["reason"]) == (gone, "LOST", "UNKNOWN_TO_MASTER")
    assert views.instance(rig.machine, gone) == last and views.instance(rig.machine, 5) is None


def test_instances_that_nobody_wanted_are_stopped_and_their_ids_are_not_used_again(rig: Rig) -> None:
    highest = (1 << 44) + 50
    rig.send(told(m.Subscribed, [(highest, 1, State.RUNNING), (highest - 1, 1, State.FAILED)], number=1, epoch=1))
    (kill,), (ack,) = seen(rig, m.Kill), seen(rig, m.Acknowledge)
    assert (kill.ids.tolist(), kill.reasons.tolist()) == ([highest], [Reason.UNKNOWN_TO_MASTER])
    assert ack.ids.tolist() == [highest - 1]
    rig.ask(PutService, **spec(1))
    assert live(rig) == [highest + 1]


def test_what_was_to_stop_is_stopped_again_after_a_restart(rig: Rig) -> None:
    rig.ask(PutService, **spec(2))
    run(rig)
    kills: list[Any] = []
    rig.master._kill = kills.append  # type: ignore[method-assign]
    rig.ask(ScaleService, path=PATH, instances=1)
    rig.restart()
    assert [kill.ids.tolist() for kill in kills] == [[live(rig)[1]]] * 2
    assert kills[1].reasons.tolist() == [Reason.SCALED_DOWN]


def test_what_a_refused_accept_was_thought_to_take_is_free_again(rig: Rig) -> None:
    rig.master.refuse = lambda each: True
    rig.ask(PutService, **spec(10))
    rig.master.refuse = lambda each: False
    rig.send(Change(), "master")
    assert len(rig.master.launches) == 10


def test_a_launch_that_the_agent_lost_is_sent_again_as_it_was(rig: Rig) -> None:
    rig.ask(PutService, **spec(3))
    first, second, third = live(rig)
    rig.say([second], State.RUNNING)
    lost = m.ResendRequest(np.array([first, second, third, 9], dtype=np.int64), np.ones(4, dtype=np.int32))
    rig.send(Ask("services", lost), "master")
    (again,) = seen(rig, m.Relaunch)
    assert again.ids.tolist() == [first, third] and again.payload.index.tolist() == [1, 3]
    assert next(iter(again.payload.templates.values()))["path"] == PATH
    assert [kill.ids.tolist() for kill in seen(rig, m.Kill)] == [[9]]
    rig.send(Ask("services", m.ResendRequest(np.array([second]), np.ones(1, dtype=np.int32))), "master")
    assert len(seen(rig, m.Relaunch)) == 1


def test_a_result_that_answers_nothing_is_dropped(rig: Rig) -> None:
    before = len(rig.records)
    stray = m.AcceptResult("services", np.array([7]), np.ones(1, dtype=np.int32), np.zeros(1, dtype=np.uint8))
    rig.send(Ask("services", stray), "master")
    assert len(rig.records) == before


def test_news_that_are_none_change_nothing(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    run(rig)
    (first,) = live(rig)
    before = len(rig.records)
    for rows in ([(first, 1, State.RUNNING)], [(first, 1, State.STAGING)], [(first, 2, State.FAILED)]):
        rig.send(Ask("services", told(m.InstanceUpdates, rows)), "master")
    assert len(rig.records) == before


def test_health_and_starting_are_shown_and_not_kept(rig: Rig) -> None:
    rig.ask(PutService, **spec(2, checked=True))
    first, second = live(rig)
    rig.say([first], State.STARTING)
    assert [one["state"] for one in views.instances(rig.machine, PATH)] == ["STARTING", "STAGING"]
    rig.say([first], State.RUNNING, details={first: HEALTHY})
    rig.say([second], State.RUNNING, details={second: {"healthy": False}})
    found = status(rig)
    assert (found["healthy"], found["unhealthy"], found["ready"], found["settled"]) == (1, 1, 1, False)
    one = views.instance(rig.machine, first)
    assert one["endpoints"] == HEALTHY["endpoints"] and one["ready"] and one["healthy"] is True
    records = len(rig.records)
    rig.say([first], State.RUNNING, details={first: HEALTHY})
    assert len(rig.records) == records, "what is known is not shown again"
    rig.same()
    rig.restart()
    assert views.instance(rig.machine, first)["healthy"] is None


def test_what_is_seen_of_an_instance_that_has_ended_is_ignored(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    (first,) = live(rig)
    before = rig.machine.snapshot(soft=True)
    rig.machine.apply(facts.InstancesSeen(rig.now_ms, np.array([first + 1]), {first + 1: HEALTHY}))
    assert rig.machine.snapshot(soft=True) == before


def test_the_last_words_of_an_instance_are_kept(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, checked=True))
    (first,) = live(rig)
    rig.say([first], State.RUNNING, details={first: HEALTHY})
    containers = [{"name": "app", "state": "FAILED", "exit_code": 3, "reason": "EXITED"}]
    rig.say([first], State.FAILED, 3, details={first: {"containers": containers, "message": "bye"}})
    last = views.ended(rig.machine, PATH)[0]
    assert last["containers"] == containers and last["message"] == "bye" and last["exit_code"] == 3
    for _ in range(25):
        rig.wait(400_000)
        rig.say(live(rig), State.FAILED, -9)
    assert len(views.ended(rig.machine, PATH)) == 20
    assert "by signal 9" in views.waiting(rig.machine, PATH)["sentence"]
    rig.same()


def test_requests_before_the_first_contact_are_refused() -> None:
    machine = Services()
    (reply,) = machine.handle(0, PutService(request="r", user="ada", at_ms=0, **spec(1, key="k")))
    assert reply.error["status"] == 503
    assert machine.wake_ms is None
    machine.check()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"template": {"v": 9}}, "can't be read"),
        ({"template": {**template().to_wire(), "request": [1]}}, "5 numbers"),
        ({"instances": -1}, "0 or more"),
    ],
)
def test_a_bad_put_names_the_fault(rig: Rig, fields: dict[str, Any], words: str) -> None:
    error = rig.refused(PutService, **{**spec(1), **fields})
    assert error["status"] == 422 and words in error["detail"]


def test_too_much_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.ask(PutService, **spec(1))
    assert rig.refused(PutService, **spec(100_000, path="/other"))["status"] == 429
    assert rig.refused(ScaleService, path=PATH, instances=100_001)["status"] == 429
    monkeypatch.setattr(requests, "SERVICES_MOST", 1)
    assert rig.refused(PutService, **spec(1, path="/other"))["status"] == 429


def test_what_is_not_there_is_not_found_and_the_key_remembers_it(rig: Rig) -> None:
    for kind, fields in (
        (ScaleService, {"instances": 1}),
        (DeleteService, {}),
        (KillInstances, {"ids": np.empty(0, dtype=np.int64)}),
    ):
        error = rig.refused(kind, path=PATH, key=kind.__name__, **fields)
        assert error["status"] == 404
    rig.ask(PutService, **spec(1))
    assert rig.refused(DeleteService, path=PATH, key="DeleteService") == error
    rig.ask(DeleteService, path=PATH, key="one")
    rig.ask(DeleteService, path=PATH, key="two")
    rig.say(live(rig), State.KILLED)
    assert (
        rig.ask(DeleteService, path=PATH, key="two") == rig.ask(DeleteService, path=PATH, key="one") == {"path": PATH}
    )
    rig.same()


def test_an_unreachable_instance_that_returns_before_its_replacement_starts_is_kept(rig: Rig) -> None:
    from orch.model.specs.template import UnreachableTemplate

    rig.ask(PutService, **spec(1, cpus_milli=800, unreachable=UnreachableTemplate(0, 60_000)))
    run(rig)
    (first,) = live(rig)
    rig.say([first], State.UNREACHABLE)
    assert views.waiting(rig.machine, PATH)["kind"] == "placement"
    rig.say([first], State.RUNNING)
    assert live(rig, State.KILLING) == [] and status(rig)["settled"]


def test_what_waits_for_older_instances_to_go_says_so(rig: Rig) -> None:
    limits = {"minimum_health_micro": 0, "maximum_over_micro": 0}
    rig.ask(PutService, **spec(2, **limits))
    run(rig)
    rig.now_ms += 1
    rig.ask(PutService, **spec(2, replace=True, shell="new", **limits))
    waiting = views.waiting(rig.machine, PATH)
    assert waiting["kind"] == "change" and waiting["count"] == 2
    assert status(rig)["changing"] and status(rig)["states"] == {"KILLING": 2, "SCHEDULED": 2}
    assert views.template(rig.machine, PATH)["containers"][0]["shell"] == "new"
    assert views.template(rig.machine, "/none") is None
    assert views.instances(rig.machine, "/none") == views.ended(rig.machine, "/none") == []
    assert views.waiting(rig.machine, "/none") is None


def test_two_services_get_their_turns_in_one_accept(rig: Rig) -> None:
    rig.master.refuse = lambda each: True
    rig.ask(PutService, **spec(2, path="/a/x"))
    rig.ask(PutService, **spec(2, path="/b/y", priority=5))
    rig.master.refuse = lambda each: each % 2 == 0
    rig.restart()
    assert len(live(rig)) >= 2
    rig.master.refuse = lambda each: False
    rig.restart(keep_records=True)
    assert len(live(rig)) == 4
    groups = {rig.master.instances[each]["group"] for each in live(rig)}
    assert groups == {"/a", "/b"}
    rig.same()


def test_the_demand_is_not_restated_while_an_accept_is_on_its_way(rig: Rig) -> None:
    rig.master.refuse = lambda each: True
    rig.ask(PutService, **spec(7, path="/demo/x"))
    rig.ask(PutService, **spec(7, path="/demo/y"))
    one, two = (rig.machine.handle(rig.now_ms, seen_offer(rig))[0].message for _ in range(2))
    assert (len(one.ids), len(two.ids)) == (10, 4)
    for accept in (one, two):
        refused = m.AcceptResult("services", accept.ids, accept.attempts, np.full(len(accept.ids), 16, dtype=np.uint8))
        assert rig.machine.handle(rig.now_ms, refused) == []
    rig.machine.check()
