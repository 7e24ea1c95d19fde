"""The `marathon` package of PyPI, as it is, drives a running cluster: each of its client's methods, one by one."""

from __future__ import annotations

import collections
import collections.abc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orch.cluster.bring_up import up
from orch.cluster.take_down import down

# The package writes JSON with a name that Python had until 3.9.
if not hasattr(collections, "Iterable"):
    setattr(collections, "Iterable", collections.abc.Iterable)  # noqa: B010

from marathon import MarathonApp, MarathonClient
from marathon.exceptions import ConflictError, MarathonHttpError, NotFoundError
from marathon.models import events
from marathon.models.app import MarathonHealthCheck, PortDefinition

GONE = {"list_event_subscriptions", "create_event_subscription", "delete_event_subscription"}
"""Marathon itself serves them no more since version 1.5."""
WITH_GROUPS = {
    "create_group", "list_groups", "get_group", "update_group", "rollback_group", "delete_group", "scale_group",
    "list_versions", "get_version", "rollback_app", "list_deployments", "delete_deployment",
}  # fmt: skip
"""They come with `/v2/groups` and `/v2/deployments`."""
LIMIT_S = 90.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A cluster of two agents, with real processes."""
    data_dir = tmp_path_factory.mktemp("cluster") / "data"
    try:
        yield up(agents=2, data_dir=data_dir)
    finally:
        down(data_dir=data_dir, purge=True, grace_s=20)


@pytest.fixture
def client(place: dict[str, Any]) -> MarathonClient:
    """Basic authentication, because the package's event stream sends nothing else."""
    return MarathonClient(place["url"], username="admin", password=Path(place["token_file"]).read_text().strip())


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


def sleeper(**more: Any) -> MarathonApp:
    return MarathonApp(**{"cmd": "exec sleep 100000", "cpus": 0.01, "mem": 8, "instances": 1, **more})


def running(client: MarathonClient, path: str, count: int) -> list[Any]:
    """The instances of an app, once so many run."""

    def look() -> Any:
        tasks = client.list_tasks(path)
        return (tasks,) if [task.state for task in tasks] == ["TASK_RUNNING"] * count else None

    (found,) = eventually(look, f"{path} has not {count} running instances")
    return list(found)


# ---- one function a method --------------------------------------------------------------------------------------


def create_app(client: MarathonClient) -> None:
    app = sleeper(
        labels={"tier": "web"},
        port_definitions=[PortDefinition(port=0, name="http", protocol="tcp")],
        health_checks=[MarathonHealthCheck(protocol="COMMAND", command="true", interval_seconds=1)],
    )
    made = client.create_app("/client/create", app)
    assert made.id == "/client/create" and made.labels == {"tier": "web"} and made.deployments
    assert made.health_checks[0].command["value"] == "true"
    (task,) = running(client, "/client/create", 1)
    assert task.app_id == "/client/create" and len(task.ports) == 1 and task.started_at is not None
    eventually(lambda: client.get_app("/client/create").tasks_healthy == 1, "it is not healthy")
    with pytest.raises(ConflictError, match="/client/create exists"):
        client.create_app("/client/create", sleeper())
    with pytest.raises(MarathonHttpError) as refused:
        client.create_app("/client/wrong", MarathonApp(cmd="true", cpus=-1))
    assert refused.value.status_code == 422 and refused.value.error_details[0]["path"] == "/cpus"


def list_apps(client: MarathonClient) -> None:
    client.create_app("/client/list/a", sleeper(labels={"env": "qa"}))
    client.create_app("/client/list/b", sleeper(cmd="exec sleep 200000", labels={"env": "prod", "x": "1"}, instances=0))
    running(client, "/client/list/a", 1)

    def ids(**asked: Any) -> list[str]:
        return [app.id.removeprefix("/client/list/") for app in client.list_apps(app_id="/client/list/", **asked)]

    assert ids() == ["a", "b"] and ids(cmd="200000") == ["b"] and ids(label="env==qa") == ["a"]
    assert ids(label="env in (qa, prod), x") == ["b"] and ids(label="env!=qa") == ["b"] and ids(label="y") == []
    assert ids(instances=0) == ["b"]
    (found,) = client.list_apps(app_id="/client/list/a", embed_tasks=True, embed_task_stats=True, embed_counts=True)
    assert found.tasks_running == 1 and [task.state for task in found.tasks] == ["TASK_RUNNING"]
    assert found.task_stats.total_summary.stats.counts.running == 1
    with pytest.raises(MarathonHttpError) as refused:
        client.list_apps(label="a ==")
    assert refused.value.status_code == 400


