"""Where constraints let instances go."""

from __future__ import annotations

from typing import Any

import pytest

from orch.model.requests import PutService
from orch.model.specs.template import (
    AffinityTemplate,
    ConstraintTemplate,
    ContainerTemplate,
    EndpointTemplate,
    Template,
)
from orch.model.states import State
from orch.services import Services, views
from tests.batch.plain import Rig
from tests.batch.zones import AGENT, NAMES, ZONES, each_operator, rig_of, ruled_out_by
from tests.services.test_services import spec


@pytest.fixture
def rig() -> Rig:
    return rig_of(Services)


def ruled_out(rig: Rig, path: str = "/demo/web") -> dict[str, int]:
    """Why one more instance of a service does not fit."""
    return ruled_out_by(rig, views.limits(rig.machine, path, ZONES, NAMES))


def agents_of(rig: Rig, instances: int, *rules: tuple[str, str, str | None], **more: Any) -> list[int]:
    """The agents, ascending, on which a service with these constraints starts."""
    before = len(rig.master.launches)
    constraints = tuple(ConstraintTemplate(*rule) for rule in rules)
    rig.ask(PutService, **spec(instances, constraints=constraints, **more))
    return sorted(launch[2] for launch in rig.master.launches[before:])


def test_without_constraints_the_fullest_agent_is_taken(rig: Rig) -> None:
    assert agents_of(rig, 3) == [0, 0, 0]
    assert views.limits(rig.machine, "/demo/web", ZONES, NAMES) == (None, None)
    assert views.limits(rig.machine, "/none", ZONES, NAMES) == (None, None)


@each_operator
def test_an_operator_says_where(rig: Rig, count: int, rule: tuple[str, str, str | None], agents: list[int]) -> None:
    assert agents_of(rig, count, rule) == agents
    waiting = views.waiting(rig.machine, "/demo/web")
    assert (waiting["count"] if waiting else 0) == count - len(agents)


def test_an_agent_without_the_attribute_is_allowed_by_unlike(rig: Rig) -> None:
    for row in range(3):
        rig.master.usable[row] = 0
    assert agents_of(rig, 1, ("disk", "UNLIKE", "ssd")) == [3]


def test_all_constraints_hold_together(rig: Rig) -> None:
    assert agents_of(rig, 4, ("zone", "CLUSTER", "a"), ("hostname", "UNIQUE", None)) == [0, 1]
    assert ruled_out(rig) == {"constraint": 2, "constraint:hostname UNIQUE": 2}


def test_a_new_version_may_go_where_the_old_one_is(rig: Rig) -> None:
    assert agents_of(rig, 4, ("hostname", "UNIQUE", None)) == [0, 1, 2, 3]
    rig.say(rig.master.of("services"), State.RUNNING)
    rig.now_ms += 1
    assert agents_of(rig, 4, ("hostname", "UNIQUE", None), shell="new", replace=True) == [0, 1, 2, 3]


def with_port(path: str, port: int) -> dict[str, Any]:
    container = ContainerTemplate("app", shell="serve", endpoints=(EndpointTemplate("http", host_port=port),))
    made = Template(path, "pod", (container,), request=(100, 16, 0, 0, 1))
    return {"template": made.to_wire(), "body": {}, "instances": 3}


def test_two_instances_with_the_same_port_of_their_own_choice_are_on_two_agents(rig: Rig) -> None:
    rig.master.usable = [1, 1, 0, 0]
    rig.ask(PutService, **with_port("/a", 8080))
    rig.ask(PutService, **with_port("/b", 8080))
    rig.ask(PutService, **{**with_port("/c", 8081), "instances": 1})
    rig.ask(PutService, **with_port("/d", 0))
    assert [launch[2] for launch in rig.master.launches] == [0, 1, 0, 0, 0, 0]


def test_two_services_that_come_at_once_do_not_get_the_same_port() -> None:
    rig = Rig(Services, [])
    for path in ("/a", "/b"):
        rig.ask(PutService, **with_port(path, 8080))
    rig.ask(PutService, **spec(2))
    rig.master.total, rig.master.free = [AGENT] * 4, [list(AGENT) for _ in range(4)]
    rig.master.usable, rig.master.sessions, rig.master.attributes = [1] * 4, [1] * 4, ZONES
    rig.restart()
    paths = [(one["agent"], one["path"]) for path in ("/a", "/b") for one in views.instances(rig.machine, path)]
    assert [agent for agent, _ in sorted(paths)] == [0, 1, 2, 3]
    assert len(views.instances(rig.machine, "/demo/web")) == 2


