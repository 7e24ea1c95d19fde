"""Services and preemption: who asks for the place of others, where constraints allow, and who is replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from orch.model import messages as m
from orch.model.reasons import Reason
from orch.model.requests import PutService
from orch.model.specs.template import ConstraintTemplate
from orch.model.states import State
from orch.services import Services
from tests.batch.plain import Rig
from tests.services.test_services import live, spec

AGENTS = [[1000, 1000, 1000, 0, 100]] * 3


def pressed(rig: Rig, least: int, free: int = 0) -> m.Accept:
    """The answer to an offer of agents that have `free` CPUs, and others' 900 in use by pods of lower priority."""
    master = rig.master
    count = len(master.free)
    one: Any = {
        "generation": 99, "full": True, "changed": np.empty(0, dtype=np.int32),
        "free": np.array([[free, 1000, 1000, 0, 100]] * count, dtype=np.int32),
        "total": np.array(AGENTS, dtype=np.int32), "usable": np.ones(count, dtype=np.uint8),
        "sessions": np.array(master.sessions, dtype=np.int64), "attributes": master.attributes,
        "names": [f"a{row}" for row in range(count)], "groups": ["/demo"],
        "headroom": np.array([[2700, 3000, 3000, 0, 300]], dtype=np.int64),
        "bands": np.array([least], dtype=np.int32),
        "freeable": np.array([[[900, 0, 0, 0, 0]] * count], dtype=np.int32),
    }  # fmt: skip
    [command] = rig.machine.handle(rig.now_ms, m.OfferBatch(**one))
    rig.machine.check()
    assert isinstance(command.message, m.Accept)
    return command.message


def waiting(instances: int, **more: Any) -> Rig:
    rig = Rig(Services, AGENTS)
    rig.master.refuse = lambda each: True
    rig.ask(PutService, **spec(instances, path="/demo/x", **more))
    return rig


def test_instances_ask_for_any_place() -> None:
    accept = pressed(waiting(2, priority=5), 5)
    assert accept.agents.tolist() == [-1, -1] and accept.preempt.tolist() == [1, 1]


def test_a_service_of_too_low_a_priority_passes() -> None:
    assert len(pressed(waiting(2, priority=4), 5).ids) == 0


def test_constraints_say_on_which_agents_places_are_taken() -> None:
    unique = (ConstraintTemplate("hostname", "UNIQUE", None),)
    accept = pressed(waiting(5, priority=5, constraints=unique), 5)
    assert accept.agents.tolist() == [0, 1, 2] and accept.preempt.tolist() == [1, 1, 1]
    assert accept.sessions.tolist() == [100, 101, 102]


def test_an_instance_that_gave_way_is_replaced_without_a_delay() -> None:
    rig = Rig(Services, AGENTS)
    rig.ask(PutService, **spec(1, path="/demo/x"))
    [first] = live(rig)
    rig.say([first], State.RUNNING)
    rig.say([first], State.KILLING)
    rig.say([first], State.KILLED, -15, reason=Reason.PREEMPTED)
    [second] = live(rig)
    assert second != first and rig.machine.registry.services["/demo/x"].delay.failures == 0


def test_a_place_that_the_master_found_is_where_the_instance_is() -> None:
    rig = waiting(2, priority=5)
    accept = pressed(rig, 5)
    found = m.AcceptResult("services", accept.ids, accept.attempts, np.zeros(2, dtype=np.uint8))
    rig.machine.handle(rig.now_ms, replace(found, agents=np.array([2, 0], dtype=np.int32)))
    assert sorted(one.agent for one in rig.machine.registry.instances.values()) == [0, 2]
