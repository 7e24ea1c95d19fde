"""Every seed of the simulator, and that a seed is a whole run that anyone can repeat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orch.sim.run import run

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 200


@pytest.mark.timeout(900)
def test_no_seed_violates_an_invariant() -> None:
    fresh = _seed_of_the_commit()
    halves = [(0, SEEDS), (fresh, fresh + SEEDS)]
    runs = [_start(first, last) for first, last in halves]
    results = [json.loads(line) for run in runs for line in _lines(run)]
    assert len(results) == 2 * SEEDS
    broken = {result["seed"]: result["violations"] for result in results if result["violations"]}
    assert not broken, f"replay with: python -m orch.sim --trace {next(iter(broken))}"


def test_a_seed_gives_the_same_digest_again() -> None:
    first, again = run(7), run(7)
    assert (first.digest, first.events) == (again.digest, again.events)


def test_another_seed_gives_another_digest() -> None:
    assert run(7).digest != run(8).digest


def test_a_trace_tells_what_happened() -> None:
    assert any("asks SubmitJob" in line for line in run(7, trace=True).trace)


def _seed_of_the_commit() -> int:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return 1_000 + int(done.stdout[:6] or "0", 16)


def _start(first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orch.sim", "--seeds", f"{first}:{last}", "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _lines(run: subprocess.Popen[str]) -> list[str]:
    out, _ = run.communicate()
    return out.splitlines()
