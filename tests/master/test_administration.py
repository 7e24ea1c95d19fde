"""What administrators ask: drains and stories. (Removal is with silence.)"""

from __future__ import annotations

from orch.model.requests import DrainAgent, TellStory
from orch.model.states import State
from tests.master.world import World, launched


def test_a_drained_agent_keeps_what_it_runs_and_gets_nothing_new() -> None:
    world = World("services", agents=2)
    ids = world.submit("services", 2)
    assert world.ask(DrainAgent, agent="a0") == {"agent": "a0", "state": "DRAINING"}
    more = world.submit("services", 5)
    assert [launched(world).get(number) for number in more] == [*["a1"] * 4, None]
    assert world.states(*ids) == ["STAGING", "STAGING"]
    world.update("a0", (ids[0], State.FINISHED))
    assert len(launched(world)) == 6
    assert world.ask(DrainAgent, agent="a0", drain=False) == {"agent": "a0", "state": "READY"}
    assert launched(world)[more[4]] == "a0"


def test_a_drain_survives_restarts_of_both_sides() -> None:
    world = World("services")
    world.ask(DrainAgent, agent="a0")
    world.restart(snapshot=True)
    assert world.agent("a0")["state"] == "ABSENT" and world.agent("a0")["drained"]
    assert world.ask(DrainAgent, agent="a0") == {"agent": "a0", "state": "ABSENT"}
    world.join("a0", "again")
    assert world.agent("a0")["state"] == "DRAINING"
    world.join("a0", "once more")
    assert world.agent("a0")["state"] == "DRAINING"


def test_asking_twice_is_kept_once() -> None:
    world = World()
    world.ask(DrainAgent, agent="a0")
    before = len(world.journal)
    assert world.ask(DrainAgent, agent="a0") == {"agent": "a0", "state": "DRAINING"}
    assert len(world.journal) == before
    assert [note["what"] for note in world.master.story("a0")] == ["registered", "reconciled", "drained"]


def test_an_agent_that_is_not_there_can_not_be_drained() -> None:
    world = World(agents=2)
    error = world.ask(DrainAgent, agent="zz")
    assert error["status"] == 404 and error["detail"] == 'there is no agent "zz"; there are: a0, a1'


def test_a_story_can_be_asked_for() -> None:
    world = World("services")
    [one] = world.submit("services", 1)
    assert [note["what"] for note in world.ask(TellStory, thing=one)["notes"]] == ["launched"]
    assert world.ask(TellStory, thing="nobody") == {"notes": []}
