"""The acceptance runner: a dirty tree is refused, and no line passes by accident."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import accept
import pytest
from acceptance.clones import CLOSING_LINE
from acceptance.lines import Check, Context, Done, Line, at_least, at_most, parsed, rows

from tests.quality.source import ROOT


def context(folder: Path) -> Context:
    """A context over a folder."""
    return Context(folder, sys.executable, lambda text: None)


def test_a_dirty_tree_is_refused(tmp_path: Path) -> None:
    for folder in ("scripts", "bench"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    command = [sys.executable, "-B", str(tmp_path / "scripts" / "accept.py"), "demo"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "the tree differs from its commit" in done.stderr


def test_an_unknown_check_is_a_usage_error() -> None:
    command = [sys.executable, "scripts/accept.py", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no check called nonsense" in done.stderr


def test_every_check_has_a_name_of_its_own() -> None:
    names = [check.name for check in accept.ALL]
    assert len(names) == len(set(names)) > 0


def test_a_figure_that_is_not_there_fails() -> None:
    assert not at_most("x", None, 1, "s").passed
    assert not at_least("x", None, 0, "s").passed


@pytest.mark.parametrize(("figure", "least", "most"), [(0.9, False, True), (1.0, True, True), (1.1, True, False)])
def test_limits_include_themselves(figure: float, least: bool, most: bool) -> None:
    assert (at_least("x", figure, 1, "s").passed, at_most("x", figure, 1, "s").passed) == (least, most)


def test_a_check_that_breaks_is_a_line_that_failed(tmp_path: Path) -> None:
    def broken(context: Context) -> Iterator[Line]:
        yield at_most("first", 1, 2, "s")
        raise KeyError("ready_ms")

    first, second = accept.lines_of(Check("broken", broken), context(tmp_path))
    assert first.passed
    assert not second.passed
    assert "ready_ms" in second.detail


def test_a_command_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    done = context(tmp_path).run(["sh", "-c", "echo begun; sleep 1000"], seconds=0.5)
    assert done.code == 124
    assert "killed after 0.5 s" in done.stderr


def test_a_command_sees_no_other_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("ORCH_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("ARGS", "demo")  # of `make accept ARGS=demo`: not for the make that it runs
    done = context(tmp_path).run(["sh", "-c", "echo $RAY_ADDRESS$ORCH_ADDRESS$ARGS."], seconds=10)
    assert done.stdout == ".\n"


def test_json_is_found_among_other_lines() -> None:
    assert rows('starting\n{"case": "p50"}\nnull\n[1]\n{"case": "p99"}\n') == [{"case": "p50"}, {"case": "p99"}]
    assert parsed("no json") == {}


def test_the_last_line_is_the_last_that_says_something() -> None:
    assert Done(0, "one\ntwo\n\n", "", 0.1).last_line() == "two"


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("============ 12 passed in 3.45s ============", True),
        ("====== 1204 passed, 3 skipped, 1 deselected in 300.01s (0:05:00) ======", True),
        ("12 passed in 3.45s", True),
        ("====== 1 failed, 12 passed in 3.45s ======", False),
        ("Required test coverage of 95% reached.", False),
    ],
)
def test_the_closing_line_of_a_good_run_is_known(line: str, passes: bool) -> None:
    assert bool(CLOSING_LINE.match(line)) is passes
