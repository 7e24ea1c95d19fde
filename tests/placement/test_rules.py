"""Rules between pods: the kernel against the plain scan, and the edges of what they take."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.placement import Change, Cluster, Demand, Match, Reason, Rules, ShapeError, reference
from orch.placement.reference_rules import Counter, Preference, Rule, RuleBook
from tests.placement.cases import INT32_MOST, Case, cases

UNIT = [1000, 1024, 4096, 1000, 10]


@dataclass
class Ruled:
    """A case, and over it a rule book and what is set aside: agent -> amounts."""

    case: Case
    book: RuleBook
    held: dict[int, list[int]]

    def rules(self) -> Rules:
        rules = Rules(len(self.case.free), len(self.case.requests))
        known: dict[tuple[int, ...], int] = {}
        for counter in self.book.counters:
            codes = tuple(counter.codes)
            if codes not in known:  # as callers do: an attribute once, however many counters it has
                known[codes] = rules.attribute(np.array(counter.codes, np.int32))
            rules.counter(known[codes], np.array(counter.counts, np.int32))
        for shape, counted in enumerate(self.book.counted):
            for counter_number in counted:
                rules.count(shape, counter_number)
            for rule in self.book.rules[shape]:
                rules.rule(shape, rule.counter, rule.operator, rule.limit, rule.name)
            for one in self.book.preferences[shape]:
                rules.prefer(shape, one.counter, one.near)
        return rules

    def held_columns(self) -> tuple[np.ndarray, np.ndarray]:
        rows = sorted(self.held, reverse=True)
        amounts = np.array([self.held[row] for row in rows], np.int32).reshape(len(rows), self.case.dims)
        return np.array(rows, np.int32), amounts

    def match(self, cluster: Cluster, rules: Rules) -> Match:
        case = self.case
        return cluster.match(
            case.requests, case.columns(), case.masks(), case.default_policy, case.headroom, rules, self.held_columns()
        )

    def agents(self) -> reference.Agents:
        """With what is held taken away."""
        agents = self.case.agents()
        for row, amounts in self.held.items():
            agents.held[row] = [min(a, f) for a, f in zip(amounts, agents.free[row], strict=True)]
            reference.charge(agents.free[row], agents.held[row], 1)
        return agents


def counters(draw: st.DrawFn, agents: int) -> list[Counter]:
    columns = [list(range(agents)), [row % 2 for row in range(agents)], [row % 3 for row in range(agents)]]
    columns.append(draw(st.lists(st.integers(-1, 3), min_size=agents, max_size=agents)))
    made = []
    for _ in range(draw(st.integers(1, 4))):
        codes = draw(st.sampled_from(columns))
        values = max(codes, default=-1) + 1 + draw(st.integers(0, 1))
        counts = draw(st.one_of(st.just([0] * values), st.lists(st.integers(0, 3), min_size=values, max_size=values)))
        made.append(Counter(codes, counts))
    return made


@st.composite
def ruled(draw: st.DrawFn, most_agents: int = 7, most_pods: int = 9) -> Ruled:
    """Any case under any rules: every operator, alone and together, on counters of its own pods and of others."""
    case = draw(cases(most_agents=most_agents, most_pods=most_pods))
    case.usable = [draw(st.sampled_from([flag, flag, 2])) if flag else flag for flag in case.usable]
    found = counters(draw, len(case.free))
    numbers = st.integers(0, len(found) - 1)
    counted, rules, preferences = [], [], []
    for _ in case.requests:
        counted.append(sorted(draw(st.sets(numbers, max_size=len(found)))))
        of_shape = []
        for place in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
            operator = draw(st.sampled_from(["MAX", "MAX", "LEAST", "LEAST", "SAME", "SOME"]))
            limit = draw(st.integers(0, 4)) if operator in ("MAX", "LEAST") else 0
            of_shape.append(Rule(draw(numbers), operator, limit, f"{place} {operator}"))
        rules.append(of_shape)
        wants = st.lists(st.builds(Preference, numbers, st.booleans()), max_size=3)
        preferences.append(draw(st.one_of(st.just([]), wants)))
    held = {}
    if case.free and draw(st.booleans()):
        amounts = st.lists(st.integers(0, 8), min_size=case.dims, max_size=case.dims)
        held = draw(st.dictionaries(st.integers(0, len(case.free) - 1), amounts, max_size=3))
    return Ruled(case, RuleBook(found, counted, rules, preferences), held)


def check(one: Ruled) -> tuple[Match, Cluster, Rules]:
    """The kernel's answer, which is that of the reference in every part."""
    cluster, rules, agents = one.case.cluster(), one.rules(), one.agents()
    match = one.match(cluster, rules)
    case = one.case
    expected = reference.match(case.policy, agents, case.demand, case.requests, case.allowed, case.headroom, one.book)
    assert match.agent.tolist() == expected.agent
    assert match.reason.tolist() == expected.reason
    assert {row: match.why(row) for row in match.unplaced_rows.tolist()} == expected.whys
    for row, amounts in agents.held.items():
        reference.charge(agents.free[row], amounts, -1)
    assert cluster.columns()[0].tolist() == agents.free
    assert [rules.counts(c).tolist() for c in range(len(one.book.counters))] == [c.counts for c in one.book.counters]
    return match, cluster, rules


