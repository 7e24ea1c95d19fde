"""The simulator finds what it is there to find: three defects of one line each, put into a copy of the program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DEFECTS = {
    "what leaves does not wait for the journal": (
        "orch/machine/host.py",
        "while self._held and self._held[0][0] <= self.durable_index:",
        "while self._held:",
    ),
    "an agent takes messages of an old session": (
        "orch/agent/link.py",
        "return self.session != 0 and (epoch, session) == (self.epoch, self.session)",
        "return self.session != 0",
    ),
    "an image has an instance in whatever attempt": (
        "orch/master/reconcile.py",
        "found = m.instances.find(report.ids, report.attempts)",
        "found = m.instances.index.find(report.ids)",
    ),
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", DEFECTS)
def test_a_seeded_defect_is_found(name: str, tmp_path: Path) -> None:
    file, line, mutated = DEFECTS[name]
    shutil.copytree(ROOT / "orch", tmp_path / "orch", ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / file).read_text()
    assert source.count(line) == 1, f"{file} has changed: choose the line again"
    (tmp_path / file).write_text(source.replace(line, mutated))
    assert _first_violation(tmp_path, seeds=200) is not None, f"200 seeds did not notice that {name}"


def _first_violation(folder: Path, seeds: int) -> str | None:
    command = [sys.executable, "-m", "orch.sim", "--seeds", f"0:{seeds}", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            violations = json.loads(line)["violations"]
            if violations:
                run.kill()
                return str(violations[0])
    return None
