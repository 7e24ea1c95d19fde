"""Marathon's events out of facts, without a cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from orch.api import marathon_events
from orch.api.follower import Event
from orch.api.routes.events import marathon_written
from orch.machine.host import Host, Record
from orch.model import facts_services as facts
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs import compile_spec, parse_app, to_marathon
from orch.model.states import State
from orch.runtime.machines import make_machines

PATH = "/demo/web"
ONE = np.array([1 << 44], dtype=np.int64)
CHECK = {"protocol": "MESOS_HTTP", "portIndex": 0}


class Life:
    """Facts of one service, and what is told of them."""

    def __init__(self) -> None:
        self.host, self.index = Host(make_machines()), 0
        self.held: dict[int, str] = {}

    def tell(self, *found: Any) -> list[tuple[str, dict[str, Any]]]:
        self.index += 1
        record = Record(self.index, self.index, [["services", fact] for fact in found])
        seen = marathon_events.before(record, self.host, self.held)
        self.host.replay(record)
        return marathon_events.events_of(record, self.host, seen)

    def put(self, version: int, **more: Any) -> list[tuple[str, dict[str, Any]]]:
        spec = parse_app({"id": PATH, "cmd": "serve", "portDefinitions": [{"port": 0}], **more})
        wire = compile_spec(spec).to_wire()
        return self.tell(facts.ServicePut(version, PATH, "u", "", version, version, wire, to_marathon(spec), 1))

    def launch(self) -> list[tuple[str, dict[str, Any]]]:
        row, first = np.zeros(1, dtype=np.int32), np.array([1], dtype=np.int64)
        return self.tell(facts.InstancesLaunched(5, [PATH], row, ONE, first, first, row))

    def become(self, state: State, reason: Reason = Reason.NONE) -> list[tuple[str, dict[str, Any]]]:
        codes, times = np.array([NO_EXIT_CODE], dtype=np.int16), np.array([6], dtype=np.int64)
        states, reasons = np.array([state], dtype=np.uint8), np.array([reason], dtype=np.uint8)
        return self.tell(facts.InstancesUpdated(6, ONE, states, codes, reasons, times, times, {}))

    def show(self, healthy: bool | None, *ports: int) -> list[tuple[str, dict[str, Any]]]:
        ends = [{"name": "", "port": port, "container": "main", "protocols": ["tcp"]} for port in ports]
        details = {"healthy": healthy, "endpoints": ends, "containers": [], "message": ""}
        return self.tell(facts.InstancesSeen(7, np.empty(0, dtype=np.int64), {int(ONE[0]): details}))


def kinds(told: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [kind for kind, _ in told]


def test_that_it_runs_is_told_with_its_ports_once() -> None:
    life = Life()
    life.put(1)
    assert kinds(life.launch()) == ["status_update_event", "instance_changed_event"]
    assert life.become(State.RUNNING) == []
    (status, data), (change, condition) = life.show(None, 31_000)
    assert (status, data["taskStatus"], data["ports"]) == ("status_update_event", "TASK_RUNNING", [31_000])
    assert (change, condition["condition"]) == ("instance_changed_event", "Running")
    assert life.show(None, 31_000) == []


def test_an_end_before_its_ports_are_known_comes_after_that_it_ran() -> None:
    life = Life()
    life.put(1)
    life.launch()
    life.become(State.RUNNING)
    told = [data["taskStatus"] for kind, data in life.become(State.FAILED) if kind == "status_update_event"]
    assert told == ["TASK_RUNNING", "TASK_FAILED"] and life.held == {}


def test_health_is_told_when_it_changes_and_what_is_killed_for_it() -> None:
    life = Life()
    life.put(1, healthChecks=[CHECK])
    life.launch()
    life.become(State.RUNNING)
    assert kinds(life.show(True, 31_000))[2:] == ["health_status_changed_event", "instance_health_changed_event"]
    assert life.show(True, 31_000) == []
    failed, changed, instance = life.show(False, 31_000)
    assert failed[0] == "failed_health_check_event" and failed[1]["healthCheck"]["protocol"] == "MESOS_HTTP"
    assert changed[1]["alive"] is False and instance[1] == {
        "instanceId": "demo_web.1", "runSpecId": PATH, "runSpecVersion": "1970-01-01T00:00:00.001Z", "healthy": False,
    }  # fmt: skip
    killed = life.become(State.FAILED, Reason.HEALTH_CHECK)[0]
    assert killed[0] == "unhealthy_instance_kill_event" and killed[1]["appId"] == PATH
    assert set(killed[1]) == {"appId", "taskId", "instanceId", "version", "reason", "host", "slaveId"}


def test_what_is_out_of_reach_and_then_replaced() -> None:
    life = Life()
    life.put(1)
    life.launch()
    assert kinds(life.become(State.UNREACHABLE)) == ["status_update_event", "instance_changed_event"]
    ((kind, data),) = life.tell(facts.InstancesInactive(8, ONE))
    assert (kind, data["condition"]) == ("instance_changed_event", "UnreachableInactive")


def test_checks_come_and_go_with_the_spec() -> None:
    life = Life()
    assert kinds(life.put(1, healthChecks=[CHECK])) == ["group_change_success", "add_health_check_event"]
    assert kinds(life.put(2, healthChecks=[CHECK], labels={"a": "b"})) == ["group_change_success"]
    changed = life.put(3, healthChecks=[{**CHECK, "path": "/other"}])
    assert kinds(changed)[1:] == ["remove_health_check_event", "add_health_check_event"]
    assert changed[2][1]["healthCheck"]["path"] == "/other" and changed[0][1]["groupId"] == "/demo"
    gone = life.tell(facts.ServiceDeleting(9, PATH, "u", ""), facts.ServiceForgotten(9, PATH))
    assert kinds(gone) == ["group_change_success", "remove_health_check_event", "app_terminated_event"]


def test_a_light_plan_is_without_its_groups() -> None:
    plan = {"id": "1", "original": {"id": "/"}, "target": {"id": "/"}, "version": "v", "steps": []}
    event = Event(1, 0, 7, "deployment_info", {"plan": plan})
    assert b'"plan":{"id":"1","version":"v","steps":[]}' in marathon_written(event, light=True)
    assert b'"original"' in marathon_written(event, light=False)
    assert marathon_written(event, light=True).startswith(b"event: deployment_info\ndata: {")
    assert b'"timestamp":"1970-01-01T00:00:00.007Z"' in marathon_written(event, light=True)
