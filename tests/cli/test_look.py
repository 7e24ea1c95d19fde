"""Commands that look, against a whole cluster (without processes)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import orch
from orch.cli.main import run
from orch.model.reasons import Reason
from orch.model.states import State
from tests.api.world import TOKEN, World, deadline


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World(tmp_path) as running:
        (tmp_path / "token").write_text(TOKEN + "\n")
        monkeypatch.setenv("ORCH_ADDRESS", running.url)
        monkeypatch.setenv("ORCH_TOKEN_FILE", str(tmp_path / "token"))
        yield running


def fail(world: World) -> None:
    """The only instance of a service ends, and the next launch waits."""
    pod = orch.Pod("/demo/web", containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32)])
    service = world.cluster.run(pod).wait(10)
    agent = next(agent for agent in world.agents.values() if agent.rows)
    world.do(lambda: agent.become(list(agent.rows), State.FAILED, 3, Reason.EXITED))
    deadline(lambda: not service.instances(), "it has not ended")


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_ps_of_a_service_that_backs_off_shows_what_waits_and_what_ended(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(world)
    assert run(["ps", "/demo/web"]) == 0
    head, waits, ended = table(capsys.readouterr().out)
    assert head[:2] == ["ID", "STATE"]
    assert waits[:2] == ["/demo/web", "scheduled"] and "demo_web.1" in waits, "why it waits"
    assert ended[:2] == ["demo_web.1", "failed"] and "3" in ended
    assert run(["ps", "a2"]) == 0, "an agent on which nothing runs"
    assert len(table(capsys.readouterr().out)) == 1


def test_inspect_of_an_instance_is_a_story_in_words(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    fail(world)
    assert run(["inspect", "demo_web.1"]) == 0
    story = table(capsys.readouterr().out.rpartition("\n\n")[2])
    assert story[0] == ["TIME", "WHAT", "AGENT", "EXIT", "WHY"]
    assert [line[1] for line in story[1:]] == ["launched", "running", "failed"]
    assert story[-1][2:] == ["a1", "3", "the", "command", "exited", "by", "itself"]


def test_events_of_an_unknown_type_are_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["events", "--type", "nosuch"]) == 2
    assert "'nosuch'; there are master, agent, agents, job" in capsys.readouterr().err


def test_a_gap_has_no_time(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["events", "--since", "0"]) == 0
    gap, first, *_ = table(capsys.readouterr().out)
    assert gap[0] == "--:--:--" and gap[2] == "gap" and first[2] != "gap" and ":" in first[0]


def test_an_agent_is_drained_and_resumed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drain", "a1"]) == 0
    assert capsys.readouterr().out == "agent a1 is drained: it takes no new pods until `orch resume a1`\n"
    assert {row["name"]: row["state"] for row in world.cluster.agents()} == {"a1": "DRAINING", "a2": "READY"}
    assert run(["resume", "a1", "-o", "json"]) == 0
    assert '"READY"' in capsys.readouterr().out
    assert run(["drain", "a9"]) == 3


def test_endpoints_of_what_runs(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ends = [orch.Endpoint("http", labels={"VIP_0": "/web:80"}), orch.Endpoint("admin")]
    pod = orch.Pod("/demo/web", containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32, endpoints=ends)])
    world.cluster.run(pod, instances=2).wait(10)
    assert run(["endpoints"]) == 0
    rows = table(capsys.readouterr().out)
    assert [row[0] for row in rows[1:]] == ["demo_web.1", "demo_web.1", "demo_web.2", "demo_web.2"]
    port = world.cluster.instances("/demo/web")[0]["endpoints"][0]["port"]
    assert rows[1] == ["demo_web.1", "http", f"127.0.0.1:{port}", "tcp", "ready", "/web:80"]
    assert run(["endpoints", "/demo/web", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["vips"] == ["/web:80"] and found[0]["labels"] == {"VIP_0": "/web:80"}
    assert found[1]["name"] == "admin" and found[1]["vips"] == []
    assert len(world.cluster.endpoints("/demo")) == 4
    assert run(["endpoints", "/other"]) == 3
    for agent in world.agents.values():
        world.do(lambda agent=agent: setattr(agent, "paused", True))  # it is told to stop, and does not yet
    world.cluster.service("/demo/web").scale(0)
    assert {row["state"] for row in world.cluster.instances("/demo/web")} == {"KILLING"}
    assert world.cluster.endpoints("/demo/web") == []
