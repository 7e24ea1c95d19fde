"""Accepts: what is committed, what is refused and why, and the launches that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from orch.machine.host import EventError
from orch.model import messages as say
from orch.model.facts_master import Launched
from orch.model.reasons import Reason as Ended
from orch.model.requests import DrainAgent
from orch.model.states import State
from orch.placement import Reason
from tests.master.world import POD, TOTAL, Pod, World, accept_of, i32, i64, ids_in, kinds, launched, only, payload_of


@pytest.fixture
def world() -> World:
    """A world whose framework `far` is not in the master's process, so that every accept is the test's own."""
    world = World(agents=2)
    world.tell(say.Subscribe("far"))
    return world


def verdicts(world: World, *rows: tuple[Pod, int, int], **fields: Any) -> list[Reason]:
    messages = world.tell(replace(accept_of("far", rows), **fields))
    result = only(messages, say.AcceptResult)
    assert result.ids.tolist() == [pod.number for pod, _, _ in rows]
    return [Reason(verdict) for verdict in result.verdicts.tolist()]


def test_what_fits_is_launched_and_the_rest_says_why(world: World) -> None:
    pods = world.pods("far", 7)
    large = world.pods("far", 1, request=(1, 5000, 0, 0, 0))
    rows = [
        (pods[0], 0, 1), (pods[1], 0, 1), (pods[2], 0, 2), (pods[3], 9, 1), (pods[4], -1, 1), (pods[5], 0, 1),
        (pods[6], 0, 1), (large[0], 1, 1),
    ]  # fmt: skip
    assert verdicts(world, *rows) == [
        Reason.PLACED, Reason.PLACED, Reason.STALE_SESSION, Reason.UNKNOWN_AGENT, Reason.UNKNOWN_AGENT,
        Reason.PLACED, Reason.PLACED, Reason.TOO_FEW_MEM,
    ]  # fmt: skip
    assert sorted(launched(world)) == [pods[at].number for at in (0, 1, 5, 6)]
    assert world.free("a0") == [0, 2048, *TOTAL[2:]] and world.free("a1") == list(TOTAL)
    assert world.states(pods[0].number, pods[2].number) == ["STAGING", None]
    assert [note["what"] for note in world.master.story(pods[2].number)] == ["not committed"]


def test_a_fifth_pod_finds_no_cpus(world: World) -> None:
    assert verdicts(world, *[(pod, 0, 1) for pod in world.pods("far", 5)])[3:] == [Reason.PLACED, Reason.TOO_FEW_CPUS]


@pytest.mark.parametrize("state", ["DRAINING", "REGISTERING", "UNREACHABLE"])
def test_an_agent_that_is_not_ready_takes_nothing(world: World, state: str) -> None:
    if state == "DRAINING":
        world.ask(DrainAgent, agent="a0")
    elif state == "REGISTERING":
        world.register("a0", "again")
    else:
        world.until(16_000)
    assert world.agent("a0")["state"] == state
    [pod] = world.pods("far", 1)
    assert verdicts(world, (pod, 0, world.session("a0"))) == [Reason.NOT_USABLE]


def test_gangs_launch_whole_or_not_at_all(world: World) -> None:
    first, second = world.pods("far", 3, gang=0), world.pods("far", 3, gang=7)
    rows = [(pod, 0, 1) for pod in (first[0], second[0], first[1], second[1], first[2], second[2])]
    # The first gang finds no room for its last pod; what it gives back is enough for the second.
    assert verdicts(world, *rows) == [
        Reason.GANG, Reason.PLACED, Reason.GANG, Reason.PLACED, Reason.TOO_FEW_CPUS, Reason.PLACED,
    ]  # fmt: skip
    assert sorted(launched(world)) == [pod.number for pod in second]
    assert world.free("a0")[0] == 1000


def test_launches_go_to_each_agent_once_with_its_own_payload(world: World) -> None:
    pods = world.pods("far", 6, request=(10, 0, 0, 0, 0))
    messages = world.tell(accept_of("far", [(pod, at % 2, 1) for at, pod in enumerate(pods)]))
    assert kinds(messages) == ["LaunchBatch", "LaunchBatch", "AcceptResult"]
    assert [message.ids.tolist() for message in messages[:2]] == [
        [pod.number for pod in pods[::2]],
        [pod.number for pod in pods[1::2]],
    ]
    assert all(ids_in(message.payload) == message.ids.tolist() for message in messages[:2])


def test_a_doubled_accept_launches_nothing_twice(world: World) -> None:
    pods = world.pods("far", 2)
    accept = accept_of("far", [(pods[0], 0, 1), (pods[1], 9, 1)])
    world.tell(accept)
    before, free = len(launched(world)), world.free("a0")
    messages = world.tell(accept)
    assert kinds(messages) == ["AcceptResult"]
    assert messages[0].verdicts.tolist() == [Reason.PLACED, Reason.UNKNOWN_AGENT]
    assert (len(launched(world)), world.free("a0")) == (before, free)


def test_the_next_attempt_waits_for_the_end_of_the_last_and_then_takes_its_place(world: World) -> None:
    [pod] = world.pods("far", 1)
    verdicts(world, (pod, 0, 1))
    pod.attempt = 2
    assert verdicts(world, (pod, 0, 1)) == [Reason.STILL_THERE]
    world.update("a0", (pod.number, State.FAILED))
    assert world.states(pod.number) == ["FAILED"]
    assert verdicts(world, (pod, 1, 1)) == [Reason.PLACED]
    assert world.states(pod.number) == ["STAGING"]
    pod.attempt = 1
    assert verdicts(world, (pod, 0, 1)) == [Reason.STILL_THERE]
    assert world.free("a0") == list(TOTAL) and world.free("a1")[0] == 3000


def test_a_gang_with_one_row_in_the_way_stays_out_whole(world: World) -> None:
    pods = world.pods("far", 2, gang=3)
    verdicts(world, (pods[0], 0, 1), gangs=i32(-1))
    pods[0].attempt = 2
    assert verdicts(world, (pods[0], 0, 1), (pods[1], 0, 1)) == [Reason.STILL_THERE, Reason.GANG]


def test_limits_are_charged_to_every_group_above(world: World) -> None:
    world.master.tree.set("/team", limit=[2500, -1, -1, -1, -1])
    pods = [*world.pods("far", 2, group="/team/a"), *world.pods("far", 1, group="/team/b"), *world.pods("far", 1)]
    rows = [(pod, 0, 1) for pod in pods]
    accept = accept_of("far", rows)
    world.host.handle(world.now_ms, "master", accept)
    world.host.check()
    records = world.host.take_records()
    world.host.durable(records[-1].index)
    result = only([out.command.message for out in world.host.take_commands()], say.AcceptResult)
    assert result.verdicts.tolist() == [Reason.PLACED, Reason.PLACED, Reason.QUOTA, Reason.PLACED]


def test_the_fact_of_a_launch_charges_a_copy_and_a_replay_alike(world: World) -> None:
    pods = world.pods("far", 3)
    world.tell(accept_of("far", [(pods[0], 0, 1), (pods[1], 1, 1), (pods[2], 9, 1)]))
    world.restart()
    assert [world.free(name)[0] for name in ("a0", "a1")] == [3000, 3000]
    world.restart(snapshot=True)
    assert [world.free(name)[0] for name in ("a0", "a1")] == [3000, 3000]
    assert world.master.tree["used"][world.master.tree.find("/demo")].tolist() == [2000, 1024, 0, 0, 0]


def test_an_accept_without_rows_is_a_pass_and_needs_no_answer(world: World) -> None:
    assert world.tell(accept_of("far", [])) == []


def test_a_pod_that_asks_for_nothing_is_launched_anywhere(world: World) -> None:
    pods = [*world.pods("far", 4), *world.pods("far", 1, request=(0,) * 5)]
    assert verdicts(world, *[(pod, 0, 1) for pod in pods]) == [Reason.PLACED] * 5


@pytest.mark.parametrize("fault", ["twice", "foreign", "unknown framework"])
def test_an_accept_that_makes_no_sense_is_refused(world: World, fault: str) -> None:
    pods = world.pods("far", 2)
    accept = accept_of("far", [(pod, 0, 1) for pod in pods])
    if fault == "twice":
        accept = replace(accept, ids=i64(pods[0].number, pods[0].number))
    elif fault == "foreign":
        accept = replace(accept, ids=i64(5, pods[0].number))
    else:
        accept = replace(accept, framework="nobody")
    with pytest.raises(EventError, match="ValueError"):
        world.tell(accept)


def test_a_relaunch_of_what_does_not_wait_for_one_is_passed_over(world: World) -> None:
    pods = world.pods("far", 3)
    verdicts(world, *[(pod, 0, 1) for pod in pods])
    ids = [pod.number for pod in pods]
    world.update("a0", (ids[0], State.RUNNING))
    everything = say.Relaunch("far", i64(*ids, 99), i32(1, 1, 2, 1), payload_of([*ids, 99]))
    assert only(world.tell(everything), say.LaunchBatch).ids.tolist() == [ids[1]]
    world.register("a0", "again")
    assert world.tell(everything) == []
    world.tell(say.Subscribe("other"))
    world.image_of("a0", [(ids[0], State.RUNNING)])
    assert world.tell(replace(everything, framework="other")) == []


def test_a_launch_is_one_fact_of_columns(world: World) -> None:
    pods = world.pods("far", 4)
    world.host.handle(world.now_ms, "master", accept_of("far", [(pod, 0, 1) for pod in pods]))
    [record] = [record for record in world.host.take_records() if not record.soft]
    [[machine, fact]] = record.facts
    assert machine == "master" and isinstance(fact, Launched)
    assert fact.requests.tolist() == [list(POD)] and fact.shape.tolist() == [0] * 4 and fact.groups == ["/demo"]


def test_instances_that_were_never_killed_have_no_reason(world: World) -> None:
    [pod] = world.pods("far", 1)
    verdicts(world, (pod, 0, 1))
    assert np.all(world.master.instances["reason"] == Ended.NONE)
