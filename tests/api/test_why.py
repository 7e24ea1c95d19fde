"""Why something is not running: as data, each agent counted once, and as a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

import orch
from orch.model.reasons import Reason
from orch.model.states import State
from tests.api.world import World, deadline

SMALL = [2000, 1000, 1000, 0, 10]


def why(world: World, identity: str | int) -> dict[str, Any]:
    answer = httpx.get(f"{world.url}/v2/why/{str(identity).lstrip('/')}", headers=world.headers())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["agents"] == found["feasible"] + sum(one["agents"] for one in found["ruled_out"])
    return found


def pod(path: str = "/demo/web", **more: Any) -> orch.Pod:
    container = {"cpus": 0.1, "mem": 32, **more.pop("container", {})}
    return orch.Pod(path, containers=[orch.Container("app", cmd="serve", **container)], **more)


def test_a_job_that_no_agent_could_ever_hold(world: World) -> None:
    job = world.cluster.submit("/demo/impossible", cmd="true", cpus=1000, mem=16)
    found = why(world, job.number)
    assert (found["id"], found["agents"], found["feasible"], found["never"]) == (job.number, 2, 0, True)
    assert found["ruled_out"] == [{"predicate": "cpus", "agents": 2}]
    assert found["nearest"] == {"agent": "a1", "resource": "cpus", "asked": 1000, "free": 4}
    assert found["sentence"].startswith("2 agents: 2 have too few cpus (asked 1000, most on one agent: 4)")
    assert found["waiting"] == "resources"
    assert why(world, "/demo/impossible")["sentence"] == found["sentence"]
    assert why(world, "demo_impossible.j1.0")["id"] == "demo_impossible.j1.0"


def test_a_job_that_waits_for_room(tmp_path: Path) -> None:
    with World(tmp_path, agents=2, total=SMALL) as world:
        world.cluster.submit("/demo/first", cmd="sleep 100", cpus=2, mem=10, count=2).wait(10, until="running")
        second = world.cluster.submit("/demo/second", cmd="true", cpus=1, mem=10, count=7)
        found = why(world, second.number)
        assert found["never"] is False and found["waiting"] == "resources" and found["count"] == 7
        assert found["nearest"]["free"] == 0


def test_who_took_whose_place(tmp_path: Path) -> None:
    with World(tmp_path, agents=1, total=SMALL) as world:
        low = world.cluster.submit("/demo/low", cmd="sleep 100", cpus=1, mem=10, count=2).wait(10, until="running")
        world.agents["a1"].paused = True
        high = world.cluster.submit("/demo/high", cmd="sleep 100", cpus=2, mem=10, priority=5)
        deadline(lambda: high.status()["states"] == {"STAGING": 1}, "it has no place")
        found = why(world, "demo_high.j2.0")
        assert found["waiting"] == "preemption" and found["waits_for"] == ["demo_low.j1.0", "demo_low.j1.1"]
        assert found["sentence"] == (
            "demo_high.j2.0 is placed on a1, and starts once 2 pods of lower priority have ended to make room: "
            "demo_low.j1.0, demo_low.j1.1"
        )
        found = why(world, "demo_low.j1.1")
        assert found["gives_way_to"] == "demo_high.j2.0"
        assert (
            found["sentence"] == "demo_low.j1.1 is KILLING on a1: demo_high.j2.0, of a higher priority, takes its place"
        )
        world.do(lambda: world.agents["a1"].resume())
        high.wait(10, until="running")
        assert low.status()["states"] == {"SCHEDULED": 2}
        found = why(world, "demo_low.j1.1")
        assert "; its last attempt ended: a pod of a higher priority took its place" in found["sentence"]
        story = httpx.get(f"{world.url}/v2/instances/demo_low.j1.1?story=true", headers=world.headers()).json()["story"]
        assert "demo_high.j2.0, of a higher priority, takes its place" in [note["why"] for note in story]


def test_each_constraint_of_a_job_is_named(world: World) -> None:
    job = world.cluster.submit(
        "/demo/job", cmd="sleep 100", cpus=0.1, mem=16, count=3, constraints=[("hostname", "UNIQUE")],
        affinity=[{"to": "/demo/none", "operator": "apart", "on": "hostname"}],
    )  # fmt: skip
    found = why(world, job.number)
    assert found["ruled_out"] == [{"predicate": "constraint:hostname UNIQUE", "agents": 2}]
    assert found["count"] == 2 and found["waiting"] == "resources", "both agents are on one host"
    assert why(world, "demo_job.j1.2")["ruled_out"] == found["ruled_out"]


def test_what_a_job_asks_of_agents_counts_for_now_too(world: World) -> None:
    with pytest.raises(orch.UnplaceableError, match="do not match its constraints") as caught:
        world.cluster.submit("/demo/job", cmd="true", cpus=0.1, constraints=[("hostname", "IS", "none")], now=True)
    assert caught.value.why["ruled_out"] == [{"predicate": "constraint", "agents": 2}]
    near = [{"to": "/demo/none", "operator": "near"}]
    with pytest.raises(orch.UnplaceableError):
        world.cluster.submit("/demo/job", cmd="true", cpus=0.1, affinity=near, now=True)
    world.cluster.submit("/demo/none", cmd="sleep 100", cpus=0.1)
    world.cluster.submit("/demo/job", cmd="true", cpus=0.1, affinity=near, now=True).wait(10)


def test_a_gang_that_waits_for_room_for_all(tmp_path: Path) -> None:
    with World(tmp_path, agents=2, total=SMALL) as world:
        job = world.cluster.submit("/demo/gang", cmd="true", cpus=2, mem=10, count=3, gang=3)
        found = why(world, job.number)
        assert (found["gang"], found["room"], found["feasible"]) == (3, 2, 2)
        assert "a gang of 3 is placed whole or not at all, and there is room for 2" in found["sentence"]


def test_a_job_of_which_some_have_failed_says_how(world: World) -> None:
    job = world.cluster.submit("/demo/job", cmd="sleep 100", count=6, cpus=0.1).wait(10, until="running")
    first = job.status()["first_id"]

    def end() -> None:
        for agent in world.agents.values():
            for number in list(agent.rows):
                ends = {1: (3, Reason.EXITED), 4: (-9, Reason.SIGNALED)}.get(number - first, (0, Reason.EXITED))
                agent.become([number], State.FAILED if ends[0] else State.FINISHED, *ends)

    world.do(end)
    job.wait(10)
    assert why(world, job.number)["sentence"] == (
        "nothing of job 1 waits: 4 finished, 2 failed; pod 1 failed: the command exited by itself (exit code 3); "
        "pod 4 failed: the command was ended by a signal (signal 9)"
    )
    killed = world.cluster.submit("/demo/more", cmd="sleep 100", count=5, cpus=0.1).wait(10, until="running")
    killed.stop(wait=True)
    sentence = why(world, killed.number)["sentence"]
    assert "pod 2 killed: " in sentence and "pod 3" not in sentence and sentence.endswith("; and 2 more")


def test_a_job_of_which_nothing_waits(world: World) -> None:
    job = world.cluster.submit("/demo/job", cmd="sleep 100", count=3, cpus=0.1)
    job.wait(10, until="running")
    found = why(world, job.number)
    assert found["waiting"] is None and found["sentence"] == "nothing of job 1 waits: 3 running"
    one = why(world, "demo_job.j1.1")
    assert one["waiting"] is None and one["sentence"].startswith("demo_job.j1.1 is RUNNING on a")


def test_a_service_that_asks_for_a_port_that_no_agent_gives_out(world: World) -> None:
    low = pod("/demo/low", container={"endpoints": [orch.Endpoint("http", port=80)]})
    sentence = (
        "/demo/low asks for host port 80, and agents give out 31000-31999 only: take a port of these, or 0 for any "
        "that is free"
    )
    with pytest.raises(orch.UnplaceableError, match="31000-31999 only"):
        world.cluster.run(low, now=True)
    service = world.cluster.run(low)
    found = why(world, "/demo/low")
    assert (found["sentence"], found["never"], found["feasible"], service.instances()) == (sentence, True, 0, [])


def test_a_service_whose_port_is_taken_everywhere_waits(world: World) -> None:
    fixed = {"endpoints": [orch.Endpoint("http", port=31_005)]}
    world.cluster.run(pod("/demo/first", container=fixed), instances=2).wait(10)
    world.cluster.run(pod("/demo/second", container=fixed))
    found = why(world, "/demo/second")
    assert found["ruled_out"] == [{"predicate": "constraint:host port 31005", "agents": 2}]
    assert found["never"] is False
    assert found["sentence"].endswith("an agent must also give out host port 31005, and have it free")


def test_a_service_that_its_constraints_keep_waiting(world: World) -> None:
    world.cluster.run(pod(constraints=[("hostname", "UNIQUE")]), instances=3)
    found = why(world, "/demo/web")  # Both agents have one hostname.
    assert found["ruled_out"] == [{"predicate": "constraint:hostname UNIQUE", "agents": 2}] and found["count"] == 2
    assert found["never"] is False


def test_a_service_that_asks_for_what_no_agent_can_do(world: World) -> None:
    world.cluster.run(pod(container={"image": "alpine"}))
    found = why(world, "/demo/web")
    assert found["waiting"] == "needs" and found["never"] is True and found["ruled_out"][0]["agents"] == 2
    with pytest.raises(orch.UnplaceableError):
        world.cluster.run(pod("/demo/other", container={"image": "alpine"}), now=True)


def test_a_service_that_is_well_and_one_that_is_being_started(world: World) -> None:
    world.cluster.run(pod(), instances=2).wait(10)
    assert why(world, "/demo/web")["sentence"] == "nothing of service /demo/web waits: 2 running"
    for agent in world.agents.values():
        agent.paused = True
    world.cluster.run(pod("/demo/slow"), instances=1)
    assert "1 of 1 are not ready yet" in why(world, "/demo/slow")["sentence"]
    one = why(world, "demo_slow.1")
    assert one["waiting"] == "launch" and "is being started" in one["sentence"]


def test_without_agents(tmp_path: Path) -> None:
    with World(tmp_path, agents=0) as world:
        job = world.cluster.submit("/demo/job", cmd="true", cpus=1000)
        found = why(world, job.number)
        assert (found["agents"], found["never"], found["waiting"]) == (0, False, "agents")
        assert "there are no agents" in found["sentence"]
        with pytest.raises(orch.UnplaceableError, match="there are no agents"):
            world.cluster.submit("/demo/job", cmd="true", now=True)


def test_what_is_held_for_a_gang_and_who_waits_because_of_it(tmp_path: Path) -> None:
    with World(tmp_path, agents=2, total=SMALL) as world:
        world.cluster.submit("/demo/first", cmd="sleep 100", cpus=1, mem=10, count=3).wait(10, until="running")
        gang = world.cluster.submit("/demo/gang", cmd="sleep 100", cpus=1, mem=10, count=2, gang=2)
        found = why(world, gang.number)
        assert (found["waiting"], found["held"]["pods"], found["held"]["gang"]) == ("resources", 1, 2)
        assert "room for 1 of its 2 pods is held for it on 1 agent, since " in found["sentence"]
        small = world.cluster.submit("/demo/small", cmd="true", cpus=1, mem=10)
        found = why(world, small.number)
        assert found["waiting"] == "hold" and {"predicate": "reserved", "agents": 1} in found["ruled_out"]
        assert "what is reserved is held for a gang of 2 in /demo, since " in found["sentence"]
        gang.stop()
        deadline(lambda: small.status()["states"].get("SCHEDULED", 0) == 0, "it waits though nothing is held")


def test_drained_agents_are_ruled_out_and_not_for_good(world: World) -> None:
    world.cluster.drain("a1"), world.cluster.drain("a2")
    job = world.cluster.submit("/demo/job", cmd="true", cpus=0.1)
    found = why(world, job.number)
    assert found["ruled_out"] == [{"predicate": "draining", "agents": 2}] and found["never"] is False
    assert found["change"] == {"predicate": "draining", "agent": "a1", "less": None}
    assert "it would fit once a1 is drained no more" in found["sentence"]
    world.cluster.drain("a1", False)
    assert why(world, job.number)["waiting"] is None


def test_what_is_asked_about_must_be_there(world: World) -> None:
    for unknown in ("/demo/none", "99", "demo_none.1", "nobody"):
        answer = httpx.get(f"{world.url}/v2/why/{unknown.lstrip('/')}", headers=world.headers())
        assert answer.status_code == 404, unknown
    assert httpx.get(f"{world.url}/v2/why/a1", headers=world.headers()).status_code == 400


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("/demo/web", "service"),
        ("demo/web", "service"),
        ("/demo/job", "job"),
        ("1", "job"),
        ("demo_web.1", "instance"),
        ("demo_job.j1.0", "instance"),
        ("a2", "agent"),
    ],
)
def test_an_id_is_found_whatever_it_is_of(world: World, text: str, kind: str) -> None:
    world.cluster.run(pod(), instances=1).wait(10)
    world.cluster.submit("/demo/job", cmd="true", cpus=0.1).wait(10)
    found = httpx.get(f"{world.url}/v2/find", params={"id": text}, headers=world.headers()).json()
    assert found["kind"] == kind