@given(ruled())
@settings(max_examples=500)
def test_a_match_under_rules_equals_the_sequential_scan(one: Ruled) -> None:
    check(one)


@given(ruled(most_agents=24, most_pods=60))
@settings(max_examples=60)
def test_a_match_of_more_pods_under_rules_equals_the_sequential_scan(one: Ruled) -> None:
    check(one)


@given(ruled())
@settings(max_examples=120)
def test_a_rollback_gives_back_resources_and_counts(one: Ruled) -> None:
    before = [list(counter.counts) for counter in one.book.counters]
    match, cluster, rules = check(one)
    cluster.rollback(match)
    assert cluster.columns()[0].tolist() == one.case.free
    assert [rules.counts(c).tolist() for c in range(len(before))] == before
    again = one.match(cluster, rules)
    assert again.agent.tolist() == match.agent.tolist()


@given(ruled())
@settings(max_examples=120)
def test_explaining_under_rules_equals_the_plain_scan_and_changes_nothing(one: Ruled) -> None:
    cluster, rules = one.case.cluster(), one.rules()
    for shape, (request, allowed) in enumerate(zip(one.case.requests, one.case.allowed, strict=True)):
        for gang in (1, 3):
            found = cluster.explain(request, allowed, gang, rules, shape, one.held_columns())
            assert found == reference.explain(one.agents(), request, allowed, gang, one.book, shape)
    assert cluster.columns()[0].tolist() == one.case.free
    assert [rules.counts(c).tolist() for c in range(len(one.book.counters))] == [c.counts for c in one.book.counters]


@given(ruled())
@settings(max_examples=150)
def test_each_change_lets_the_pod_fit_on_its_agent(one: Ruled) -> None:
    """Re-checked by the reference, each change made alone."""
    for shape, (request, allowed) in enumerate(zip(one.case.requests, one.case.allowed, strict=True)):
        agents = one.agents()
        found = reference.explain(agents, request, allowed, 1, one.book, shape)
        for change in found.changes:
            asked = reference.Asked(request, allowed, shape, one.book)
            offered = asked.offered(agents)
            failed = reference.failures(agents, change.agent, asked, offered)
            assert failed == [change.predicate]
            if change.less is not None:
                d = reference.OF_RESOURCES.index(change.predicate)
                less = [r - change.less * (i == d) for i, r in enumerate(request)]
                assert reference.failures(agents, change.agent, replace(asked, request=less), offered) == []
                assert agents.free[change.agent][d] == less[d]


# ---- what each operator says, by example -------------------------------------------------------------------------


def cluster_of(*agents: list[int], usable: list[int] | None = None) -> Cluster:
    rows = np.array(agents, np.int32).reshape(-1, 5)
    return Cluster(rows, rows, np.array(usable or [1] * len(rows), np.uint8))


def one_shape(codes: list[int], operator: str, limit: int = 0, counts: list[int] | None = None) -> Rules:
    """One shape whose pods are counted over `codes`, under one rule."""
    rules = Rules(len(codes), 1)
    counter = rules.counter(rules.attribute(codes), counts)
    rules.count(0, counter)
    rules.rule(0, counter, operator, limit, f"@zone {operator}")
    return rules


SMALL = [[100, 0, 0, 0, 0]]


