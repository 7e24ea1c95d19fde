"""`python -m bench mix`: what counts as placed, and what is judged as wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from acceptance import gpu as gpu_lines
from acceptance import kernel as kernel_lines
from acceptance import mix as mix_lines

from bench import mix
from tests.quality.source import ROOT


def test_an_unknown_shape_is_a_usage_error() -> None:
    command = [sys.executable, "-m", "bench", "mix", "--case", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no case" in done.stderr


def test_every_shape_is_judged() -> None:
    assert all(0 < shape.pods <= 10_000 for shape in mix.SHAPES.values())
    assert set(mix_lines.SHAPES) == set(mix.SHAPES)


def test_a_pod_is_placed_in_every_state_but_the_first() -> None:
    assert mix._placed({"states": {"SCHEDULED": 5, "STAGING": 3, "RUNNING": 2, "FAILED": 1}}) == 6


class Reported:
    """A job that says that its pods are on these agents."""

    def __init__(self, *agents: int) -> None:
        self._agents = np.array(agents, np.int32)

    def _columns(self) -> dict[str, Any]:
        return {"agents": self._agents}


@pytest.mark.parametrize(
    ("agents", "placed", "right"),
    [
        ([7] * 40, 40, True),  # 4 CPUs are 40 pods
        ([7] * 41, 41, False),
        ([0, 1, 2, -1], 3, True),
        ([0, 1, 2, -1], 4, False),
    ],
)
def test_jobs_are_right_where_all_that_is_placed_fits(agents: list[int], placed: int, right: bool) -> None:
    assert mix._is_right([Reported(*agents[:2]), Reported(*agents[2:])], placed) is right


def test_the_lines_of_mix_pass_by_a_verified_figure_alone() -> None:
    cases = {name: {"figure": 20_000.0, "verified": True} for name in mix.SHAPES}
    assert all(line.passed for line in mix_lines.judged(cases, ""))
    cases["basic"]["verified"] = False
    cases["churn"]["figure"] = 19_999.0
    cases["mixed"] = {"figure": None, "verified": None, "unsupported": "no way to say so"}
    del cases["preemption"]
    lines = {line.name: line for line in mix_lines.judged(cases, "the end of the run")}
    failed = {name for name, line in lines.items() if not line.passed}
    assert failed == {"mix basic", "mix churn", "mix mixed", "mix preemption"}
    assert lines["mix mixed"].detail == "unsupported: no way to say so"
    assert "the end of the run" in lines["mix preemption"].detail


def test_the_lines_of_gpu_compare_with_the_authors() -> None:
    cases = {
        f"{name}/fgd-fill/mean": {"figure": theirs, "verified": True} for name, theirs in gpu_lines.AUTHORS.items()
    }
    cases["default/fgd/mean"] = {"figure": 95.4, "verified": True}
    assert [line.passed for line in gpu_lines.judged(cases, "")] == [True] * 7
    cases["cpu100/fgd-fill/mean"]["figure"] -= 0.3
    assert [line.name for line in gpu_lines.judged(cases, "") if not line.passed] == ["gpu mean to authors"]
    cases["cpu100/fgd-fill/mean"]["figure"] -= 0.1
    assert len([line for line in gpu_lines.judged(cases, "") if not line.passed]) == 2
    assert not any(line.passed for line in gpu_lines.judged({}, "no traces"))


def test_the_kernel_s_memory_counts_only_where_the_run_was_verified() -> None:
    row = {"verified": True, "bytes_an_agent": 100.0, "bytes_a_pod": 8.1}
    assert [line.passed for line in kernel_lines.memory(row, "")] == [True, False]
    assert [line.passed for line in kernel_lines.memory(row | {"verified": False}, "")] == [False, False]
