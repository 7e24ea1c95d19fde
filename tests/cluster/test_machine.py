"""Agents on one machine share what it has, and together never more than that."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.cluster.machine import PORTS_FIRST, PORTS_LAST, detect, plan_agents
from orch.model.errors import UsageError

MACHINE = {"cpus_milli": 2000, "mem_mib": 7000, "disk_mib": 50_000, "gpus_milli": 3000}


def test_this_machine_has_something_to_offer(tmp_path: Path) -> None:
    found = detect(tmp_path)
    assert found["cpus_milli"] >= 100
    assert found["mem_mib"] > 0
    assert found["disk_mib"] > 0


@given(st.integers(1, 50))
def test_shares_are_even_and_fit(count: int) -> None:
    agents = plan_agents(count, MACHINE, "a", None, None, "head", simulated=False)
    assert [agent["name"] for agent in agents] == [f"a{i + 1}" for i in range(count)]
    for name, total in MACHINE.items():
        assert sum(agent[name] for agent in agents) <= total
        assert len({agent[name] for agent in agents}) == 1
    ports = [port for agent in agents for port in range(agent["ports"][0], agent["ports"][1] + 1)]
    assert len(set(ports)) == len(ports)
    assert [agent["attributes"]["ports"] for agent in agents] == ["{}-{}".format(*agent["ports"]) for agent in agents]
    assert PORTS_FIRST <= min(ports) <= max(ports) <= PORTS_LAST


def test_what_is_said_overrides_the_share() -> None:
    (one,) = plan_agents(1, MACHINE, "a", 0.5, 100, "head", simulated=False)
    assert (one["cpus_milli"], one["mem_mib"], one["disk_mib"]) == (500, 100, 50_000)


def test_simulated_machines_do_not_share() -> None:
    agents = plan_agents(2000, MACHINE, "a", None, None, "head", simulated=True)
    assert {agent["cpus_milli"] for agent in agents} == {16_000}
    assert len({agent["attributes"]["hostname"] for agent in agents}) == 2000


@pytest.mark.parametrize(
    ("count", "cpus", "mem", "message"),
    [
        (0, None, None, "at least one agent, 0 were asked for"),
        (1, -1.0, None, "--agent-cpus must be more than 0"),
        (1, None, 0, "--agent-mem must be a number of MiB above 0"),
        (1001, None, None, "use --simulated"),
    ],
)
def test_nonsense_is_refused_with_the_remedy(count: int, cpus: float | None, mem: int | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_agents(count, MACHINE, "a", cpus, mem, "head", simulated=False)