@pytest.mark.parametrize("policy", ["best-fit", "first-fit", "spread"])
def test_group_by_goes_round_the_values_in_order_of_their_codes(policy: str) -> None:
    match = cluster_of(*[UNIT] * 4).match(
        SMALL, Demand.of([0], [7]), policy=policy, rules=one_shape([1, 0, 2, 2], "LEAST")
    )
    zones = np.array([1, 0, 2, 2])[match.agent]
    assert zones.tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_group_by_stops_where_a_value_has_no_room_after_the_round_is_full() -> None:
    full = [100, 0, 0, 0, 0]
    match = cluster_of(UNIT, full, UNIT).match(SMALL, Demand.of([0], [9]), rules=one_shape([0, 1, 2], "LEAST"))
    assert match.agent.tolist() == [0, 1, 2, 0, 2, -1, -1, -1, -1]
    why = match.why(0)
    assert why is not None
    assert [(out.predicate, out.agents) for out in why.ruled_out] == [("constraint:@zone LEAST", 2), ("cpus", 1)]


def test_group_by_passes_over_a_value_in_the_last_round_alone() -> None:
    """Two pods: the first value has no room, so the second and third get them."""
    match = cluster_of([0, 0, 0, 0, 1], UNIT, UNIT).match(
        SMALL, Demand.of([0], [2]), rules=one_shape([0, 1, 2], "LEAST")
    )
    assert match.agent.tolist() == [1, 2]


def test_group_by_starts_from_what_is_there() -> None:
    rules = one_shape([0, 1, 2], "LEAST", counts=[3, 1, 0])
    match = cluster_of(*[UNIT] * 3).match(SMALL, Demand.of([0], [6]), rules=rules)
    assert match.agent.tolist() == [2, 1, 2, 1, 2, 0]
    assert rules.counts(0).tolist() == [4, 3, 3]


def test_group_by_with_a_least_number_of_values_waits_for_them() -> None:
    match = cluster_of(UNIT, UNIT).match(SMALL, Demand.of([0], [5]), rules=one_shape([0, 1], "LEAST", 3))
    assert match.agent.tolist() == [0, 1, -1, -1, -1]


def test_max_per_fills_up_to_what_is_there_and_unique_takes_one() -> None:
    rules = one_shape([0, 0, 1], "MAX", 3, counts=[1, 0])
    match = cluster_of(*[UNIT] * 3).match(SMALL, Demand.of([0], [9]), rules=rules)
    assert match.agent.tolist() == [0, 0, 2, 2, 2, -1, -1, -1, -1]
    unique = cluster_of(*[UNIT] * 3).match(SMALL, Demand.of([0], [4]), rules=one_shape([0, 1, 2], "MAX", 1))
    assert unique.agent.tolist() == [0, 1, 2, -1]
    assert unique.reason.tolist() == [0, 0, 0, Reason.CONSTRAINT]


def test_cluster_keeps_to_the_value_of_the_first() -> None:
    small = [200, 0, 0, 0, 1]
    match = cluster_of(UNIT, small, small).match(SMALL, Demand.of([0], [5]), rules=one_shape([0, 1, 1], "SAME"))
    assert match.agent.tolist() == [1, 1, 2, 2, -1]


def test_affinity_and_anti_affinity_see_what_was_placed_earlier_in_the_match() -> None:
    """Shape 1 goes where 0 lies, shape 2 where it does not."""
    rules = Rules(3, 3)
    counter = rules.counter(rules.hosts())
    rules.count(0, counter)
    rules.rule(1, counter, "SOME")
    rules.rule(2, counter, "MAX", 1)
    match = cluster_of(*[UNIT] * 3).match(SMALL * 3, Demand.of([1, 0, 2], [2, 1, 2], priority=[1, 2, 0]), rules=rules)
    assert match.agent.tolist() == [0, 0, 0, 1, 1]


def test_a_gang_that_the_rules_break_leaves_no_trace() -> None:
    rules = one_shape([0, 1, 2], "MAX", 1)
    cluster = cluster_of(*[UNIT] * 3)
    match = cluster.match(SMALL, Demand.of([0], [4], gang=[2]), rules=rules)
    assert match.agent.tolist() == [0, 1, -1, -1]
    assert rules.counts(0).tolist() == [1, 1, 0]
    assert cluster.columns()[0][:, 0].tolist() == [900, 900, 1000]
    why = match.why(0)
    assert why is not None
    assert (why.reason, why.room) == (Reason.GANG, 1)


