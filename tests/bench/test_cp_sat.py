"""The solver as a peer of `placement`: that its answers are checked, and what it says where it is not there."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from bench.peers import cp_sat
from tests.quality.source import ROOT

TOTAL = np.array([[4, 4], [8, 8], [4, 4], [8, 8], [4, 4]])
REQUESTS = np.array([[2, 1], [1, 3]])


@pytest.mark.parametrize(
    ("counts", "right"),
    [
        ([[2, 0, 0, 0, 0], [0, 2, 0, 0, 0]], True),
        ([[2, 0, 0, 0, 0], [0, 0, 2, 0, 0]], False),  # 6 of the second resource on an agent that has 4
        ([[1, 0, 0, 0, 0], [0, 2, 0, 0, 0]], False),  # one is missing
        ([[3, -1, 0, 0, 0], [0, 2, 0, 0, 0]], False),
    ],
)
def test_an_assignment_of_counts_is_checked(counts: list[list[int]], right: bool) -> None:
    assert cp_sat.is_right(TOTAL, REQUESTS, np.array([2, 2]), np.array(counts)) is right


def test_agents_that_are_alike_are_used_in_their_order() -> None:
    assert cp_sat._alike(TOTAL) == [(0, 2), (1, 3), (2, 4)]


def test_a_small_case_has_a_row_of_the_solver_whether_it_is_there_or_not() -> None:
    command = [sys.executable, "-m", "bench", "placement", "--quick", "--case", "20,4,3", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = next(row for row in map(json.loads, done.stdout.splitlines()) if row["case"].endswith("CP-SAT"))
    if cp_sat.installed():
        assert row["verified"] and row["least_agents"] <= row["figure"] <= row["agents_used"]
    else:
        assert (row["figure"], row["verified"]) == (None, None)
        assert cp_sat.PACKAGE in row["not_installed"]
