"""What Marathon's clients look for beside apps and pods: filters, embeds, the queue, tasks, events, metrics."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import orch
from orch.api import launch_queue
from orch.api.labels import selector
from orch.api.task_stats import of as task_stats
from orch.model import resources
from orch.model.errors import UsageError
from orch.model.states import State
from tests.api.world import World, deadline


def call(world: World, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(
        method, world.url + path, headers=world.headers() | more.pop("headers", {}), timeout=20, **more
    )


def app(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "cmd": "serve", "cpus": 0.1, "mem": 32, "instances": 1, **more}


def run(world: World, id: str, **more: Any) -> None:
    assert call(world, "POST", "/v2/apps", json=app(id, **more)).status_code == 201
    world.cluster.service(id).wait(10)


class Reader:
    """Marathon's events of an open stream, one at a time."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> dict[str, Any]:
        while not (line := next(self._lines)).startswith("data: "):
            pass
        found: dict[str, Any] = json.loads(line.removeprefix("data: "))
        return found

    def until(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        seen = [self.next()]
        while seen[-1]["eventType"] != kind or any(seen[-1].get(name) != value for name, value in wanted.items()):
            seen.append(self.next())
        return seen


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("a == x", {"a": "x"}, True),
        ("a == x", {"a": "y"}, False),
        ("a==x", {}, False),
        ("a != x", {"a": "y"}, True),
        ("a != x", {}, False),
        ("a in (x, y)", {"a": "y"}, True),
        ("a in ()", {"a": "y"}, False),
        ("a notin (x)", {"a": "y"}, True),
        ("a notin (x)", {}, False),
        ("a", {"a": ""}, True),
        ("a", {"b": ""}, False),
        ("a in (x), b notin (y), c, d", {"a": "x", "b": "z", "c": "1", "d": "2"}, True),
        ("a in (x), b notin (y), c, d", {"a": "x", "b": "y", "c": "1", "d": "2"}, False),
        (r"my\-label == \!\!", {"my-label": "!!"}, True),
        ("in in (in)", {"in": "in"}, True),
        ("", {}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], selected: bool) -> None:
    assert selector(text)(labels) is selected


@pytest.mark.parametrize("text", ["a ==", "a == x,", "a in x", "a in (x", "a b", "my-label", "==", "a in (x,)", "a ="])
def test_what_is_no_label_selector_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(UsageError, match="at character"):
        selector(text)


def test_apps_are_filtered_and_shown_with_what_is_asked_for(world: World) -> None:
    run(world, "/team/web", labels={"tier": "front"})
    run(world, "/team/db", cmd="serve db", labels={"tier": "back"})
    run(world, "/other/web")

    def ids(query: str) -> list[str]:
        return [one["id"] for one in call(world, "GET", f"/v2/apps?{query}").json()["apps"]]

    assert ids("id=WEB") == ["/other/web", "/team/web"] and ids("cmd=DB") == ["/team/db"]
    assert ids("label=tier notin (back)") == ["/team/web"] and ids("label=tier&id=db") == ["/team/db"]
    assert call(world, "GET", "/v2/apps?label=a-b").status_code == 400
    plain = call(world, "GET", "/v2/apps?id=/team/db").json()["apps"][0]
    assert plain["tasksRunning"] == 1 and plain["deployments"] == [] and "tasks" not in plain
    assert "affinity" not in plain
    rich = call(world, "GET", "/v2/apps?id=/team/db&embed=apps.tasks&embed=app.taskStats&embed=nothing").json()["apps"][
        0
    ]
    assert (
        rich["tasks"][0]["id"] == "team_db.1" and rich["taskStats"]["totalSummary"]["stats"]["counts"]["running"] == 1
    )
    found = call(world, "GET", "/v2/apps/team/*").json()["*"]
    assert [one["id"] for one in found] == ["/team/db", "/team/web"]
    assert [one["appId"] for one in call(world, "GET", "/v2/apps/team/*/tasks").json()["tasks"]] == [
        "/team/db",
        "/team/web",
    ]
    assert call(world, "GET", "/v2/apps/none/*").status_code == 404
    assert len(call(world, "GET", "/v2/apps/*").json()["*"]) == 3