def test_services_with_and_without_constraints_are_placed_by_priority() -> None:
    rig = Rig(Services, [])
    rig.ask(PutService, **spec(4, path="/low", cpus_milli=400, priority=-1))
    rig.ask(PutService, **spec(1, path="/high", cpus_milli=400, priority=2))
    unique = (ConstraintTemplate("hostname", "UNIQUE"),)
    rig.ask(PutService, **spec(4, path="/middle", cpus_milli=400, priority=1, constraints=unique))
    zone = (ConstraintTemplate("zone", "IS", "b"),)
    rig.ask(PutService, **spec(1, path="/zone", cpus_milli=400, constraints=zone))
    rig.master.total, rig.master.free = [AGENT] * 3, [list(AGENT) for _ in range(3)]
    rig.master.usable, rig.master.sessions, rig.master.attributes = [1] * 3, [1] * 3, ZONES[:3]
    rig.restart()
    found = {path: len(views.instances(rig.machine, path)) for path in ("/low", "/high", "/middle", "/zone")}
    assert found == {"/low": 1, "/high": 1, "/middle": 3, "/zone": 1}


def ranges(*texts: str) -> list[dict[str, str]]:
    return [{"ports": text} if text else {} for text in texts]


def test_a_port_of_its_own_choice_is_one_that_the_agent_gives_out(rig: Rig) -> None:
    rig.master.attributes = ranges("31000-31499", "31500-31999", "none", "")
    rig.master.usable = [1, 1, 0, 0]
    rig.ask(PutService, **{**with_port("/b", 31_500), "instances": 1})
    rig.ask(PutService, **{**with_port("/c", 80), "instances": 1})
    assert [launch[2] for launch in rig.master.launches] == [1]
    other = Rig(Services, [AGENT] * 2)
    other.master.attributes = ranges("31000-31499", "")
    other.ask(PutService, **{**with_port("/d", 81), "instances": 1})
    assert [launch[2] for launch in other.master.launches] == [1], "an agent that tells no range may have it"


@pytest.mark.parametrize(
    ("attributes", "port", "sentence"),
    [
        (ranges("31500-31999", "31000-31499"), 80, "/a asks for host port 80, and agents give out 31000-31999 only"),
        (ranges("31000-31099", "32000-32099"), 80, "agents give out 31000-31099, 32000-32099 only"),
        (ranges("31000-31499", "31500-31999"), 31_999, ""),
        (ranges("31000-31499", ""), 80, ""),
        (ranges(), 80, ""),
        (ranges("31000-31499"), 0, ""),
    ],
)
def test_a_port_that_no_agent_gives_out_is_told(attributes: list[dict[str, str]], port: int, sentence: str) -> None:
    template = Template.from_wire(with_port("/a", port)["template"])
    found = views.port_sentence("/a", template, attributes, [""] * len(attributes))
    assert sentence in found and bool(found) == bool(sentence)


def start(rig: Rig, path: str, instances: int, *affinity: AffinityTemplate, **more: Any) -> list[int]:
    """The agents, ascending, on which a service starts."""
    before = len(rig.master.launches)
    rig.ask(PutService, **spec(instances, path=path, affinity=affinity, **more))
    return sorted(launch[2] for launch in rig.master.launches[before:])


def test_apart_from_another_service_whichever_comes_first(rig: Rig) -> None:
    assert start(rig, "/demo/a", 3) == [0, 0, 0]
    assert start(rig, "/demo/b", 2, AffinityTemplate("/demo/a", "zone", False, True)) == [2, 2]
    assert start(rig, "/demo/a", 20, replace=True)[-3:] == [1, 1, 1]
    assert ruled_out(rig, "/demo/a")["constraint:zone apart, as others ask of /demo/a"] == 2


def test_near_another_service_and_near_its_own(rig: Rig) -> None:
    assert start(rig, "/demo/b", 2, AffinityTemplate("/demo/a", "hostname", True, True)) == []
    assert ruled_out(rig, "/demo/b") == {"constraint:hostname near /demo/a": 4}
    constraints = (ConstraintTemplate("disk", "IS", "hdd"),)
    assert start(rig, "/demo/a", 1, constraints=constraints) == [1, 1, 1]
    assert start(rig, "/demo/c", 11, AffinityTemplate("", "hostname", True, True)) == [1] * 7


def test_preferred_agents_come_first_and_others_when_those_are_full(rig: Rig) -> None:
    wanted = (ConstraintTemplate("disk", "IS", "hdd"),)
    assert start(rig, "/demo/a", 12, preferences=wanted) == [0, 0] + [1] * 10
    assert start(rig, "/demo/b", 5, AffinityTemplate("", "hostname", False, False)) == [0, 0, 0, 2, 3]
