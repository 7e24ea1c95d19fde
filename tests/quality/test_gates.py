"""The gates of a run hold: a skip that is not listed fails, the coverage is judged last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gates import read_allowed_skips
from tests.quality.source import ROOT

TESTS = """
import pytest

@pytest.mark.skip(reason="the moon is full")
def test_one(): ...

def test_two():
    pytest.skip("no moon")

def test_three(): ...
"""


def run_pytest(folder: Path, allowed: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run TESTS with the gates, and this list of allowed skips."""
    (folder / "tests").mkdir()
    (folder / "tests" / "allowed_skips.txt").write_text(allowed)
    (folder / "test_moon.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environ = {k: v for k, v in os.environ.items() if k != "ORCH_REQUIRE"} | env | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "tests.gates", "-p", "no:cacheprovider", "-q"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)


def test_a_skip_that_is_not_listed_fails(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "test_moon.py::test_one always the moon", ORCH_REQUIRE="apt")
    assert done.returncode == 1
    assert "test_moon.py::test_two was skipped (Skipped: no moon)" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 failed, 1 passed, 1 skipped")


def test_listed_skips_pass(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "# why\n\ntest_moon.py::* always the moon", ORCH_REQUIRE="apt")
    assert (done.returncode, done.stdout.splitlines()[-1][:19]) == (0, "1 passed, 2 skipped")


def test_a_skip_for_ordinary_users_does_not_count_for_root(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "test_moon.py::* not-root no root", ORCH_REQUIRE="apt")
    assert done.returncode == (1 if os.geteuid() == 0 else 0)


def test_a_skip_of_a_whole_file_that_is_not_listed_fails(tmp_path: Path) -> None:
    (tmp_path / "test_file.py").write_text("import pytest\npytest.skip('all of it', allow_module_level=True)\n")
    done = run_pytest(tmp_path, "test_moon.py::* always the moon", ORCH_REQUIRE="apt")
    assert done.returncode != 0
    assert "test_file.py was skipped (Skipped: all of it)" in done.stdout


def test_without_the_demand_skips_are_free(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, "").returncode == 0


@pytest.mark.parametrize("line", ["test_x.py", "test_x.py always", "test_x.py sometimes why"])
def test_a_line_without_its_reason_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "allowed").write_text(line)
    with pytest.raises(pytest.UsageError, match="allowed:1: expected"):
        read_allowed_skips(tmp_path / "allowed")


def test_the_list_of_this_project_can_be_read() -> None:
    read_allowed_skips(ROOT / "tests" / "allowed_skips.txt")
