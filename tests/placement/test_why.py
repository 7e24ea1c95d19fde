"""Why as data: counted once, re-checked by the reference, and said in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import (
    PREDICATES,
    SENTENCES,
    Cluster,
    Demand,
    Nearest,
    Reason,
    RuledOut,
    ShapeError,
    Why,
    explain,
    reference,
)
from tests.placement.cases import Case, cases

UNIT = [1000, 1024, 4096, 1000, 10]


def why(request: list[int], agents: list[list[int]], **more: object) -> Why:
    """Of idle agents of these totals."""
    agents = np.array(agents, np.int32).reshape(len(agents), len(request))
    free = more.pop("free", agents)
    usable = more.pop("usable", [1] * len(agents))
    return explain(request, free, agents, usable, **more)


@given(cases(), st.integers(1, 5))
@settings(max_examples=400)
def test_an_explanation_equals_the_reference(case: Case, gang: int) -> None:
    for request, allowed in zip(case.requests, case.allowed, strict=True):
        found = case.cluster().explain(request, allowed, gang)
        assert found == reference.explain(case.agents(), request, allowed, gang)


@given(cases())
def test_each_agent_is_counted_once(case: Case) -> None:
    for request, allowed in zip(case.requests, case.allowed, strict=True):
        found = case.cluster().explain(request, allowed)
        assert found.agents == sum(any(total) for total in case.total)
        assert found.agents == found.feasible + sum(out.agents for out in found.ruled_out)
        assert found.feasible <= found.feasible_empty
        assert found.never == (found.agents > 0 and found.feasible_empty == 0)


def test_the_sentence_of_what_no_agent_can_ever_hold() -> None:
    found = why([1_000_000, 32, 0, 0, 0], [UNIT, UNIT])
    assert found.never
    assert found.sentence() == (
        "2 agents: 2 have too few cpus (asked 1000, most on one agent: 1); no agent could hold it even when empty "
        "(the largest has cpus 1): ask for less, or add a larger agent"
    )


def test_the_dictionary_is_what_the_surfaces_show() -> None:
    found = why([100, 64, 0, 0, 0], [UNIT, UNIT], free=[[50, 1024, 0, 0, 0], [1000, 32, 0, 0, 0]])
    assert found.to_dict(["a1", "a2"], id="/demo/web") == {
        "id": "/demo/web",
        "agents": 2,
        "feasible": 0,
        "ruled_out": [{"predicate": "cpus", "agents": 1}, {"predicate": "mem", "agents": 1}],
        "nearest": {"agent": "a1", "resource": "cpus", "asked": 0.1, "free": 0.05},
        "never": False,
        "change": {"predicate": "cpus", "agent": "a1", "less": 0.05},
        "sentence": "2 agents: 1 has too few cpus (asked 0.1, most on one agent: 0.05), 1 has too little mem "
        "(asked 64 MiB, most on one agent: 32 MiB); nearest is a1 with 0.05 of 0.1 cpus free; with 0.05 less cpus it "
        "would fit on a1",
    }


def test_agents_are_named_by_a_function_or_left_as_rows() -> None:
    found = why([2000, 0, 0, 0, 0], [UNIT, [2000, 0, 0, 0, 0]], free=[UNIT, [1500, 0, 0, 0, 0]])
    assert found.sentence(lambda row: f"node-{row}").endswith(
        "nearest is node-1 with 1.5 of 2 cpus free; with 0.5 less cpus it would fit on node-1"
    )
    assert found.sentence().endswith("1.5 of 2 cpus free; with 0.5 less cpus it would fit on agent 1")
    shown = found.to_dict()["nearest"]
    assert shown == {"agent": 1, "resource": "cpus", "asked": 2, "free": 1.5}


@pytest.mark.parametrize(
    ("usable", "allowed", "sentence"),
    [
        ([0, 0], None, "2 agents: 2 are drained or unreachable; nearest is agent 0, which is drained or unreachable; "
         "it would fit once agent 0 is usable"),
        ([1, 0], [0, 1], "2 agents: 1 is drained or unreachable, 1 does not match its constraints; "
         "nearest is agent 0, which does not match its constraints; it would fit once agent 1 is usable"),
        ([1, 1], [0, 0], "2 agents: 2 do not match its constraints; "
         "nearest is agent 0, which does not match its constraints; it would fit without its constraints, on agent 0"),
        ([1, 0], None, "2 agents: 1 is drained or unreachable, 1 would hold it"),
    ],
)  # fmt: skip
def test_the_sentence_of_drained_agents_and_constraints(usable: list[int], allowed: object, sentence: str) -> None:
    assert why([100, 0, 0, 0, 0], [UNIT, UNIT], usable=usable, allowed=allowed).sentence() == sentence


def test_one_agent_needs_no_nearest_in_the_sentence() -> None:
    found = why([1000, 0, 0, 0, 20], [[1000, 0, 0, 0, 30]], free=[[1000, 0, 0, 0, 10]])
    assert (
        found.sentence()
        == "1 agent: 1 has too few ports (asked 20, most on one agent: 10); with 10 less ports it would fit on agent 0"
    )


def test_no_agents_is_not_never() -> None:
    found = why([100, 0, 0, 0, 0], [])
    assert (found.reason, found.never, found.nearest) == (Reason.NO_AGENTS, False, None)
    assert found.sentence().startswith("there are no agents")
    assert found.to_dict()["nearest"] is None


def test_what_is_spread_over_agents_is_never_and_says_so() -> None:
    found = why([1000, 1000, 0, 0, 0], [[1000, 10, 0, 0, 0], [10, 1000, 0, 0, 0]])
    assert found.never
    assert "no agent could hold it even when empty: ask for less" in found.sentence()


def test_the_sentence_of_a_gang_says_how_many_fit() -> None:
    found = why([400, 0, 0, 0, 0], [UNIT, UNIT], gang=8)
    assert found.reason == Reason.GANG
    assert found.sentence() == (
        "2 agents: 2 would hold one of its pods; a gang of 8 is placed whole or not at all, and there is room for 4"
    )


def test_the_sentence_of_a_used_up_headroom_says_what_is_left() -> None:
    match = Cluster([UNIT], [UNIT], [1]).match(
        [[400, 300, 0, 0, 0]], Demand.of([0], [2]), headroom=[500, 10**6, 0, 0, 0]
    )
    found = match.why(0)
    assert found is not None
    assert found.sentence() == "1 agent: 1 would hold it; its group may take no more: cpus asked 0.4, left 0.1"


def test_a_headroom_below_nothing_is_said_to_be_nothing() -> None:
    match = Cluster([UNIT], [UNIT], [1]).match(
        [[0, 300, 0, 0, 0]], Demand.of([0], [2]), headroom=[0, -(2**40), 0, 0, 0]
    )
    found = match.why(0)
    assert found is not None
    assert found.left == -(2**31 - 1)
    assert found.sentence().endswith("mem asked 300 MiB, left 0 MiB")


def test_the_nearest_fails_by_the_fewest_predicates_then_by_the_least_share() -> None:
    agents = [[1000, 10, 0, 0, 0], [100, 1000, 0, 0, 0], [990, 900, 0, 0, 0], [500, 1000, 0, 0, 0]]
    found = why([1000, 1000, 0, 0, 0], agents)
    assert found.nearest == Nearest(3, "cpus", 1000, 500)
    assert found.ruled_out == (RuledOut("cpus", 3, 1000, 990), RuledOut("mem", 1, 1000, 10))


def test_what_fits_is_said_to_fit() -> None:
    found = why([100, 0, 0, 0, 0], [UNIT])
    assert (found.reason, found.sentence()) == (Reason.PLACED, "1 agent: 1 would hold it")


def test_further_resources_have_numbers_for_names() -> None:
    request = [1, 1, 1, 1, 1, 1, 1, 7]
    found = why(request, [[5] * 8])
    assert found.ruled_out == (RuledOut("resource 7", 1, 7, 5),)
    assert found.reason == Reason.TOO_FEW_OF_7
    nearest = found.to_dict()["nearest"]
    assert nearest == {"agent": 0, "resource": "resource 7", "asked": 7, "free": 5}


def test_every_reason_has_a_sentence() -> None:
    assert sorted(SENTENCES) == sorted(Reason)
    assert len(PREDICATES) == 4 + len([reason for reason in Reason if reason.name.startswith("TOO_FEW")])


@pytest.mark.parametrize(
    ("request_", "allowed", "message"),
    [
        ([1] * 4, None, "request has shape"),
        ([-1] * 5, None, "request holds -1"),
        ([1] * 5, [1, 1], "allowed has shape"),
    ],
)
def test_bad_questions_are_refused(request_: list[int], allowed: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        explain(request_, [UNIT], [UNIT], [1], allowed)


def test_a_why_is_the_same_from_the_same_columns_in_any_memory_layout() -> None:
    free = np.asfortranarray([UNIT, UNIT])
    assert explain([2000, 0, 0, 0, 0], free, free, [1, 1]) == why([2000, 0, 0, 0, 0], [UNIT, UNIT])


def test_an_agent_that_is_only_drained_is_nearer_than_one_that_lacks_something() -> None:
    """Also after agents that fail by more, and one that lacks a single resource, were seen."""
    found = why([500, 0, 0, 0, 0], [UNIT, [400, 0, 0, 0, 0], UNIT], usable=[0, 1, 0], allowed=[0, 1, 1])
    assert found.nearest == Nearest(2, "usable")
