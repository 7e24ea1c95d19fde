"""Services over HTTP: Marathon's shapes for pods and apps, and our own for both."""

from __future__ import annotations

import threading
from typing import Any

import httpx

from orch.model.reasons import Reason
from orch.model.states import State
from tests.api.world import World, deadline

CONTAINER = {
    "name": "app",
    "exec": {"command": {"shell": "serve"}},
    "resources": {"cpus": 0.1, "mem": 32},
    "endpoints": [{"name": "http", "hostPort": 0}],
    "healthCheck": {"http": {"endpoint": "http", "path": "/"}},
}
POD: dict[str, Any] = {"id": "/demo/web", "containers": [CONTAINER], "scaling": {"kind": "fixed", "instances": 2}}
APP: dict[str, Any] = {"id": "/demo/sleep", "cmd": "sleep 100", "cpus": 0.1, "mem": 32, "instances": 2}


def send(world: World, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {**world.headers(), **how.pop("headers", {})}
    return httpx.request(method, world.url + path, headers=headers, timeout=20, **how)


def settled(world: World, path: str) -> dict[str, Any]:
    found = send(world, "GET", f"/v2/services{path}::wait?timeout_ms=10000").json()
    assert found["done"], found
    status: dict[str, Any] = found["status"]
    return status


def test_a_pod_is_created_shown_changed_and_deleted(world: World) -> None:
    created = send(world, "POST", "/v2/pods", json=POD)
    assert created.status_code == 201 and created.headers["location"] == "/v2/pods/demo/web"
    assert created.headers["marathon-deployment-id"]
    assert created.json()["networks"] == [{"mode": "host", "labels": {}}]
    shown = send(world, "GET", "/v2/pods/demo/web")
    assert shown.status_code == 200 and shown.json() == created.json()
    assert send(world, "GET", "/v2/pods").json() == [shown.json()]
    again = send(world, "POST", "/v2/pods", json=POD)
    assert again.status_code == 409 and "orch stop /demo/web" in again.json()["message"]
    changed = send(world, "PUT", "/v2/pods/demo/web", json={**POD, "scaling": {"kind": "fixed", "instances": 3}})
    assert changed.status_code == 200
    assert settled(world, "/demo/web")["instances"] == 3
    deleted = send(world, "DELETE", "/v2/pods/demo/web")
    assert deleted.status_code == 202 and deleted.headers["marathon-deployment-id"]
    gone = send(world, "GET", "/v2/services/demo/web::wait?for=gone&timeout_ms=10000").json()
    assert gone["done"] and gone["status"]["instances"] == 0
    assert send(world, "GET", "/v2/pods/demo/web").status_code == 404
    assert send(world, "DELETE", "/v2/pods/demo/web").status_code == 404
    assert send(world, "PUT", "/v2/pods/demo/web", json=POD).status_code == 201


def test_the_status_of_a_pod(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    settled(world, "/demo/web")
    status = send(world, "GET", "/v2/pods/demo/web::status").json()
    assert (status["id"], status["status"], status["spec"]["id"]) == ("/demo/web", "STABLE", "/demo/web")
    one, two = status["instances"]
    assert [one["id"], two["id"]] == ["demo_web.1", "demo_web.2"]
    assert one["status"] == "STABLE" and one["agentHostname"] == "127.0.0.1"
    assert one["conditions"][0]["name"] == "healthy" and one["conditions"][0]["value"] == "true"
    container = one["containers"][0]
    assert container["status"] == "TASK_RUNNING" and container["endpoints"][0]["allocatedHostPort"] >= 31000
    assert send(world, "GET", "/v2/pods/demo/web::instances").json() == status["instances"]
    assert send(world, "GET", "/v2/pods::status").json()[0]["id"] == "/demo/web"
    assert send(world, "GET", "/v2/pods/::status").json()[0]["id"] == "/demo/web"
    assert send(world, "GET", "/v2/pods/demo/other::status").status_code == 404


def test_instances_of_a_pod_are_killed_and_replaced(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    settled(world, "/demo/web")
    killed = send(world, "DELETE", "/v2/pods/demo/web::instances", json=["demo_web.1"])
    assert killed.status_code == 200 and killed.json()[0]["id"] == "demo_web.1"
    deadline(lambda: names(world) == ["demo_web.2", "demo_web.3"], "demo_web.1 was not replaced")
    settled(world, "/demo/web")
    assert send(world, "DELETE", "/v2/pods/demo/web::instances/demo_web.2").status_code == 200
    deadline(lambda: names(world) == ["demo_web.3", "demo_web.4"], "demo_web.2 was not replaced")
    history = send(world, "GET", "/v2/pods/demo/web::status").json()["terminationHistory"]
    assert [entry["instanceId"] for entry in history] == ["demo_web.2", "demo_web.1"]
    assert send(world, "DELETE", "/v2/pods/demo/web::instances/demo_web.99").status_code == 404
    assert send(world, "DELETE", "/v2/pods/demo/web::instances", json={"a": 1}).status_code == 422


def names(world: World) -> list[str]:
    return [row["id"] for row in send(world, "GET", "/v2/services/demo/web::instances").json()["items"]]


def test_an_app_is_created_shown_changed_and_deleted(world: World) -> None:
    created = send(world, "POST", "/v2/apps", json=APP)
    assert created.status_code == 201 and created.json()["id"] == "/demo/sleep"
    settled(world, "/demo/sleep")
    shown = send(world, "GET", "/v2/apps/demo/sleep").json()["app"]
    assert (shown["tasksRunning"], shown["tasksStaged"], shown["deployments"]) == (2, 0, [])
    assert [task["id"] for task in shown["tasks"]] == ["demo_sleep.1", "demo_sleep.2"]
    assert shown["tasks"][0]["state"] == "TASK_RUNNING" and shown["tasks"][0]["appId"] == "/demo/sleep"
    assert [app["id"] for app in send(world, "GET", "/v2/apps").json()["apps"]] == ["/demo/sleep"]
    partial = send(world, "PUT", "/v2/apps/demo/sleep", json={"instances": 1})
    assert partial.status_code == 200 and set(partial.json()) == {"version", "deploymentId"}
    assert settled(world, "/demo/sleep")["instances"] == 1
    assert send(world, "GET", "/v2/apps/demo/sleep").json()["app"]["cmd"] == "sleep 100"
    whole = send(world, "PUT", "/v2/apps/demo/sleep?partialUpdate=false", json={"instances": 1})
    assert whole.status_code == 422
    deleted = send(world, "DELETE", "/v2/apps/demo/sleep")
    assert deleted.status_code == 200 and deleted.json()["deploymentId"]
    missing = send(world, "GET", "/v2/apps/demo/nothing")
    assert missing.status_code == 404 and missing.json()["message"].startswith("App '/demo/nothing' does not exist")


def test_the_tasks_of_an_app(world: World) -> None:
    send(world, "POST", "/v2/apps", json=APP)
    settled(world, "/demo/sleep")
    tasks = send(world, "GET", "/v2/apps/demo/sleep/tasks").json()["tasks"]
    assert [task["id"] for task in tasks] == ["demo_sleep.1", "demo_sleep.2"]
    answer = send(world, "DELETE", "/v2/apps/demo/sleep/tasks/demo_sleep.1?scale=true")
    assert answer.json()["deploymentId"] and answer.headers["marathon-deployment-id"]
    assert settled(world, "/demo/sleep")["instances"] == 1
    assert send(world, "DELETE", "/v2/apps/demo/sleep/tasks/demo_sleep.77").status_code == 404


def test_a_pod_is_no_app_and_the_other_way_round(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    assert send(world, "GET", "/v2/apps/demo/web").status_code == 404
    assert send(world, "GET", "/v2/apps").json() == {"apps": []}
    assert send(world, "POST", "/v2/apps", json={**APP, "id": "/demo/web"}).status_code == 409
    send(world, "POST", "/v2/apps", json=APP)
    assert send(world, "GET", "/v2/pods/demo/sleep").status_code == 404
    assert [pod["id"] for pod in send(world, "GET", "/v2/pods").json()] == ["/demo/web"]


def test_the_id_in_the_body_is_that_of_the_url(world: World) -> None:
    answer = send(world, "PUT", "/v2/pods/demo/web", json={**POD, "id": "/demo/other"})
    assert answer.status_code == 422 and answer.json()["details"][0]["path"] == "/id"
    body = {name: value for name, value in POD.items() if name != "id"}
    assert send(world, "PUT", "/v2/pods/demo/web", json=body).status_code == 201


def test_our_own_view_of_services(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    send(world, "POST", "/v2/apps", json=APP)
    settled(world, "/demo/web"), settled(world, "/demo/sleep")
    listed = send(world, "GET", "/v2/services").json()
    assert [(one["id"], one["kind"], one["running"]) for one in listed["items"]] == [
        ("/demo/sleep", "app", 2),
        ("/demo/web", "pod", 2),
    ]
    page = send(world, "GET", "/v2/services?limit=1").json()
    assert page["next"] == "/demo/sleep"
    assert send(world, "GET", f"/v2/services?offset={page['next']}").json()["items"][0]["id"] == "/demo/web"
    assert send(world, "GET", "/v2/services?under=/other").json()["items"] == []
    one = send(world, "GET", "/v2/services/demo/web?story=true").json()
    assert one["spec"]["id"] == "/demo/web" and one["story"][0]["what"] == "put"
    assert send(world, "GET", "/v2/services/demo/none").status_code == 404


def test_scaling(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    assert send(world, "PUT", "/v2/services/demo/web::scale", json={"instances": 4}).json()["instances"] == 4
    assert settled(world, "/demo/web")["running"] == 4
    for bad, place in [({"instances": -1}, "/instances"), ({"instances": True}, "/instances"), ({}, "/instances"),
                       ({"instances": 1, "x": 1}, "/x"), ({"instances": "3"}, "/instances"), ([], "/")]:  # fmt: skip
        answer = send(world, "PUT", "/v2/services/demo/web::scale", json=bad)
        assert answer.status_code == 422 and answer.json()["details"][0]["path"] == place
    assert send(world, "PUT", "/v2/services/demo/no::scale", json={"instances": 1}).status_code == 404


def test_who_waits_for_a_service_is_told_when_it_is_ready(world: World) -> None:
    for agent in world.agents.values():
        agent.paused = True
    send(world, "POST", "/v2/pods", json=POD)
    late = send(world, "GET", "/v2/services/demo/web::wait?timeout_ms=50").json()
    assert late["done"] is False and late["status"]["ready"] == 0

    def resume() -> None:
        for agent in world.agents.values():
            agent.resume()

    threading.Timer(0.1, lambda: world.do(resume)).start()
    assert settled(world, "/demo/web")["ready"] == 2
    assert send(world, "GET", "/v2/services/demo/no::wait").status_code == 404


def test_a_service_that_crashes_at_once_is_never_said_to_run(world: World) -> None:
    send(world, "POST", "/v2/apps", json={**APP, "cmd": "exit 4", "instances": 1, "backoffSeconds": 0.01})
    answer = send(world, "GET", "/v2/services/demo/sleep::wait?timeout_ms=1000").json()
    assert answer["done"] is False
    assert any(row["exit_code"] == 4 for row in send(world, "GET", "/v2/services/demo/sleep").json()["ended"])


def test_who_waits_longer_than_an_instance_needs_to_be_steady_is_told_at_once(world: World) -> None:
    send(world, "POST", "/v2/apps", json={**APP, "instances": 1})
    assert send(world, "GET", "/v2/services/demo/sleep::wait?timeout_ms=10000").json()["done"] is True
    assert send(world, "GET", "/v2/services/demo/sleep::wait?timeout_ms=5").json()["done"] is True


def test_one_key_is_one_change(world: World) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = send(world, "POST", "/v2/pods", json=POD, headers=headers)
    second = send(world, "POST", "/v2/pods", json=POD, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201) and first.json() == second.json()
    other = send(world, "POST", "/v2/pods", json={**POD, "id": "/demo/other"}, headers=headers)
    assert other.status_code == 409 and "used before for something else" in other.json()["detail"]
    assert send(world, "GET", "/v2/services/demo/other").status_code == 404


def test_now_refuses_a_service_that_has_no_room(world: World) -> None:
    big = {**APP, "cpus": 100}
    answer = send(world, "POST", "/v2/apps?now=true", json=big)
    assert answer.status_code == 409 and answer.json()["why"]["never"] is True
    nowhere = {**APP, "constraints": [["zone", "IS", "elsewhere"]]}
    answer = send(world, "POST", "/v2/apps?now=true", json=nowhere)
    assert answer.status_code == 409 and answer.json()["why"]["ruled_out"] == [{"predicate": "constraint", "agents": 2}]
    assert send(world, "GET", "/v2/apps").json() == {"apps": []}
    assert send(world, "POST", "/v2/apps?now=true", json=APP).status_code == 201


def test_an_instance_is_looked_at_and_stopped(world: World) -> None:
    send(world, "POST", "/v2/pods", json=POD)
    settled(world, "/demo/web")
    row = send(world, "GET", "/v2/instances/demo_web.1?story=true").json()
    assert row["state"] == "RUNNING" and row["agent"] in world.agents and row["endpoints"][0]["name"] == "http"
    assert [one["exit_code"] for one in row["containers"]] == [None] and row["exit_code"] is None
    assert [note["what"] for note in row["story"]] == ["launched", "RUNNING"], "each step once, in words"
    assert {note["agent"] for note in row["story"]} == {row["agent"]}
    assert send(world, "GET", f"/v2/instances/{row['number']}").json()["id"] == "demo_web.1"
    assert send(world, "DELETE", "/v2/instances/demo_web.1?scale=true").status_code == 202
    ended = send(world, "GET", "/v2/instances/demo_web.1/wait?timeout_ms=10000").json()
    assert ended["done"] and ended["instance"]["state"] == "KILLED"
    assert settled(world, "/demo/web")["instances"] == 1
    for unknown in ("demo_web.99", "77", "nothing", str(2**70), "demo_job.j5.0"):
        assert send(world, "GET", f"/v2/instances/{unknown}").status_code == 404, unknown


def test_a_pod_of_a_job_is_stopped_and_the_others_go_on(world: World) -> None:
    send(
        world, "POST", "/v2/jobs", json={"id": "/demo/job", "cmd": "sleep 9", "cpus": 0.1, "instances": 3, "retries": 2}
    )
    smaller = send(world, "DELETE", "/v2/instances/demo_job.j1.1?scale=true")
    assert smaller.status_code == 400 and "scale is for services" in smaller.json()["detail"]
    answer = send(world, "DELETE", "/v2/instances/demo_job.j1.1")
    assert answer.status_code == 202 and answer.json()["reason"] == "STOPPED_BY_USER"
    ended = send(world, "GET", "/v2/instances/demo_job.j1.1/wait?for=terminal&timeout=10").json()["instance"]
    assert (ended["state"], ended["reason"], ended["attempt"]) == ("KILLED", "STOPPED_BY_USER", 1)
    states = send(world, "GET", "/v2/jobs/1").json()["states"]
    assert states.pop("KILLED") == 1 and sum(states.values()) == 2 and not {"FINISHED", "KILLING"} & set(states)


def test_agents_are_listed_and_drained(world: World) -> None:
    agents = send(world, "GET", "/v2/agents").json()["items"]
    assert [(agent["name"], agent["state"], agent["total"]["cpus"]) for agent in agents] == [
        ("a1", "READY", 4),
        ("a2", "READY", 4),
    ]
    assert send(world, "GET", "/v2/agents?limit=1").json()["next"] == 1
    drained = send(world, "POST", "/v2/agents/a1/drain", json={"drain": True})
    assert drained.json()["state"] == "DRAINING" and drained.json()["drained"] is True
    send(world, "POST", "/v2/apps", json=APP)
    settled(world, "/demo/sleep")
    assert send(world, "GET", "/v2/agents/a1/instances").json()["items"] == []
    on_two = send(world, "GET", "/v2/agents/a2/instances?limit=1").json()
    assert on_two["items"][0]["id"] == "demo_sleep.1" and on_two["next"] == 1
    assert send(world, "POST", "/v2/agents/a1/drain", json={"drain": False}).json()["state"] == "READY"
    assert send(world, "POST", "/v2/agents/a9/drain", json={"drain": True}).status_code == 404
    assert send(world, "GET", "/v2/agents/a9").status_code == 404
    busy = send(world, "DELETE", "/v2/agents/a2")
    assert busy.status_code == 409
    assert send(world, "GET", "/v2/agents/a1?story=true").json()["story"]


def test_a_failed_instance_is_told_with_its_end(world: World) -> None:
    send(world, "POST", "/v2/apps", json={**APP, "instances": 1, "backoffSeconds": 1000, "maxLaunchDelaySeconds": 1000})
    settled(world, "/demo/sleep")
    agent, number = next((agent, number) for agent in world.agents.values() for number in agent.rows)
    world.do(lambda: agent.become([number], State.FAILED, 3, Reason.EXITED))
    deadline(lambda: send(world, "GET", "/v2/instances/demo_sleep.1").json()["state"] == "FAILED", "it did not fail")
    row = send(world, "GET", "/v2/instances/demo_sleep.1").json()
    assert (row["exit_code"], row["reason"]) == (3, "EXITED") and "exit code 3" in row["note"]
    why = send(world, "GET", "/v2/why/demo/sleep").json()
    assert why["waiting"] == "backoff" and "demo_sleep.1 ended FAILED with exit code 3" in why["sentence"]
    assert why["agents"] == why["feasible"] + sum(one["agents"] for one in why["ruled_out"]) == 2
    service = send(world, "GET", "/v2/services/demo/sleep").json()
    assert service["states"] == {"SCHEDULED": 1} and "exit code 3" in service["note"]
    assert service["ended"][0]["id"] == "demo_sleep.1"
