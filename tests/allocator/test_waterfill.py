"""Water-filling: its laws, and a plain unit-by-unit filling for one resource."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orch.allocator import fill
from orch.allocator.waterfill import _TOP, fill_each
from orch.model.resources import R

Ints = np.ndarray


class Case(NamedTuple):
    capacity: Ints
    demand: Ints
    used: Ints
    weight: Ints
    total: Ints


@st.composite
def cases(draw: st.DrawFn, resources: int = R) -> Case:
    claimants = draw(st.integers(1, 5))
    total = [draw(st.integers(1, 20_000)) if d < resources else 0 for d in range(R)]
    capacity = [draw(st.integers(0, most)) for most in total]
    demand = [[draw(st.integers(0, 2 * most)) for most in total] for _ in range(claimants)]
    used = [[draw(st.integers(0, most)) for most in total] for _ in range(claimants)]
    weight = [draw(st.integers(1, 4)) for _ in range(claimants)]
    return Case(*(np.array(part, dtype=np.int64) for part in (capacity, demand, used, weight, total)))


def slack(case: Case) -> Ints:
    """float[R]: what rounding may cost: a unit of each claimant, and a step of the level."""
    return len(case.demand) * (2 + case.weight.sum() * case.total / 2**19)


@given(cases())
def test_nobody_gets_more_than_it_wants_and_all_together_no_more_than_there_is(case: Case) -> None:
    grant = fill(*case)
    assert np.all(grant >= 0) and np.all(grant <= case.demand)
    assert np.all(grant.sum(axis=0) <= case.capacity)


@given(cases())
def test_who_gets_less_than_it_wants_needs_a_resource_that_has_run_out(case: Case) -> None:
    grant = fill(*case)
    left = case.capacity - grant.sum(axis=0)
    shares = (case.used + grant) / np.maximum(case.total, 1)
    for at in np.flatnonzero((grant < case.demand - 1).any(axis=1)):
        dry = (left <= slack(case)) & (case.demand[at] > 0)
        full = shares[at].max() >= _TOP / 2**20
        # What it lacks of its own mix is less than a unit of its scarcest resource.
        part = (grant[at] + 2)[case.demand[at] > 0] / case.demand[at][case.demand[at] > 0]
        # Its first pods come at once where it uses much of a resource of which they need little: they may not fit.
        first = not grant[at].any() and case.used[at][case.demand[at] > 0].any()
        assert dry.any() or full or part.min() >= 1 or first


@given(cases(), st.data())
def test_claimants_each_with_a_capacity_of_its_own_are_filled_as_one_by_one(case: Case, data: st.DataObject) -> None:
    own = np.array([[data.draw(st.integers(0, 2 * most)) for most in case.total.tolist()] for _ in case.demand])
    found = fill_each(own, case.demand, case.used, case.weight, case.total)
    for at, capacity in enumerate(own):
        one = slice(at, at + 1)
        alone = fill(capacity, case.demand[one], case.used[one], case.weight[one], case.total)
        assert found[at].tolist() == alone[0].tolist()


@given(cases(resources=1))
def test_of_one_resource_who_got_something_is_not_ahead_of_who_wants_more(case: Case) -> None:
    grant = fill(*case)
    share = (case.used + grant)[:, 0] / case.weight
    for hungry in np.flatnonzero(grant[:, 0] < case.demand[:, 0]):
        for fed in np.flatnonzero(grant[:, 0] > 0):
            assert share[fed] <= share[hungry] + slack(case)[0]


@given(cases(resources=1), st.integers(0, 20_000))
def test_more_capacity_of_one_resource_is_less_for_nobody(case: Case, more: int) -> None:
    richer = case._replace(capacity=case.capacity + np.array([more, 0, 0, 0, 0]))
    assert np.all(fill(*richer) >= fill(*case))


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_claimants_does_not_matter(case: Case, dice: st.DataObject) -> None:
    order = list(range(len(case.demand)))
    dice.shuffle(order)
    shuffled = case._replace(demand=case.demand[order], used=case.used[order], weight=case.weight[order])
    assert np.array_equal(fill(*shuffled), fill(*case)[order])


@given(cases())
def test_enough_for_all_is_given_to_all(case: Case) -> None:
    rich = case._replace(capacity=case.demand.sum(axis=0))
    assert np.array_equal(fill(*rich), case.demand)


@given(cases(resources=1))
def test_one_resource_is_filled_as_if_unit_by_unit(case: Case) -> None:
    grant = [0] * len(case.demand)
    for _ in range(min(int(case.capacity[0]), 400)):
        hungry = [at for at in range(len(grant)) if grant[at] < case.demand[at, 0]]
        if not hungry:
            break
        first = min(hungry, key=lambda at: ((case.used[at, 0] + grant[at]) / case.weight[at], at))
        grant[first] += 1
    small = case._replace(capacity=np.minimum(case.capacity, 400))
    assert np.all(np.abs(fill(*small)[:, 0] - grant) <= slack(small)[0])


def test_two_equals_get_half_each_and_a_third_that_needs_something_else_gets_all_of_it() -> None:
    demand = np.array([[1000, 10, 0, 0, 0], [1000, 10, 0, 0, 0], [0, 0, 0, 0, 8]], dtype=np.int64)
    total = np.array([1000, 1000, 0, 0, 8], dtype=np.int64)
    grant = fill(total, demand, np.zeros_like(demand), np.ones(3, dtype=np.int64), total)
    assert grant.tolist() == [[500, 5, 0, 0, 0], [500, 5, 0, 0, 0], [0, 0, 0, 0, 8]]


def test_a_group_of_weight_two_gets_twice_as_much() -> None:
    demand = np.array([[900, 0, 0, 0, 0], [900, 0, 0, 0, 0]], dtype=np.int64)
    total = np.array([900, 0, 0, 0, 0], dtype=np.int64)
    grant = fill(total, demand, np.zeros_like(demand), np.array([2, 1]), total)
    assert grant[:, 0].tolist() == [600, 300]


def test_a_resource_of_few_units_does_not_hold_the_others_back() -> None:
    demand = np.array([[0, 0, 4, 1, 0]], dtype=np.int64)
    total, capacity = np.array([1, 1, 12, 3, 1]), np.array([0, 0, 3, 3, 0])
    assert fill(capacity, demand, np.zeros_like(demand), np.array([1]), total).tolist() == [[0, 0, 3, 0, 0]]


def test_amounts_near_the_limit_do_not_overflow() -> None:
    total = np.full(R, 2**41, dtype=np.int64)
    demand = np.stack([total, total])
    grant = fill(total, demand, np.zeros_like(demand), np.array([1, 1]), total)
    assert np.all(np.abs(grant - 2**40) <= 2**22)


def test_who_uses_more_than_everything_gets_nothing_while_others_want_it() -> None:
    demand = np.array([[100, 0, 0, 0, 0], [100, 0, 0, 0, 0]], dtype=np.int64)
    used = np.array([[500, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=np.int64)
    total = np.array([100, 0, 0, 0, 0], dtype=np.int64)
    assert fill(total, demand, used, np.array([1, 1]), total)[:, 0].tolist() == [0, 100]