def test_the_last_failure_is_of_an_end_that_nobody_asked_for(world: World) -> None:
    run(world, "/demo/web", backoffSeconds=60)
    world.cluster.service("/demo/web").scale(0)
    deadline(lambda: not call(world, "GET", "/v2/apps/demo/web").json()["app"]["tasks"], "it runs on")
    assert "lastTaskFailure" not in call(world, "GET", "/v2/apps/demo/web").json()["app"]
    call(world, "PUT", "/v2/apps/demo/web", json={"cmd": "exit 7", "instances": 1})

    def failed() -> Any:
        return call(world, "GET", "/v2/apps?embed=apps.failures").json()["apps"][0].get("lastTaskFailure")

    failure = deadline(failed, "no failure is shown")
    assert (failure["taskId"], failure["state"], failure["slaveId"]) == ("demo_web.2", "TASK_FAILED", "a1")
    assert "exit code 7" in failure["message"]


def test_a_part_of_an_app_leaves_the_rest_as_it_is_and_a_whole_one_does_not(world: World) -> None:
    run(world, "/demo/web", labels={"a": "1"}, instances=2)
    world.cluster.service("/demo/web").scale(1)
    call(world, "PUT", "/v2/apps/demo/web", json={"env": {"X": "1"}})
    now = call(world, "GET", "/v2/apps/demo/web").json()["app"]
    assert (now["labels"], now["env"], now["instances"]) == ({"a": "1"}, {"X": "1"}, 1)
    assert now["versionInfo"]["lastConfigChangeAt"] == now["version"]
    world.cluster.service("/demo/web").scale(2)
    scaled = call(world, "GET", "/v2/apps/demo/web").json()["app"]
    assert scaled["version"] == now["version"] < scaled["versionInfo"]["lastScalingAt"]
    call(world, "PATCH", "/v2/apps", json=[{"id": "/demo/web", "instances": 3}])
    assert call(world, "GET", "/v2/apps/demo/web").json()["app"]["env"] == {"X": "1"}
    call(world, "PUT", "/v2/apps/demo/web?partialUpdate=false", json=app("/demo/web"))
    now = call(world, "GET", "/v2/apps/demo/web").json()["app"]
    assert (now["labels"], now["env"], now["instances"]) == ({}, {}, 1)


def test_of_many_apps_none_is_changed_where_one_is_wrong(world: World) -> None:
    bodies = [app("/demo/a"), app("/demo/b", cpus=-1)]
    assert call(world, "PUT", "/v2/apps", json=bodies).status_code == 422
    assert call(world, "GET", "/v2/apps").json() == {"apps": []}
    answer = call(world, "PUT", "/v2/apps", json=[app("/demo/a"), app("/demo/b")], headers={"Idempotency-Key": "k"})
    assert answer.status_code == 200 and answer.json()["deploymentId"]
    again = call(world, "PUT", "/v2/apps", json=[app("/demo/a"), app("/demo/b")], headers={"Idempotency-Key": "k"})
    assert again.json()["version"] == answer.json()["version"]
    assert len(call(world, "GET", "/v2/apps").json()["apps"]) == 2
    assert call(world, "PUT", "/v2/apps", json={"id": "/a"}).status_code == 422
    assert call(world, "PUT", "/v2/apps", json=[{"cmd": "x"}]).json()["details"][0]["path"] == "/(0)/id"


def test_tasks_of_all_apps_as_json_and_as_lines(world: World) -> None:
    run(world, "/demo/web", instances=2, portDefinitions=[{"port": 0, "name": "http"}, {"port": 0, "name": "admin"}])
    run(world, "/demo/plain", portDefinitions=[])
    world.cluster.run(orch.Pod("/demo/pod", containers=[orch.Container("c", cmd="serve", cpus=0.1)])).wait(10)
    tasks = call(world, "GET", "/v2/tasks").json()["tasks"]
    assert [task["id"] for task in tasks] == ["demo_plain.1", "demo_web.1", "demo_web.2"]
    assert len(tasks[1]["ports"]) == len(tasks[1]["servicePorts"]) == 2
    assert len(call(world, "GET", "/v2/tasks?status=running").json()["tasks"]) == 3
    assert call(world, "GET", "/v2/tasks?status=staging").json()["tasks"] == []
    text = call(world, "GET", "/v2/tasks", headers={"Accept": "text/plain"})
    assert text.headers["content-type"].startswith("text/plain")
    plain, http, admin = text.text.splitlines()
    assert plain == "demo_plain\t \t127.0.0.1 "
    ports = [task["ports"] for task in tasks[1:]]
    assert http.split("\t") == ["demo_web", "0", *(f"127.0.0.1:{one[0]}" for one in ports), ""]
    assert admin.split("\t")[2:] == [*(f"127.0.0.1:{one[1]}" for one in ports), ""]
    assert call(world, "GET", "/v2/apps/demo/web/tasks", headers={"Accept": "text/plain"}).text == f"{http}\n{admin}\n"