def test_what_is_held_is_given_back_and_its_lack_is_said() -> None:
    cluster = cluster_of(UNIT, UNIT)
    held = ([1, 0], [[5000, 0, 0, 0, 0], [950, 0, 0, 0, 0]])
    match = cluster.match(SMALL, Demand.of([0], [1]), held=held)
    why = match.why(0)
    assert why is not None
    assert (why.reason, why.smallest_change) == (Reason.RESERVED, Change("reserved", 0))
    assert why.sentence(["a1", "a2"]).endswith("it would fit without what is reserved on a1")
    assert cluster.columns()[0].tolist() == [UNIT, UNIT]


def test_a_draining_agent_takes_nothing_and_says_so() -> None:
    cluster = cluster_of(UNIT, [50, 0, 0, 0, 0], usable=[2, 1])
    assert cluster.columns()[2].tolist() == [2, 1]
    why = cluster.explain([500, 0, 0, 0, 0])
    assert [(out.predicate, out.agents) for out in why.ruled_out] == [("draining", 1), ("cpus", 1)]
    assert why.changes == (Change("draining", 0), Change("cpus", 1, 450))
    assert why.sentence(["a12", "a2"]).startswith("2 agents: 1 is draining, 1 has too few cpus")
    alone = cluster_of(UNIT, usable=[2]).explain([500, 0, 0, 0, 0])
    assert alone.reason == Reason.DRAINING
    assert alone.sentence(["a12"]) == "1 agent: 1 is draining; it would fit once a12 is drained no more"


def test_the_smallest_reduction_is_the_least_part_of_what_was_asked() -> None:
    agents = [[900, 1024, 0, 0, 0], [1000, 1000, 0, 0, 0]]
    why = Cluster(agents, [UNIT, UNIT], [1, 1]).explain([1000, 1024, 0, 0, 0])
    assert why.changes == (Change("cpus", 0, 100), Change("mem", 1, 24))
    assert why.smallest_change == Change("mem", 1, 24)
    assert why.sentence(["a1", "a2"]).endswith("with 24 MiB less mem it would fit on a2")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: r.attribute([0]), r"codes has shape \[1\], and must have \[2\]"),
        (lambda r: r.attribute([0, -2]), "codes holds -2"),
        (lambda r: r.counter(3), "attribute is 3, and there are 1"),
        (lambda r: r.counter(0, [1]), "counts has 1 values, and the attribute has codes up to 1"),
        (lambda r: r.counter(0, [1, -1]), "counts holds -1"),
        (lambda r: r.count(2, 0), "shape is 2, and there are 1"),
        (lambda r: r.count(0, 7), "counter is 7, and there are 1"),
        (lambda r: r.rule(0, 0, "MOST"), "operator is 'MOST', and must be one of MAX, LEAST, SAME, SOME"),
        (lambda r: r.rule(0, 0, "MAX", -1), "limit is -1"),
        (lambda r: [r.rule(0, 0, "MAX", 1) for _ in range(17)], "shape 0 has 16 rules already"),
    ],
)
def test_bad_rules_are_refused(make: object, message: str) -> None:
    rules = Rules(2, 1)
    rules.counter(rules.attribute([0, 1]))
    with pytest.raises(ShapeError, match=message):
        make(rules)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rules": Rules(3, 1)}, "of 3 agents and 1 shapes; the match has 2 and 1"),
        ({"rules": one_shape([0, 0], "MAX", 1, counts=[INT32_MOST])}, "may not fit int32"),
        ({"held": ([0, 0], [UNIT, UNIT])}, "names an agent twice"),
        ({"held": ([2], [UNIT])}, "held rows holds 2"),
        ({"held": ([0], [[-1] * 5])}, "held amounts holds -1"),
        ({"held": ([0], [[1] * 4])}, "held amounts has shape"),
    ],
)
def test_rules_and_reservations_of_another_match_are_refused(more: dict[str, object], message: str) -> None:
    cluster = cluster_of(UNIT, UNIT)
    with pytest.raises(ShapeError, match=message):
        cluster.match(SMALL, Demand.of([0], [1]), **more)
    assert cluster.columns()[0].tolist() == [UNIT, UNIT]


def test_an_attribute_that_nobody_has_rules_everyone_out() -> None:
    match = cluster_of(UNIT).match(SMALL, Demand.of([0], [1]), rules=one_shape([-1], "LEAST"))
    assert match.reason.tolist() == [Reason.CONSTRAINT]
    none = Cluster(np.empty((0, 5), np.int32), np.empty((0, 5), np.int32), []).match(
        SMALL, Demand.of([0], [1]), rules=one_shape([], "LEAST")
    )
    assert none.reason.tolist() == [Reason.NO_AGENTS]
