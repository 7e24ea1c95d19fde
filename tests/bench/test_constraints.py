"""The rows of `bench placement` under constraints: what the kernel gives is right, and what is wrong is found."""

from __future__ import annotations

import numpy as np
import pytest

from bench import constraints
from bench.workloads import Case, workload

SMALL = Case(2000, 48, 6)


@pytest.mark.parametrize("name", constraints.NAMES)
def test_the_kernel_keeps_each_constraint_and_leaves_nothing_that_fits(name: str) -> None:
    made = workload(SMALL, 3)
    one = constraints.constraint(name, made)
    agent, _, _ = constraints.timed(made, one.arguments())
    assert one.check(agent) == []
    assert (agent >= 0).sum() > 200


@pytest.mark.parametrize("name", constraints.NAMES)
def test_the_plain_assignment_breaks_each_constraint(name: str) -> None:
    made = workload(SMALL, 3)
    plain, _, _ = constraints.timed(made, {})
    assert constraints.constraint(name, made).check(plain)


@pytest.mark.parametrize("name", constraints.NAMES)
def test_a_pod_that_is_left_out_is_found(name: str) -> None:
    made = workload(SMALL, 3)
    one = constraints.constraint(name, made)
    agent, _, _ = constraints.timed(made, one.arguments())
    agent[np.flatnonzero(agent >= 0)[-1]] = -1
    assert any("still fits" in wrong for wrong in one.check(agent))