def test_tasks_are_stopped_by_their_ids_whatever_app_they_are_of(world: World) -> None:
    run(world, "/demo/a", instances=2)
    run(world, "/demo/b")
    body = {"ids": ["demo_a.1", "demo_b.1", "demo_b.77"]}
    stopped = call(world, "POST", "/v2/tasks/delete", json=body, headers={"Idempotency-Key": "k"}).json()["tasks"]
    assert [task["id"] for task in stopped] == ["demo_a.1", "demo_b.1"]
    world.cluster.service("/demo/b").wait(10)
    assert call(world, "GET", "/v2/apps/demo/a").json()["app"]["instances"] == 2
    assert call(world, "POST", "/v2/tasks/delete?scale=true", json={"ids": ["demo_a.2"]}).json()["deploymentId"]
    assert call(world, "GET", "/v2/apps/demo/a").json()["app"]["instances"] == 1
    assert call(world, "POST", "/v2/tasks/delete", json={"ids": ["!"]}).status_code == 400
    assert call(world, "POST", "/v2/tasks/delete", json={"id": []}).status_code == 422
    assert call(world, "POST", "/v2/tasks/delete?scale=true&wipe=true", json={"ids": []}).status_code == 400
    assert call(world, "DELETE", "/v2/apps/demo/a/tasks?host=127.0.0.1").json()["tasks"] != []


def test_the_queue_tells_what_waits_and_what_rules_each_agent_out(world: World) -> None:
    call(world, "POST", "/v2/apps", json=app("/big/cpus", cpus=64, mem=65536, instances=2))
    call(world, "POST", "/v2/apps", json=app("/big/one", constraints=[["zone", "CLUSTER", "a1"]], cpus=3))
    call(world, "POST", "/v2/apps", json=app("/big/two", constraints=[["zone", "LIKE", "a9"]]))
    call(world, "POST", "/v2/pods", json={"id": "/big/pod", "containers": [
        {"name": "c", "exec": {"command": {"shell": "serve"}}, "resources": {"cpus": 0.1, "mem": 9000}}]})  # fmt: skip
    plain = call(world, "GET", "/v2/queue").json()["queue"]
    assert [(one.get("app") or one["pod"])["id"] for one in plain] == ["/big/cpus", "/big/pod", "/big/two"]
    assert "lastUnusedOffers" not in plain[0]
    cpus, pod, two = call(world, "GET", "/v2/queue?embed=lastUnusedOffers").json()["queue"]
    assert cpus["count"] == 2 and cpus["delay"] == {"timeLeftSeconds": 0, "overdue": True}

    def steps(item: dict[str, Any]) -> dict[str, tuple[int, int]]:
        found = item["processedOffersSummary"]
        assert (found["processedOffersCount"], found["unusedOffersCount"]) == (2, 2)
        return {one["reason"]: (one["declined"], one["processed"]) for one in found["rejectSummaryLastOffers"]}

    assert steps(cpus)["InsufficientCpus"] == (2, 2) and steps(cpus)["InsufficientMemory"] == (0, 0)
    assert steps(pod)["InsufficientMemory"] == (2, 2) and steps(pod)["InsufficientCpus"] == (0, 2)
    assert steps(two)["UnfulfilledConstraint"] == (2, 2) and list(steps(two)) == list(launch_queue.REASONS)
    assert [one["reason"] for one in cpus["lastUnusedOffers"]] == [["InsufficientCpus", "InsufficientMemory"]] * 2
    offer = two["lastUnusedOffers"][1]["offer"]
    assert offer["agentId"] == "a2" and {"name": "zone", "text": "a2"} in offer["attributes"]
    assert {"name": "mem", "role": "*", "scalar": 8192} in offer["resources"]
    assert call(world, "DELETE", "/v2/queue/big/cpus/delay").status_code == 204
    assert call(world, "DELETE", "/v2/queue/big/one/delay").status_code == 404


def test_every_predicate_has_a_word_of_marathon() -> None:
    for name in resources.NAMES:
        assert launch_queue.reason_of(name).startswith("Insufficient")
    assert (
        launch_queue.reason_of("draining") == "AgentMaintenance"
        and launch_queue.reason_of("reserved") == "UnfulfilledRole"
    )
    assert launch_queue.reason_of("constraint:host port 31000") == "InsufficientPorts"
    assert launch_queue.reason_of("constraint:UNIQUE hostname") == "UnfulfilledConstraint"


