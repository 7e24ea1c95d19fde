"""The client against a whole cluster (without processes): what users do, and what goes wrong around them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orch
from orch.client.places import Place
from orch.model.states import State
from tests.api.world import Row, TinyNode, World, deadline


def pod(path: str = "/demo/web", **more: Any) -> orch.Pod:
    endpoints = [orch.Endpoint("http")]
    return orch.Pod(
        path, containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32, endpoints=endpoints)], **more
    )


@pytest.fixture
def node(world: World) -> Iterator[TinyNode]:
    yield world.connect_node()


# ---- services --------------------------------------------------------------------------------------------------


def test_a_service_from_run_to_stop(world: World) -> None:
    service = world.cluster.run(pod(), instances=3)
    assert service.wait(timeout=10) is service and repr(service) == "<Service /demo/web>"
    rows = service.instances()
    assert [row["name"] for row in rows] == ["demo_web.1", "demo_web.2", "demo_web.3"]
    first = service.endpoints[0]
    assert (first["instance"], first["name"], first["host"]) == ("demo_web.1", "http", "127.0.0.1")
    assert service.status()["running"] == 3
    service.scale(5).wait(timeout=10)
    assert len(service.instances()) == 5
    assert [one.path for one in world.cluster.services()] == ["/demo/web"]
    assert world.cluster.service("/demo/web").path == world.cluster.service("demo/web").path
    assert service.stop()["instances"] == 0
    with pytest.raises(orch.NotFoundError, match="there is no service /demo/web"):
        service.status()


def test_an_app_as_a_dict(world: World) -> None:
    service = world.cluster.run({"id": "demo/sleep", "cmd": "sleep 100", "cpus": 0.1}, instances=2)
    assert service.path == "/demo/sleep"
    service.wait(10)
    assert service.status()["kind"] == "app" and service.status()["running"] == 2


def test_running_it_again_changes_nothing_unless_asked_to(world: World) -> None:
    world.cluster.run(pod())
    with pytest.raises(orch.ConflictError, match="/demo/web"):
        world.cluster.run(pod())
    world.cluster.run(pod(), instances=2, replace=True).wait(10)
    assert world.cluster.service("/demo/web").status()["instances"] == 2


def test_a_wrong_spec_is_refused_before_anything_is_sent() -> None:
    nowhere = orch.Cluster(Place("http://127.0.0.1:1", "t"))
    bad: list[Any] = [
        {"id": "/a", "containers": []}, {"id": "/a", "cmd": "x", "memory": 1}, 5, "text", None,
        {"id": "/a", "cmd": "x", "instances": -1},
    ]  # fmt: skip
    for spec in bad:
        with pytest.raises(orch.SpecError) as found:
            nowhere.run(spec)
        assert found.value.details
    with pytest.raises(orch.SpecError):
        nowhere.run(pod(), instances=-1)
    service = orch.Service(nowhere, "/a")
    for count in (-1, True, 1.5, "2"):
        with pytest.raises(orch.SpecError):
            service.scale(count)  # type: ignore[arg-type]


def test_waiting_says_what_is_missing_and_why(world: World) -> None:
    big = orch.Pod("/demo/big", containers=[orch.Container("app", cmd="serve", cpus=1000)])
    service = world.cluster.run(big, instances=2)
    with pytest.raises(orch.TimeoutExceededError, match=r"0 of 2 instances are ready.*too few cpus") as found:
        service.wait(timeout=0.1)
    assert found.value.why is not None and found.value.why["never"] is True
    why = service.why()
    assert why.never and why.nearest is not None and why.nearest["resource"] == "cpus" and why.agents == 2
    assert str(why) == why.sentence and why.waiting == "resources" and repr(why).startswith("<Why 2 agents")
    assert (why.id, why.feasible, why.ruled_out[0]["agents"]) == ("/demo/big", 0, 2)
    with pytest.raises(orch.UnplaceableError):
        world.cluster.run(pod("/demo/x", constraints=[("zone", "IS", "mars")]), now=True)


def test_stopping_that_takes_too_long(world: World) -> None:
    service = world.cluster.run(pod())
    service.wait(10)
    for agent in world.agents.values():
        agent.paused = True
    with pytest.raises(orch.TimeoutExceededError, match="have not stopped"):
        service.stop(timeout=0.1)
    assert world.cluster.service("/demo/web").status()["deleting"] is True


def test_logs_of_a_service(world: World, node: TinyNode) -> None:
    service = world.cluster.run(pod(), instances=2)
    service.wait(10)

    def write() -> None:
        for agent in world.agents.values():
            for number, row in agent.rows.items():
                row.files["stdout"] = f"a\nb ü\nof {number}\n".encode()

    world.do(write)
    newest = service.instances()[-1]
    assert service.logs("app") == f"a\nb ü\nof {newest['number']}\n"
    assert service.logs("app", lines=1, instance="demo_web.1").startswith("of ")
    assert node.asked[-1][1]["container"] == "app"
    followed = service.logs(follow=True)
    assert next(followed).startswith("a\nb ü\n")
    followed.close()  # type: ignore[attr-defined]
    deadline(lambda: node.cancelled == 1, "the supervisor was not told")
    assert b"".join(world.cluster.logs("/demo/web", lines=1)).startswith(b"of ")


def test_logs_of_a_service_that_was_never_launched(world: World) -> None:
    service = world.cluster.run({"id": "/demo/big", "cmd": "x", "cpus": 1000})
    with pytest.raises(orch.TimeoutExceededError, match="no instance that was launched"):
        service.logs()


# ---- jobs ------------------------------------------------------------------------------------------------------


def test_a_job_from_submission_to_results(world: World, node: TinyNode) -> None:
    files = [f"f{n}" for n in range(250)]
    job = world.cluster.submit(
        "/demo/digest", cmd="sha256sum $FILE", each=[{"FILE": f} for f in files], cpus=0.1, mem=16
    )
    assert job.wait(timeout=20) is job
    assert (job.number, job.path, job.count, len(job)) == (1, "/demo/digest", 250, 250)
    assert repr(job) == "<Job 1 /demo/digest, 250 pods>"
    assert job.states.dtype == np.uint8 and (job.states == orch.State.FINISHED).all()
    assert job.exit_codes.dtype == np.int16 and not job.exit_codes.any()
    assert set(job.reasons.tolist()) == {orch.Reason.EXITED}
    assert job.output(7) == b"digest of f7\n"
    assert job.outputs() == [f"digest of {f}\n".encode() for f in files]
    assert job.outputs("nothing") == [b""] * 250
    for nobody in (250, -1):
        with pytest.raises(IndexError, match=f"job 1 has no pod {nobody}"):
            job.output(nobody)
    assert job.status()["done"] is True


def test_exit_codes_signals_and_none(world: World) -> None:
    def program(row: Row) -> int | None:
        return [0, 3, None][row.index]

    for agent in world.agents.values():
        agent.program = program
    job = world.cluster.submit("/demo/mixed", cmd="x", count=3, cpus=0.1)
    job.wait(10, until="running")
    deadline(lambda: job.states.tolist() == [State.FINISHED, State.FAILED, State.RUNNING], "not yet")
    assert job.exit_codes.tolist() == [0, 3, -32768]
    assert job.stop(wait=True)["states"] == {"FINISHED": 1, "FAILED": 1, "KILLED": 1}
    assert job.exit_codes.tolist() == [0, 3, -15]


def test_each_in_all_its_forms(world: World) -> None:
    def environments() -> list[dict[str, str]]:
        rows = [row for agent in world.agents.values() for row in agent.rows.values()]
        return [row.env for row in sorted(rows, key=lambda row: (row.job, row.index))]

    world.cluster.submit("/a", cmd="true", each=({"N": n} for n in range(2)), cpus=0.1).wait(10)
    world.cluster.submit("/b", cmd="true", each={"X": [1.5, Path("/tmp")]}, cpus=0.1).wait(10)
    world.cluster.submit("/c", cmd="true", each={"X": np.arange(2)}, cpus=0.1).wait(10)
    world.cluster.submit("/d", cmd="true", each=[{"X": "1"}, {"Y": "2"}], cpus=0.1).wait(10)
    assert environments() == [
        {"N": "0"}, {"N": "1"}, {"X": "1.5"}, {"X": "/tmp"}, {"X": "0"}, {"X": "1"}, {"X": "1"}, {"Y": "2"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ({"cmd": "x", "argv": ["y"]}, "/"),
        ({}, "/"),
        ({"cmd": "x", "cpus": -1}, "/cpus"),
        ({"cmd": "x", "count": 0}, "/instances"),
        ({"cmd": "x", "attempts": 0}, "/attempts"),
        ({"cmd": "x", "attempts": True}, "/attempts"),
        ({"cmd": "x", "each": []}, "/each"),
        ({"cmd": "x", "each": [1]}, "/each(0)"),
        ({"cmd": "x", "each": [{"A": object()}]}, "/each(0)/A"),
        ({"cmd": "x", "each": [{"A": "b\0"}]}, "/each(0)/A"),
        ({"cmd": "x", "each": [{"A=": "b"}]}, "/each"),
        ({"cmd": "x", "each": {"A": ["x"], "B": []}}, "/each"),
        ({"cmd": "x", "each": [{"A": "b"}], "count": 2}, "/count"),
        ({"cmd": "x", "env": {"A": 5}}, "/env/A"),
        ({"cmd": "x", "count": 3, "gang": 2}, "/gang"),
        ({"cmd": "x", "timeout": -1}, "/timeoutSeconds"),
    ],
)
def test_a_wrong_job_is_refused_before_anything_is_sent(words: dict[str, Any], place: str) -> None:
    nowhere = orch.Cluster(Place("http://127.0.0.1:1", "t"))
    with pytest.raises(orch.SpecError) as found:
        nowhere.submit("/demo/job", **words)
    assert place in [entry["path"] for entry in found.value.details]


def test_one_key_is_one_job(world: World) -> None:
    first = world.cluster.submit("/a", cmd="true", key="k", cpus=0.1)
    again = world.cluster.submit("/a", cmd="true", key="k", cpus=0.1)
    other = world.cluster.submit("/a", cmd="true", cpus=0.1)
    assert (first.number, again.number, other.number) == (1, 1, 2)
    assert world.cluster.job("/a").number == 2 and world.cluster.job(1).number == 1
    assert [job.number for job in world.cluster.jobs()] == [1, 2]


def test_waiting_for_a_job_says_what_is_missing_and_why(world: World) -> None:
    job = world.cluster.submit("/demo/impossible", cmd="true", cpus=1000)
    assert "2 agents: 2 have too few cpus (asked 1000, most on one agent: 4)" in str(job.why())
    with pytest.raises(orch.TimeoutExceededError, match=r"has not ended after 0.05 s. Of 1 pod: 1 scheduled. 2"):
        job.wait(timeout=0.05)
    with pytest.raises(orch.TimeoutExceededError, match="has not started"):
        job.wait(timeout=0, until="running")
    with pytest.raises(orch.SpecError, match="until"):
        job.wait(until="green")
    with pytest.raises(orch.UnplaceableError, match="can't be placed now") as found:
        world.cluster.submit("/demo/impossible", cmd="true", cpus=1000, now=True)
    assert found.value.why is not None and found.value.why["never"]


def test_the_progress_bar_ends_with_the_job(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.cluster.submit("/demo/job", cmd="exit 1", count=5, cpus=0.1).wait(10, progress=True)
    shown = capsys.readouterr()
    assert "5/5" in shown.err and "5 not ok" in shown.err and shown.out == ""


def test_output_that_has_expired(world: World, node: TinyNode) -> None:
    job = world.cluster.submit("/demo/digest", cmd="sha256sum $FILE", each=[{"FILE": "a"}, {"FILE": "b"}], cpus=0.1)
    job.wait(10)
    world.do(lambda: node.expired.add(first_id(world)))
    with pytest.raises(orch.ExpiredError, match="expired"):
        job.output(0)
    assert job.output(1) == b"digest of b\n"
    with pytest.raises(orch.ExpiredError, match="1 of 2 outputs"):
        job.outputs()
    assert job.outputs(expired=b"?") == [b"?", b"digest of b\n"]


def first_id(world: World) -> int:
    return min(number for agent in world.agents.values() for number in agent.rows)


# ---- anything --------------------------------------------------------------------------------------------------


def test_things_are_found_by_their_ids(world: World, node: TinyNode) -> None:
    world.cluster.run(pod(), instances=2).wait(10)
    job = world.cluster.submit("/demo/job", cmd="true", count=2, cpus=0.1).wait(10)
    assert [(row["kind"], row["id"]) for row in world.cluster.ps()] == [("pod", "/demo/web"), ("job", 1)]
    assert [row["id"] for row in world.cluster.instances("/demo/web")] == ["demo_web.1", "demo_web.2"]
    assert [row["index"] for row in world.cluster.instances("/demo/job")] == [0, 1]
    assert [row["id"] for row in world.cluster.instances("demo_job.j1.1")] == ["demo_job.j1.1"]
    on_agents = world.cluster.instances("a1") + world.cluster.instances("a2")
    assert sorted(row["id"] for row in on_agents) == ["demo_web.1", "demo_web.2"]
    for identity in ("/demo/web", 1, "demo_web.2", "a1"):
        assert world.cluster.inspect(identity)["story"], identity
    instance = world.cluster.instance("demo_web.2")
    assert instance.status()["number"] == world.cluster.instance(instance.status()["number"]).status()["number"]
    assert str(instance.why()).startswith("demo_web.2 is RUNNING") and repr(instance) == "<Instance demo_web.2>"
    with pytest.raises(orch.UsageError, match="not a job"):
        world.cluster.job("/demo/web")
    with pytest.raises(orch.UsageError, match="not an instance"):
        world.cluster.instance(job.number)
    with pytest.raises(orch.NotFoundError, match="nothing is called"):
        world.cluster.why("/demo/nothing")


def test_anything_is_stopped_by_its_id(world: World) -> None:
    world.cluster.run(pod(), instances=2).wait(10)
    world.cluster.submit("/demo/job", cmd="sleep 9", count=2, cpus=0.1).wait(10, until="running")
    assert world.cluster.stop("demo_web.1", timeout=10)["state"] == "KILLED"
    world.cluster.service("/demo/web").wait(10)
    assert world.cluster.stop(1, timeout=10)["states"] == {"KILLED": 2}
    assert world.cluster.stop("/demo/web", timeout=10)["running"] == 0
    with pytest.raises(orch.UsageError, match="drain"):
        world.cluster.stop("a1")


def test_files_of_an_instance(world: World, node: TinyNode) -> None:
    world.cluster.run(pod()).wait(10)
    row = world.do(lambda: next(row for agent in world.agents.values() for row in agent.rows.values()))
    world.do(lambda: row.files.update(data=b"0123456789", stdout=b"hello\n"))
    instance = world.cluster.instance("demo_web.1")
    assert [one["name"] for one in instance.files()] == ["data", "stdout"]
    assert instance.file("data") == b"0123456789" and instance.file("data", offset=4, limit=3) == b"456"
    assert b"".join(instance.logs("app", lines=5)) == b"hello\n"
    assert instance.kill(wait=True, timeout=10)["state"] == "KILLED"


def test_agents_and_events(world: World) -> None:
    assert [agent["name"] for agent in world.cluster.agents()] == ["a1", "a2"]
    assert world.cluster.drain("a1")["state"] == "DRAINING"
    assert world.cluster.drain("a1", False)["state"] == "READY"
    job = world.cluster.submit("/demo/job", cmd="true", cpus=0.1).wait(10)
    events = list(world.cluster.events(follow=False, type="job"))
    assert [event["change"] for event in events] == ["submitted", "finished"]
    assert list(world.cluster.events(follow=False, id=str(job.number), since=events[0]["id"]))[-1]["type"] == "job"
    followed = world.cluster.events(since=events[0]["id"], type="job")
    assert next(followed)["change"] == "finished"
    followed.close()  # type: ignore[attr-defined]
    deadline(lambda: world.do(lambda: world.follower.subscribers) == 0, "the stream is still open")


def test_a_wrong_token(world: World) -> None:
    with (
        orch.Cluster(Place(world.url, "wrong")) as cluster,
        pytest.raises(orch.UnauthenticatedError, match="ORCH_TOKEN"),
    ):
        cluster.info()


# ---- a gateway that restarts -----------------------------------------------------------------------------------


def test_a_request_outlives_a_restart_of_the_gateway(world: World) -> None:
    world.cluster.info()
    world.wait_for(world._stop_server())
    threading.Timer(0.3, lambda: world.wait_for(world._start_server())).start()
    begun = time.monotonic()
    job = world.cluster.submit("/demo/job", cmd="true", cpus=0.1)
    assert time.monotonic() - begun >= 0.25
    assert job.number == 1 and job.wait(10).states.tolist() == [State.FINISHED]


def test_a_wait_outlives_a_restart_of_the_gateway(world: World) -> None:
    job = world.cluster.submit("/demo/job", cmd="sleep 9", cpus=0.1)
    job.wait(10, until="running")

    def restart() -> None:
        world.restart_server()
        world.do(
            lambda: [agent.become(list(agent.rows), State.FINISHED, 0) for agent in world.agents.values() if agent.rows]
        )

    timer = threading.Timer(0.2, restart)
    timer.start()
    assert job.wait(20).status()["done"]
    timer.join()


def test_events_go_on_after_a_restart_of_the_gateway(world: World) -> None:
    events = world.cluster.events(since=0, type="job")
    assert next(events)["type"] == "gap"
    world.cluster.submit("/demo/a", cmd="true", cpus=0.1).wait(10)
    assert [next(events)["change"] for _ in range(2)] == ["submitted", "finished"]
    world.restart_server()
    world.cluster.submit("/demo/b", cmd="true", cpus=0.1).wait(10)
    seen = [next(events) for _ in range(2)]
    assert [(event["change"], event["path"]) for event in seen] == [("submitted", "/demo/b"), ("finished", "/demo/b")]


def test_a_gateway_that_stays_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orch.client.flows import base

    monkeypatch.setattr(base, "RETRY_S", 0.2)
    world.cluster.info()
    world.wait_for(world._stop_server())
    with pytest.raises(orch.UnavailableError, match=r"was lost.*orch status"):
        world.cluster.info()
    world.wait_for(world._start_server())


def test_a_busy_gateway_is_asked_again(tmp_path: Path) -> None:
    with World(tmp_path, waits=0) as world:
        job = world.cluster.submit("/demo/job", cmd="true", cpus=0.1)

        def allow() -> None:
            world.room._waits._most = 10

        threading.Timer(0.2, lambda: world.do(allow)).start()
        assert job.wait(10).status()["done"]