def get_app(client: MarathonClient) -> None:
    client.create_app("/client/get", sleeper(cmd="exit 3", backoff_seconds=60))
    eventually(lambda: client.get_app("/client/get").last_task_failure, "no failure")
    app = client.get_app("/client/get")
    failure = app.last_task_failure
    assert (failure.app_id, failure.state, failure.version) == ("/client/get", "TASK_FAILED", app.version)
    assert "exit code 3" in failure.message and failure.host
    with pytest.raises(NotFoundError, match="does not exist"):
        client.get_app("/client/nothing")


def restart_app(client: MarathonClient) -> None:
    client.create_app("/client/again", sleeper())
    (before,) = running(client, "/client/again", 1)
    answer = client.restart_app("/client/again", force=True)
    assert answer["deploymentId"] and answer["version"] > before.version
    eventually(lambda: [task.id for task in running(client, "/client/again", 1)] != [before.id], "the old one runs")


def update_app(client: MarathonClient) -> None:
    client.create_app("/client/update", sleeper(labels={"a": "1"}))
    answer = client.update_app("/client/update", MarathonApp(env={"X": "y"}), force=True)
    app = client.get_app("/client/update")
    assert answer["version"] == app.version and (app.env, app.labels) == ({"X": "y"}, {"a": "1"})
    assert client.update_app("/client/update-new", sleeper())["deploymentId"]
    assert client.get_app("/client/update-new").instances == 1


def update_apps(client: MarathonClient) -> None:
    client.create_app("/client/many/a", sleeper(labels={"a": "1"}))
    answer = client.update_apps([MarathonApp(id="/client/many/a", instances=2), sleeper(id="/client/many/b")])
    assert answer["deploymentId"]
    app = client.get_app("/client/many/a")
    assert (app.instances, app.labels) == (2, {"a": "1"}) and client.get_app("/client/many/b").instances == 1


def delete_app(client: MarathonClient) -> None:
    client.create_app("/client/delete", sleeper())
    assert client.delete_app("/client/delete", force=True)["deploymentId"]
    eventually(lambda: not client.list_apps(app_id="/client/delete"), "it is still there")
    with pytest.raises(NotFoundError):
        client.delete_app("/client/delete")


def scale_app(client: MarathonClient) -> None:
    client.create_app("/client/scale", sleeper())
    client.scale_app("/client/scale", delta=1)
    running(client, "/client/scale", 2)
    client.scale_app("/client/scale", instances=0)
    running(client, "/client/scale", 0)


def list_tasks(client: MarathonClient) -> None:
    client.create_app("/client/listed", sleeper())
    (task,) = running(client, "/client/listed", 1)
    assert task.id in [one.id for one in client.list_tasks()]
    assert client.list_tasks("/client/listed", host=task.host)[0].id == task.id
    with pytest.raises(NotFoundError):
        client.list_tasks("/client/nothing")


def list_endpoints(client: MarathonClient) -> None:
    client.create_app("/client/ends", sleeper(port_definitions=[PortDefinition(port=0, name="http")]))
    (task,) = running(client, "/client/ends", 1)
    (found,) = [one for one in client.list_endpoints() if one.app_id == "/client/ends"]
    assert (found.task_id, found.task_port, found.host) == (task.id, task.ports[0], task.host)


def kill_given_tasks(client: MarathonClient) -> None:
    client.create_app("/client/given", sleeper(instances=2))
    one, two = running(client, "/client/given", 2)
    assert client.kill_given_tasks([one.id]) is True
    eventually(lambda: one.id not in [task.id for task in running(client, "/client/given", 2)], "it was not replaced")
    assert client.kill_given_tasks([two.id], scale=True, force=True) is True
    eventually(lambda: len(client.list_tasks("/client/given")) == 1, "it did not get smaller")
    assert client.get_app("/client/given").instances == 1


def kill_tasks(client: MarathonClient) -> None:
    client.create_app("/client/kill", sleeper(instances=2))
    before = {task.id for task in running(client, "/client/kill", 2)}
    assert client.kill_tasks("/client/kill", host="elsewhere") == []
    assert {task.id for task in client.kill_tasks("/client/kill", wipe=True)} == before
    eventually(lambda: not before & {task.id for task in running(client, "/client/kill", 2)}, "they were not replaced")
    assert client.kill_tasks("/client/kill", scale=True)["deploymentId"]
    running(client, "/client/kill", 0)
    with pytest.raises(MarathonHttpError) as refused:
        client.kill_tasks("/client/kill", scale=True, wipe=True)
    assert refused.value.status_code == 400


