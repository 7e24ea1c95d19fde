"""The event stream: what happens is told once, in order, to readers that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import orch
from orch.api.facts import events_of, names_before
from orch.api.follower import Event
from orch.api.routes.events import parse_since, wanted
from orch.client.flows.streams import SseParser
from orch.machine.host import Host, Record
from orch.model import facts_batch, facts_master, facts_services
from orch.model.errors import UsageError
from orch.model.states import State
from orch.runtime.machines import make_machines
from tests.api.world import World, deadline

POD = orch.Pod("/demo/web", containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32)])


class Reader:
    """Events from an open stream, one at a time."""

    def __init__(self, answer: httpx.Response) -> None:
        self._pieces, self._parser = answer.iter_bytes(), SseParser()
        self._found: list[tuple[str, str, dict[str, Any]]] = []

    def next(self) -> tuple[str, str, dict[str, Any]]:
        while not self._found:
            self._found = self._parser.feed(next(self._pieces))
        return self._found.pop(0)


def stream(world: World, query: str = "") -> Any:
    return httpx.stream("GET", f"{world.url}/v2/events::orch{query}", headers=world.headers(), timeout=20)


def past(world: World, query: str = "") -> list[tuple[str, str, dict[str, Any]]]:
    answer = httpx.get(f"{world.url}/v2/events::orch?follow=false{query}", headers=world.headers(), timeout=20)
    return SseParser().feed(answer.content)


def test_events_are_told_as_they_happen(world: World) -> None:
    with stream(world) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = Reader(answer)
        deadline(lambda: world.do(lambda: world.follower.subscribers) == 1, "nobody subscribed")
        world.cluster.submit("/demo/job", cmd="true", count=3, cpus=0.1).wait(10)
        seen = []
        while not seen or seen[-1][2].get("change") != "finished":
            seen.append(reader.next())
    assert seen[0][1] == "job" and seen[0][2]["change"] == "submitted" and seen[0][2]["count"] == 3
    ids = [tuple(map(int, identity.split("."))) for identity, _, _ in seen]
    assert ids == sorted(set(ids))
    pods = [data for _, kind, data in seen if kind == "pods"]
    assert pods[0]["states"] == {"STAGING": 3} and pods[0]["indexes"] == [0, 1, 2]
    assert sum(data["states"].get("FINISHED", 0) for data in pods) == 3


def test_a_reader_goes_on_where_it_was(world: World) -> None:
    world.cluster.submit("/demo/job", cmd="true", count=3, cpus=0.1).wait(10)
    everything = past(world)
    assert len(everything) > 4
    for at in (0, 2, len(everything) - 1):
        assert past(world, f"&since={everything[at][0]}") == everything[at + 1 :]
    index = everything[2][2]["index"]
    assert past(world, f"&since={index}") == [event for event in everything if event[2]["index"] > index]
    headers = {**world.headers(), "Last-Event-ID": everything[2][0]}
    with httpx.stream("GET", f"{world.url}/v2/events::orch", headers=headers, timeout=20) as answer:
        assert Reader(answer).next() == everything[3]


def test_only_what_is_asked_for(world: World) -> None:
    world.cluster.run(POD, instances=2).wait(10)
    world.cluster.submit("/demo/job", cmd="true", cpus=0.1).wait(10)
    assert {kind for _, kind, _ in past(world, "&type=service&type=job")} == {"service", "job"}
    about = past(world, "&about=/demo/web")
    assert about and all(data["path"] == "/demo/web" for _, _, data in about)
    one = past(world, "&about=demo_web.1")
    assert one and all(data["instance"] == "demo_web.1" for _, _, data in one)
    assert past(world, "&about=1&type=job")[0][2]["job"] == 1


def test_the_life_of_a_service_in_events(world: World) -> None:
    service = world.cluster.run(POD, instances=1)
    service.wait(10)
    service.scale(2).wait(10)
    world.cluster.run(POD, instances=1, replace=True).wait(10)
    service.stop()
    changes = [data["change"] for _, _, data in past(world, "&type=service")]
    assert changes == ["created", "scaled", "changed", "deleting", "gone"]
    states = [data.get("state") for _, _, data in past(world, "&about=demo_web.1&type=instance") if "state" in data]
    assert states[:2] == ["STAGING", "RUNNING"] and states[-1] == "KILLED"
    agents = [(data["agent"], data["change"]) for _, kind, data in past(world) if kind == "agent"]
    assert ("a1", "registered") in agents


def test_a_gap_is_told_to_everybody_whatever_they_asked_for() -> None:
    select = wanted(["service"], "/demo/web")
    assert select(Event(5, 0, 1, "gap", {"from": 3}))
    assert select(Event(5, 0, 1, "service", {"path": "/demo/web"}))
    assert not select(Event(5, 0, 1, "job", {"path": "/demo/web"}))
    assert not select(Event(5, 0, 1, "service", {"path": "/demo/api"}))


def test_a_reader_that_vanishes_leaves_nothing(world: World) -> None:
    with stream(world) as answer:
        pieces = answer.iter_bytes()  # kept: httpx hangs up when its iterator goes
        next(pieces)
        assert world.do(lambda: world.follower.subscribers) == 1
    deadline(lambda: world.do(lambda: world.follower.subscribers) == 0, "the subscription is still there")
    assert world.do(lambda: world.room._streams.taken) == 0


def test_an_idle_stream_says_that_it_lives(tmp_path: Path) -> None:
    with World(tmp_path, ping_ms=20) as world, stream(world) as answer:
        pieces = answer.iter_bytes()
        said = b""
        while b": ping" not in said:
            said += next(pieces)


def test_what_is_no_longer_kept_is_a_gap(world: World) -> None:
    assert past(world, "&since=0")[0][1] == "gap", "the gateway began to follow after the first records"
    world.wait_for(world.take_image())
    world.cluster.submit("/demo/job", cmd="true", cpus=0.1).wait(10)
    gap, *kept = past(world, "&since=1")
    assert (gap[1], gap[2]["at_ms"], gap[2]["from"]) == ("gap", None, 1)
    assert kept == past(world), "behind the gap comes all that is known"


def test_a_type_that_no_event_has_is_refused(world: World) -> None:
    answer = httpx.get(f"{world.url}/v2/events::orch?type=nosuch&follow=false", headers=world.headers(), timeout=20)
    assert answer.status_code == 400
    assert "'nosuch'" in answer.json()["detail"] and "job, pods, service, instance" in answer.json()["detail"]


def test_a_follower_that_starts_again_tells_open_streams(world: World) -> None:
    with stream(world) as answer:
        reader = Reader(answer)
        deadline(lambda: world.do(lambda: world.follower.subscribers) == 1, "nobody subscribed")
        world.wait_for(world.take_image())
        assert reader.next()[1] == "gap"
        world.cluster.submit("/demo/job", cmd="true", cpus=0.1)
        assert reader.next()[1] == "job"


def test_closing_ends_streams(world: World) -> None:
    with stream(world) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        world.do(world.follower.close)
        assert b"".join(pieces) == b""


@pytest.mark.parametrize(("text", "since"), [("17", (17, 2**62)), ("17.3", (17, 3)), ("", None), (None, None)])
def test_since_is_an_index_or_an_id(text: str | None, since: tuple[int, int] | None) -> None:
    assert parse_since(text) == since


@pytest.mark.parametrize("text", ["x", "-1", "1.x", "1.2.3", "1" * 50, "1 "])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_since(text)


def test_a_stop_of_single_pods_is_told_with_their_indexes(world: World) -> None:
    job = world.cluster.submit("/demo/job", cmd="sleep 9", count=3, cpus=0.1)
    world.cluster.stop("demo_job.j1.1", wait=True, timeout=10)
    told = [data for _, kind, data in past(world, "&type=job") if data["change"] == "pods stopped"]
    (one,) = told
    expected = {"job": job.number, "count": 1, "first": 1, "last": 1, "indexes": [1], "user": one["user"]}
    assert {name: one[name] for name in expected} == expected and one["user"]


def test_who_took_whose_place_is_told_by_name(world: World) -> None:
    low = world.cluster.submit("/demo/low", cmd="sleep 9", count=2, cpus=4)
    low.wait(until="running", timeout=10)
    high = world.cluster.submit("/demo/high", cmd="sleep 9", cpus=4, priority=5)
    high.wait(until="running", timeout=10)
    (told,) = [data for _, _, data in past(world, "&type=master") if data["change"] == "preempted"]
    assert (told["count"], told["for"]) == (1, 1)
    (pair,) = told["instances"]
    assert pair["instance"].startswith("demo_low.j1.") and pair["by"] == "demo_high.j2.0"


def test_every_fact_of_the_frameworks_and_of_agents_is_told() -> None:
    """A new fact is either told, or named here as one that says nothing new."""
    from orch.api.facts import _TELL

    silent = {
        facts_master.FrameworkAdded, facts_master.Launched, facts_master.StatesChanged, facts_master.StopWanted,
        facts_master.Forgotten, facts_master.StartingSeen, facts_master.DetailsSeen, facts_master.UsageSeen,
        facts_services.InstancesKilled, facts_services.InstancesInactive, facts_services.ServiceRequestAnswered,
        facts_batch.JobRequestAnswered, facts_master.Unheld, facts_master.HoldsSeen,
    }  # fmt: skip
    told = {kind for _, kind in _TELL}
    for machine in make_machines():
        for fact in type(machine).FACTS:
            assert (fact in told) != (fact in silent), fact


def large_job() -> Iterator[Record]:
    template = {"request": [100, 16, 0, 0, 0], "needs": [], "path": "/a"}
    job = facts_batch.JobSubmitted(
        at_ms=1, job=1, first_id=2 << 44, path="/a", user="u", key="", template=template, body={}, count=1000,
        env_off=np.empty(0, dtype=np.int64), env_blob=b"", gang=1, priority=0, attempts=1, timeout_ms=0,
    )  # fmt: skip
    yield Record(1, 1, [["batch", job]])
    starts, lengths = np.array([2 << 44], dtype=np.int64), np.array([1000], dtype=np.int64)
    launched = facts_batch.PodsLaunched(2, starts, lengths, np.zeros(1000, dtype=np.int32))
    yield Record(2, 2, [["batch", launched]])
    yield Record(3, 3, [["batch", facts_batch.PodsUpdated.of(3, launched.ids, State.FINISHED, 0, 0)]])


def test_a_thousand_pods_are_one_event() -> None:
    host = Host(make_machines())
    told = []
    for record in large_job():
        names = names_before(record, host)
        host.replay(record)
        told.append(events_of(record, host, names))
    assert [len(one) for one in told] == [1, 1, 1]
    assert told[2][0] == ("pods", {"job": 1, "count": 1000, "states": {"FINISHED": 1000}, "first": 0, "last": 999})


def test_the_parser_takes_any_pieces() -> None:
    text = b': hello\n\nid: 1.0\nevent: job\ndata: {"a":\ndata: 1}\n\r\n\nevent: x\ndata: {}\n\n'
    whole = SseParser().feed(text)
    assert [(one[0], one[1], one[2]) for one in whole] == [("1.0", "job", {"a": 1}), ("1.0", "x", {})]
    for size in (1, 2, 7):
        parser = SseParser()
        found = [event for at in range(0, len(text), size) for event in parser.feed(text[at : at + size])]
        assert found == whole
