"""Services from put to deletion, as a user sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orch.model.reasons import Reason
from orch.model.requests import (
    DeleteService,
    KillInstances,
    PutService,
    ResetDelay,
    RestartService,
    ScaleService,
    TellStory,
)
from orch.model.specs.template import ContainerTemplate, HealthTemplate, Template, UnreachableTemplate
from orch.model.states import State
from orch.model.times import timestamp
from orch.services import Services, views
from orch.services.launcher import Part
from tests.batch.plain import Change, Rig

AGENT = [1000, 4096, 0, 0, 10]
PATH = "/demo/web"
HEALTHY = {"healthy": True, "endpoints": [{"name": "http", "port": 31000, "container": "app"}], "containers": []}


def template(path: str = PATH, cpus_milli: int = 100, shell: str = "serve", checked: bool = False, **more: Any) -> Any:
    health = (HealthTemplate("http", 0),) if checked else ()
    container = ContainerTemplate("app", shell=shell, cpus_milli=cpus_milli, health=health)
    return Template(path, "pod", (container,), request=(cpus_milli, 16, 0, 0, 0), **more)


def spec(instances: int = 1, replace: bool = False, key: str = "", **more: Any) -> dict[str, Any]:
    made = template(**more)
    return {
        "template": made.to_wire(), "body": {"id": made.path}, "instances": instances, "replace": replace, "key": key,
    }  # fmt: skip


def live(rig: Rig, *states: State) -> list[int]:
    return rig.master.of("services", *(states or (State.STAGING, State.STARTING, State.RUNNING, State.KILLING)))


def run(rig: Rig) -> None:
    """Whatever was launched comes up."""
    rig.say(live(rig, State.STAGING), State.RUNNING)


def stop(rig: Rig) -> None:
    """Whatever is told to stop has stopped."""
    for number in live(rig, State.KILLING):
        rig.say([number], State.KILLED, -15, reason=Reason(rig.master.instances[number]["stop"]))


@pytest.fixture
def rig() -> Rig:
    return Rig(Services, [AGENT, AGENT])


def test_a_service_says_how_its_agents_are_chosen_and_otherwise_the_cluster_does() -> None:
    rig = Rig(lambda: Services(policy="spread"), [AGENT] * 2)
    rig.ask(PutService, **spec(2))
    assert sorted(launch[2] for launch in rig.master.launches) == [0, 1]
    rig.ask(PutService, **spec(2, path="/b", policy="best-fit"))
    assert [launch[2] for launch in rig.master.launches[2:]] == [0, 0]


def status(rig: Rig, path: str = PATH) -> dict[str, Any]:
    found = views.service(rig.machine, path)
    assert found is not None
    return found


def test_a_service_is_launched_in_the_same_event_as_it_is_put(rig: Rig) -> None:
    answer = rig.ask(PutService, **spec(3))
    assert answer == {"path": PATH, "version": rig.now_ms, "created": True, "instances": 3}
    assert len(rig.master.launches) == 3 and len(rig.records) == 1
    run(rig)
    found = status(rig)
    assert (found["instances"], found["running"], found["ready"], found["settled"]) == (3, 3, 3, True)
    assert [one["name"] for one in views.instances(rig.machine, PATH)] == ["demo_web.1", "demo_web.2", "demo_web.3"]
    rig.same()


def test_a_failed_instance_is_replaced_by_a_new_one_after_the_backoff(rig: Rig) -> None:
    rig.ask(PutService, **spec(2, backoff_ms=1_000, backoff_factor_milli=2_000))
    run(rig)
    first = live(rig)[0]
    rig.say([first], State.FAILED, 7, reason=Reason.EXITED)
    assert len(rig.master.launches) == 2
    waiting = views.waiting(rig.machine, PATH, rig.now_ms)
    assert waiting["kind"] == "backoff" and waiting["until_ms"] == rig.now_ms + 1_000
    assert waiting["sentence"] == (
        "/demo/web: demo_web.1 ended FAILED with exit code 7: the command exited by itself; "
        "the next launch waits 1 s (ends in a row: 1)"
    )
    rig.wait(999)
    assert len(rig.master.launches) == 2
    rig.wait(1)
    assert len(rig.master.launches) == 3 and views.instances(rig.machine, PATH)[-1]["name"] == "demo_web.3"
    assert views.ended(rig.machine, PATH)[0]["exit_code"] == 7
    rig.same()


def test_the_delay_grows_with_each_end_in_a_row_and_begins_anew_after_a_stable_run(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, backoff_ms=1_000, backoff_factor_milli=3_000, max_launch_delay_ms=10_000))
    delays = []
    for ran_ms in (0, 0, 0, 0, 10_000, 0):
        run(rig)
        rig.wait(ran_ms)
        rig.say(live(rig), State.FAILED, 1)
        delays.append(views.waiting(rig.machine, PATH)["until_ms"] - rig.now_ms)
        rig.wait(delays[-1])
    assert delays == [1_000, 3_000, 9_000, 10_000, 1_000, 3_000]


def test_an_instance_that_was_healthy_once_was_stable(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, checked=True, backoff_ms=1_000, backoff_factor_milli=2_000))
    failures = []
    for words in ([], [], [True, False]):
        run(rig)
        (one,) = live(rig)
        for healthy in words:
            rig.say([one], State.RUNNING, details={one: {"healthy": healthy}})
        rig.say([one], State.FAILED, -9, reason=Reason.HEALTH_CHECK)
        failures.append(views.waiting(rig.machine, PATH)["failures"])
        rig.wait(10_000)
    assert failures == [1, 2, 1]


def test_the_rest_of_a_wave_prolongs_the_delay_and_does_not_change_it(rig: Rig) -> None:
    rig.ask(PutService, **spec(4, backoff_ms=1_000, backoff_factor_milli=2_000))
    for _ in range(2):
        run(rig)
        rig.say(live(rig), State.FAILED, 1)
        rig.wait(4_000)
    run(rig)
    rig.say(live(rig)[:2], State.FAILED, 1)
    assert views.waiting(rig.machine, PATH)["until_ms"] == rig.now_ms + 4_000
    rig.now_ms += 500
    rig.say(live(rig), State.FAILED, 1)
    waiting = views.waiting(rig.machine, PATH)
    assert waiting["failures"] == 3 and waiting["until_ms"] == rig.now_ms + 4_000


def test_instances_that_fail_together_cost_one_delay(rig: Rig) -> None:
    rig.ask(PutService, **spec(10, backoff_ms=1_000, backoff_factor_milli=2_000))
    run(rig)
    ids = live(rig)
    rig.say(ids[:5], State.FAILED, 1)
    rig.now_ms += 10
    rig.say(ids[5:], State.FAILED, 1)
    waiting = views.waiting(rig.machine, PATH)
    assert waiting["failures"] == 1 and waiting["until_ms"] == rig.now_ms + 1_000 and waiting["count"] == 10


def test_an_instance_that_ends_well_is_replaced_too(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    run(rig)
    rig.say(live(rig), State.FINISHED, 0)
    assert views.waiting(rig.machine, PATH)["kind"] == "backoff"
    rig.wait(1_000)
    assert len(live(rig)) == 1


def test_scaling_up_launches_more_and_scaling_down_stops_the_youngest(rig: Rig) -> None:
    rig.ask(PutService, **spec(2))
    run(rig)
    rig.now_ms += 1
    assert rig.ask(ScaleService, path=PATH, instances=4)["instances"] == 4
    assert len(live(rig, State.STAGING)) == 2
    run(rig)
    ids = live(rig)
    rig.ask(ScaleService, path=PATH, instances=1)
    assert live(rig, State.KILLING) == ids[1:]
    stop(rig)
    assert live(rig) == ids[:1] and views.ended(rig.machine, PATH)[0]["stop"] == "SCALED_DOWN"
    rig.same()


def test_scaling_down_takes_the_oldest_where_the_spec_says_so_and_those_not_ready_first(rig: Rig) -> None:
    rig.ask(PutService, **spec(3, kill_selection="OLDEST_FIRST"))
    ids = live(rig)
    rig.say(ids[:2], State.RUNNING)
    rig.ask(ScaleService, path=PATH, instances=1)
    assert live(rig, State.KILLING) == [ids[0], ids[2]]


def test_a_deleted_service_is_forgotten_once_its_instances_are_gone(rig: Rig) -> None:
    rig.ask(PutService, **spec(2))
    run(rig)
    assert rig.ask(DeleteService, path=PATH) == {"path": PATH}
    assert len(live(rig, State.KILLING)) == 2 and status(rig)["deleting"]
    assert "being deleted" in rig.refused(PutService, **spec(1, replace=True))["detail"]
    assert "being deleted" in rig.refused(ScaleService, path=PATH, instances=2)["detail"]
    assert rig.ask(DeleteService, path=PATH) == {"path": PATH}
    stop(rig)
    assert views.service(rig.machine, PATH) is None and rig.master.instances == {}
    assert rig.refused(DeleteService, path=PATH)["status"] == 404
    rig.ask(PutService, **spec(1))
    rig.same()


def test_killed_instances_are_replaced_at_once_without_a_delay(rig: Rig) -> None:
    rig.ask(PutService, **spec(2))
    run(rig)
    first = live(rig)[0]
    answer = rig.ask(KillInstances, path=PATH, ids=np.array([first]))
    assert answer == {"path": PATH, "ids": [first], "instances": 2}
    assert len(live(rig)) == 3
    stop(rig)
    assert len(live(rig)) == 2 and views.waiting(rig.machine, PATH) is None


def test_killed_instances_with_scale_make_the_service_smaller(rig: Rig) -> None:
    rig.ask(PutService, **spec(3))
    run(rig)
    middle = live(rig)[1]
    assert rig.ask(KillInstances, path=PATH, ids=np.array([middle]), scale=True)["instances"] == 2
    stop(rig)
    assert middle not in live(rig) and len(live(rig)) == 2
    error = rig.refused(KillInstances, path=PATH, ids=np.array([middle]))
    assert error["status"] == 404 and str(middle) in error["detail"]


def test_a_new_version_starts_first_and_stops_the_old_as_it_becomes_ready(rig: Rig) -> None:
    rig.ask(PutService, **spec(3, checked=True))
    run(rig)
    old = live(rig)
    rig.say(old, State.RUNNING, details=dict.fromkeys(old, HEALTHY))
    assert status(rig)["ready"] == 3
    rig.now_ms += 1
    answer = rig.ask(PutService, **spec(3, replace=True, checked=True, shell="serve 2"))
    assert not answer["created"] and answer["version"] == rig.now_ms
    new = live(rig, State.STAGING)
    assert len(new) == 3 and live(rig, State.KILLING) == []
    run(rig)
    assert live(rig, State.KILLING) == []
    rig.say(new[:1], State.RUNNING, details={new[0]: HEALTHY})
    assert live(rig, State.KILLING) == old[-1:]
    rig.say(new[1:], State.RUNNING, details=dict.fromkeys(new[1:], HEALTHY))
    assert live(rig, State.KILLING) == old
    stop(rig)
    found = status(rig)
    assert found["settled"] and found["versions"] == [{"version": rig.now_ms, "instances": 3}]
    rig.same()


@pytest.mark.parametrize(
    ("minimum", "over", "most", "least"),
    [(0, 0, 4, 0), (500_000, 0, 4, 2), (1_000_000, 0, 5, 4), (750_000, 250_000, 5, 3)],
)
def test_a_change_keeps_within_its_capacities(minimum: int, over: int, most: int, least: int) -> None:
    rig = Rig(Services, [[10_000, 4096, 0, 0, 0]])
    limits = {"minimum_health_micro": minimum, "maximum_over_micro": over}
    rig.ask(PutService, **spec(4, **limits))
    run(rig)
    rig.now_ms += 1
    rig.ask(PutService, **spec(4, replace=True, shell="new", **limits))
    for _ in range(40):
        assert len(live(rig)) <= most and len(live(rig, State.RUNNING)) >= least
        if live(rig, State.KILLING):
            rig.say(live(rig, State.KILLING)[:1], State.KILLED, -15, reason=Reason.REPLACED)
        elif live(rig, State.STAGING):
            rig.say(live(rig, State.STAGING)[:1], State.RUNNING)
    assert status(rig)["settled"]


def test_a_put_that_changes_the_number_only_starts_nothing_anew(rig: Rig) -> None:
    version = rig.ask(PutService, **spec(2))["version"]
    run(rig)
    before = live(rig)
    rig.now_ms += 1
    answer = rig.ask(PutService, **spec(3, replace=True))
    assert answer["version"] == version and live(rig)[:2] == before and len(live(rig)) == 3


def test_an_unreachable_instance_is_replaced_and_stopped_when_it_returns(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, unreachable=UnreachableTemplate(5_000, 60_000)))
    run(rig)
    (first,) = live(rig)
    rig.say([first], State.UNREACHABLE)
    rig.wait(4_999)
    assert len(rig.master.launches) == 1
    rig.wait(1)
    assert len(rig.master.launches) == 2
    run(rig)
    rig.say([first], State.RUNNING)
    assert live(rig, State.KILLING) == [first] and rig.master.instances[first]["stop"] == Reason.REPLACED
    rig.same()


def test_an_unreachable_instance_that_is_given_up_is_stopped_wherever_it_is(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    run(rig)
    (first,) = live(rig)
    rig.say([first], State.UNREACHABLE)
    assert rig.master.instances[first]["stop"] == Reason.REPLACED and len(rig.master.launches) == 2
    rig.say([first], State.LOST, reason=Reason.AGENT_LOST)
    assert views.waiting(rig.machine, PATH) is None


def test_an_unreachable_instance_is_waited_for_where_the_strategy_is_disabled(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, unreachable=None))
    run(rig)
    (first,) = live(rig)
    rig.say([first], State.UNREACHABLE)
    rig.wait(10_000_000)
    assert len(rig.master.launches) == 1
    rig.say([first], State.RUNNING)
    assert status(rig)["settled"]


def test_what_no_agent_can_do_is_never_launched_and_says_so(rig: Rig) -> None:
    rig.ask(PutService, **spec(2, needs=("image", "secret")))
    assert rig.master.launches == []
    waiting = views.waiting(rig.machine, PATH)
    assert waiting["kind"] == "needs" and "needs image, secret" in waiting["sentence"]


def test_what_does_not_fit_waits_for_room(rig: Rig) -> None:
    rig.ask(PutService, **spec(3, cpus_milli=1_000))
    waiting = views.waiting(rig.machine, PATH)
    assert (waiting["kind"], waiting["count"], waiting["request"]) == ("placement", 1, [1_000, 16, 0, 0, 0])
    rig.master.total.append([2000, 4096, 0, 0, 0])
    rig.master.free.append([2000, 4096, 0, 0, 0])
    rig.master.usable.append(1)
    rig.master.sessions.append(9)
    rig.master.attributes.append({})
    rig.master._touch(2)
    rig.send(Change(), "master")
    assert rig.master.launches[-1][2] == 2 and views.waiting(rig.machine, PATH) is None


def test_a_refused_accept_is_tried_again_with_the_next_offer(rig: Rig) -> None:
    rig.master.refuse = lambda instance: True
    rig.ask(PutService, **spec(2))
    assert rig.master.launches == []
    rig.master.refuse = lambda instance: False
    rig.send(Change(), "master")
    assert len(rig.master.launches) == 2
    assert [one["name"] for one in views.instances(rig.machine, PATH)] == ["demo_web.3", "demo_web.4"]


def test_a_path_is_a_service_or_a_group_never_both(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    assert "/demo/web is one" in rig.refused(PutService, **spec(1, path="/demo/web/a"))["detail"]
    assert "/demo/web is one" in rig.refused(PutService, **spec(1, path="/demo"))["detail"]
    assert rig.refused(PutService, **spec(1))["status"] == 409
    rig.ask(PutService, **spec(1, path="/demo/web2"))
    rig.same()


def test_a_key_sent_again_gets_the_first_answer_and_does_nothing(rig: Rig) -> None:
    one = rig.ask(PutService, **spec(1, key="a"))
    assert rig.ask(PutService, **spec(1, key="a")) == one
    rig.ask(ScaleService, path=PATH, instances=2, key="b")
    rig.ask(ScaleService, path=PATH, instances=3)
    assert rig.ask(ScaleService, path=PATH, instances=2, key="b")["instances"] == 2
    assert status(rig)["instances"] == 3


def test_a_restart_changes_nothing(rig: Rig) -> None:
    rig.ask(PutService, **spec(3))
    run(rig)
    rig.say(live(rig)[:1], State.FAILED, 1)
    before = status(rig)
    for keep_records in (False, True):
        rig.restart(keep_records)
        assert status(rig) == before
    rig.wait(1_000)
    assert len(live(rig)) == 3


def test_the_story_tells_what_happened(rig: Rig) -> None:
    rig.ask(PutService, **spec(1))
    run(rig)
    (first,) = live(rig)
    rig.say([first], State.FAILED, 3)
    assert [note["what"] for note in rig.ask(TellStory, thing=first)["notes"]] == ["launched", "updated", "updated"]
    assert [note["what"] for note in rig.ask(TellStory, thing=PATH)["notes"]] == ["put", "delayed"]


def test_a_restarted_service_has_the_same_spec_in_new_instances(rig: Rig) -> None:
    rig.ask(PutService, **spec(2))
    run(rig)
    before, old = status(rig), live(rig)
    answer = rig.ask(RestartService, path=PATH, key="r")
    assert answer["version"] > before["version"] and answer["instances"] == 2
    for _ in range(4):
        run(rig)
        stop(rig)
    found = status(rig)
    assert found["settled"] and found["version"] == answer["version"] and found["body"] == before["body"]
    assert len(live(rig)) == 2 and not set(live(rig)) & set(old)
    assert rig.ask(RestartService, path=PATH, key="r") == answer and status(rig)["version"] == answer["version"]
    assert rig.refused(RestartService, path="/none")["status"] == 404
    rig.same()


def test_a_delay_that_is_reset_is_over_at_once_and_the_row_begins_anew(rig: Rig) -> None:
    rig.ask(PutService, **spec(1, backoff_ms=1_000, backoff_factor_milli=3_000))
    for _ in range(2):
        run(rig)
        rig.say(live(rig), State.FAILED, 1)
        rig.ask(ResetDelay, path=PATH)
        assert len(live(rig)) == 1, "it starts without waiting"
    run(rig)
    rig.say(live(rig), State.FAILED, 1)
    assert views.waiting(rig.machine, PATH)["until_ms"] == rig.now_ms + 1_000
    assert rig.ask(ResetDelay, path=PATH, key="d") == {"path": PATH}
    run(rig)
    rig.say(live(rig), State.FAILED, 1)
    assert rig.ask(ResetDelay, path=PATH, key="d") == {"path": PATH}
    assert not live(rig), "the same key again does nothing"
    assert rig.refused(ResetDelay, path="/none")["status"] == 404
    rig.same()


def test_instances_are_told_the_version_of_their_spec(rig: Rig) -> None:
    version = rig.ask(PutService, **spec(2))["version"]
    payload = rig.machine.launcher.payload([part_of(rig, 2)])
    one = f"MARATHON_APP_VERSION={timestamp(version)}\0".encode()
    assert payload.env_blob == one * 2 and payload.env_off.tolist() == [0, len(one), 2 * len(one)]
    assert timestamp(1_764_570_000_007) == "2025-12-01T06:20:00.007Z" and timestamp(None) == "1970-01-01T00:00:00.000Z"


def part_of(rig: Rig, count: int) -> Part:
    version = rig.machine.registry.services[PATH].version
    numbers = np.arange(count, dtype=np.int64)
    return Part(PATH, version, numbers, numbers, np.zeros(count, dtype=np.int32))