def kill_task(client: MarathonClient) -> None:
    client.create_app("/client/one", sleeper())
    (task,) = running(client, "/client/one", 1)
    assert client.kill_task("/client/one", task.id).id == task.id
    (other,) = eventually(
        lambda: [one for one in running(client, "/client/one", 1) if one.id != task.id], "it was not replaced"
    )
    with pytest.raises(NotFoundError):
        client.kill_task("/client/one", "client_one.99")
    assert client.kill_task("/client/one", other.id, scale=True)["deploymentId"]
    running(client, "/client/one", 0)


def list_queue(client: MarathonClient) -> None:
    client.create_app("/client/queue", sleeper(cpus=100_000))
    (item,) = [one for one in client.list_queue(embed_last_unused_offers=True) if one.app.id == "/client/queue"]
    assert (item.count, item.delay.overdue, item.delay.time_left_seconds) == (1, True, 0)
    steps = {step["reason"]: step for step in item.processed_offers_summary["rejectSummaryLastOffers"]}
    assert steps["InsufficientCpus"] == {"reason": "InsufficientCpus", "declined": 2, "processed": 2}
    assert steps["InsufficientMemory"]["processed"] == 0
    assert [offer["reason"] for offer in item.last_unused_offers] == [["InsufficientCpus"]] * 2
    assert {offer["offer"]["agentId"] for offer in item.last_unused_offers} == {"a1", "a2"}


def reset_delay(client: MarathonClient) -> None:
    client.create_app("/client/delay", sleeper(cmd="exit 1", backoff_seconds=3000, max_launch_delay_seconds=3600))

    def waits() -> Any:
        found = [one for one in client.list_queue() if one.app.id == "/client/delay"]
        return found and not found[0].delay.overdue and found[0].delay.time_left_seconds > 2900

    eventually(waits, "it does not wait")
    first = client.get_app("/client/delay").last_task_failure.task_id
    client.reset_delay("/client/delay")
    eventually(lambda: client.get_app("/client/delay").last_task_failure.task_id != first, "it was not launched again")
    with pytest.raises(NotFoundError):
        client.reset_delay("/client/nothing")


def get_info(client: MarathonClient) -> None:
    found = client.get_info()
    assert found.elected is True and found.framework_id and found.version and found.name == "orch"
    assert f":{found.http_config.http_port}" in client.servers[0] and found.leader in client.servers[0]


def get_leader(client: MarathonClient) -> None:
    assert client.get_leader()["leader"] in client.servers[0]


def delete_leader(client: MarathonClient) -> None:
    assert client.delete_leader() == {"message": "Leadership abdicated"}
    assert client.get_leader()["leader"] in client.servers[0]


def ping(client: MarathonClient) -> None:
    assert client.ping().strip() == b"pong"


def get_metrics(client: MarathonClient) -> None:
    found = client.get_metrics()
    assert found["gauges"]["orch_agents.state.READY"] == {"value": 2.0} and found["counters"]


def event_stream(client: MarathonClient) -> None:
    stream = client.event_stream()
    attached = next(stream)
    assert isinstance(attached, events.MarathonEventStreamAttached) and attached.remote_address
    client.create_app("/client/events", sleeper())
    seen: list[Any] = []
    while not any(getattr(one, "task_status", "") == "TASK_RUNNING" for one in seen):
        seen.append(next(stream))
    kinds = [one.event_type for one in seen]
    assert kinds[0] == "api_post_event" and {"instance_changed_event", "status_update_event"} <= set(kinds)
    last = next(one for one in seen if getattr(one, "task_status", "") == "TASK_RUNNING")
    assert (last.app_id, last.task_id) == ("/client/events", "client_events.1") and last.host and last.slave_id
    only = client.event_stream(event_types=[events.MarathonAppTerminatedEvent], raw=True)
    client.delete_app("/client/events")
    assert '"appId":"/client/events"' in next(only)


CASES: dict[str, Callable[[MarathonClient], None]] = {
    case.__name__: case
    for case in (
        create_app, list_apps, get_app, restart_app, update_app, update_apps, delete_app, scale_app, list_tasks,
        list_endpoints, kill_given_tasks, kill_tasks, kill_task, list_queue, reset_delay, get_info, get_leader,
        delete_leader, ping, get_metrics, event_stream,
    )
}  # fmt: skip
METHODS = sorted({name for name in vars(MarathonClient) if not name.startswith("_")} - GONE - WITH_GROUPS)


@pytest.mark.parametrize("method", METHODS)
def test_the_client_s(client: MarathonClient, method: str) -> None:
    CASES[method](client)


def test_the_token_of_dcos_is_taken(place: dict[str, Any]) -> None:
    token = Path(place["token_file"]).read_text().strip()
    assert MarathonClient(place["url"], auth_token=token).get_leader()["leader"]
    with pytest.raises(MarathonHttpError) as refused:
        MarathonClient(place["url"], auth_token=f"{token}x").get_leader()
    assert refused.value.status_code == 401