def test_a_delay_that_is_reset_is_over(world: World) -> None:
    call(
        world, "POST", "/v2/apps", json=app("/demo/bad", cmd="exit 1", backoffSeconds=1000, maxLaunchDelaySeconds=2000)
    )

    def delay() -> Any:
        found = call(world, "GET", "/v2/queue").json()["queue"]
        return found and found[0]["delay"]["timeLeftSeconds"] > 900 and found[0]

    item = deadline(delay, "it does not wait")
    assert item["delay"]["overdue"] is False
    assert call(world, "DELETE", "/v2/queue//demo/bad/delay").status_code == 204
    deadline(
        lambda: call(world, "GET", "/v2/apps/demo/bad").json()["app"]["lastTaskFailure"]["taskId"] == "demo_bad.2", "no"
    )


def test_a_restart_brings_a_new_version_of_the_same(world: World) -> None:
    run(world, "/demo/web")
    before = call(world, "GET", "/v2/apps/demo/web").json()["app"]
    answer = call(world, "POST", "/v2/apps/demo/web/restart?force=true")
    assert answer.status_code == 200 and answer.json()["version"] > before["version"]
    world.cluster.service("/demo/web").wait(10)
    after = deadline(
        lambda: [one for one in [call(world, "GET", "/v2/apps/demo/web").json()["app"]] if len(one["tasks"]) == 1],
        "two",
    )[0]
    assert after["tasks"][0]["id"] == "demo_web.2" and after["cmd"] == before["cmd"]
    assert call(world, "POST", "/v2/apps/demo/none/restart").status_code == 404


def test_pods_are_served(world: World) -> None:
    answer = call(world, "HEAD", "/v2/pods")
    assert answer.status_code == 200 and answer.content == b""


def test_stats_of_tasks_are_counted_by_version() -> None:
    rows = [
        {"state": "RUNNING", "healthy": True, "version": 2, "started_ms": 1_000, "launched_ms": 900},
        {"state": "RUNNING", "healthy": False, "version": 1, "started_ms": 3_000, "launched_ms": 2_900},
        {"state": "STAGING", "healthy": None, "version": 1, "started_ms": None, "launched_ms": 5_000},
    ]
    found = task_stats(rows, 2, 2_000, 11_000)
    assert found["withLatestConfig"]["stats"] == {
        "counts": {"staged": 0, "running": 1, "healthy": 1, "unhealthy": 0},
        "lifeTime": {"averageSeconds": 10.0, "medianSeconds": 10.0},
    }
    assert found["withOutdatedConfig"]["stats"]["counts"] == {"staged": 1, "running": 1, "healthy": 0, "unhealthy": 1}
    assert found["startedAfterLastScaling"] == found["withOutdatedConfig"]
    assert found["totalSummary"]["stats"]["lifeTime"] == {"averageSeconds": 9.0, "medianSeconds": 9.0}
    assert task_stats([], 2, 2_000, 11_000) == {}


def test_what_the_cluster_is_in_marathon_s_words(world: World) -> None:
    info = call(world, "GET", "/v2/info").json()
    assert info["frameworkId"] == "0123abcd" and info["http_config"]["http_port"] == world.port and "agents" not in info
    assert call(world, "GET", "/v2/info::orch").json()["agents"] == {"READY": 2}
    assert call(world, "GET", "/v2/leader").json() == {"leader": f"127.0.0.1:{world.port}"}
    assert call(world, "DELETE", "/v2/leader").json() == {"message": "Leadership abdicated"}
    found = call(world, "GET", "/metrics", headers={"Accept": "application/json"}).json()
    assert found["gauges"]["orch_agents.state.READY"] == {"value": 2.0}
    assert call(world, "GET", "/metrics/prometheus").text.startswith("#")


def test_errors_are_plain_json_to_who_asks_for_it(world: World) -> None:
    plain = call(world, "GET", "/v2/apps/none", headers={"Accept": "application/json"})
    assert (
        plain.headers["content-type"] == "application/json" and plain.json()["message"] == "App '/none' does not exist"
    )
    assert call(world, "GET", "/v2/apps/none").headers["content-type"] == "application/problem+json"


def test_the_life_of_an_app_in_marathon_s_events(world: World) -> None:
    check = {"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0}
    with httpx.stream("GET", f"{world.url}/v2/events", headers=world.headers(), timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        assert reader.next()["eventType"] == "event_stream_attached"
        run(world, "/demo/web", healthChecks=[check], portDefinitions=[{"port": 0}])
        seen = reader.until("instance_health_changed_event")
        kinds = [one["eventType"] for one in seen]
        assert kinds[:3] == ["api_post_event", "group_change_success", "add_health_check_event"]
        assert seen[0]["uri"] == "/v2/apps" and seen[0]["appDefinition"]["cmd"] == "serve" and seen[0]["clientIp"]
        updates = [one for one in seen if one["eventType"] == "status_update_event"]
        assert [one["taskStatus"] for one in updates] == ["TASK_STAGING", "TASK_RUNNING"]
        version = call(world, "GET", "/v2/apps/demo/web").json()["app"]["version"]
        assert {name: updates[1][name] for name in ("appId", "taskId", "slaveId", "host", "version")} == {
            "appId": "/demo/web", "taskId": "demo_web.1", "slaveId": "a1", "host": "127.0.0.1", "version": version,
        }  # fmt: skip
        assert len(updates[1]["ports"]) == 1
        changes = [one["condition"] for one in seen if one["eventType"] == "instance_changed_event"]
        assert changes == ["Staging", "Running"]
        assert kinds[-2] == "health_status_changed_event" and seen[-2]["alive"] is True and seen[-1]["healthy"] is True
        call(world, "DELETE", "/v2/apps/demo/web")
        seen = reader.until("app_terminated_event", appId="/demo/web")
        assert seen[0]["eventType"] == "api_post_event" and seen[-2]["eventType"] == "remove_health_check_event"
        assert [one["taskStatus"] for one in seen if one["eventType"] == "status_update_event"][-1] == "TASK_KILLED"


def test_an_instance_that_becomes_unhealthy_and_is_killed_for_it(world: World) -> None:
    check = {"protocol": "MESOS_HTTP", "path": "/", "portIndex": 0}
    run(world, "/demo/web", healthChecks=[check], portDefinitions=[{"port": 0}])
    with httpx.stream("GET", f"{world.url}/v2/events", headers=world.headers(), timeout=20) as answer:
        reader = Reader(answer)
        reader.until("event_stream_attached")
        agent = world.agents["a1"]
        number = next(iter(agent.rows))
        world.do(lambda: agent.become([number], State.FAILED, -9, reason_of_health()))
        seen = reader.until("unhealthy_instance_kill_event")
        assert seen[-1]["instanceId"] == "demo_web.1" and seen[-1]["slaveId"] == "a1" and seen[-1]["reason"]
        assert reader.until("status_update_event")[-1]["taskStatus"] == "TASK_FAILED"


def reason_of_health() -> Any:
    from orch.model.reasons import Reason

    return Reason.HEALTH_CHECK


def test_only_the_types_that_are_asked_for_and_pods_have_their_own(world: World) -> None:
    query = "?event_type=pod_created_event&event_type=pod_updated_event&event_type=pod_deleted_event"
    pod = {"id": "/demo/pod", "containers": [
        {"name": "c", "exec": {"command": {"shell": "serve"}}, "resources": {"cpus": 0.1, "mem": 32}}]}  # fmt: skip
    with httpx.stream("GET", f"{world.url}/v2/events{query}", headers=world.headers(), timeout=20) as answer:
        reader = Reader(answer)
        deadline(lambda: world.do(lambda: world.follower.subscribers) == 1, "nobody subscribed")
        call(world, "POST", "/v2/pods", json=pod)
        call(world, "PUT", "/v2/pods/demo/pod", json={**pod, "labels": {"a": "b"}})
        call(world, "DELETE", "/v2/pods/demo/pod")
        seen = [reader.next() for _ in range(3)]
    assert [(one["eventType"], one["uri"]) for one in seen] == [
        ("pod_created_event", "/v2/pods"), ("pod_updated_event", "/v2/pods/demo/pod"),
        ("pod_deleted_event", "/v2/pods/demo/pod"),
    ]  # fmt: skip
    deadline(lambda: world.do(lambda: world.follower.subscribers) == 0, "the subscription is still there")


def test_a_reader_that_falls_behind_is_cut_off(world: World) -> None:
    with httpx.stream("GET", f"{world.url}/v2/events", headers=world.headers(), timeout=20) as answer:
        reader = Reader(answer)
        reader.until("event_stream_attached")
        world.do(lambda: [one.lose() for one in world.follower._subscriptions])
        with pytest.raises(StopIteration):
            reader.next()
