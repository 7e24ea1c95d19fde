"""Set-up: which Python is taken, which packages are asked for, and which of the user's pip settings count."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import setup_env

from tests.quality.source import ROOT

SYSTEM = "/usr/bin:/bin"


def script(path: Path, text: str) -> None:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def checkout(folder: Path, packages: str = "") -> Path:
    """A checkout that holds nothing but the first half of set-up, in a path with a space."""
    top = folder / "a checkout"
    (top / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", top / "scripts")
    (top / "apt-packages.txt").write_text(packages)
    return top


def set_up(top: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run setup.sh with an environment of its own."""
    environ = {"PATH": SYSTEM, "ORCH_NO_APT": "1", **env}
    command = ["sh", str(top / "scripts" / "setup.sh"), *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, cwd="/")


def working(folder: Path, name: str) -> str:
    """A command of that name that starts the Python of this test."""
    script(folder / name, f'exec "{sys.executable}" "$@"')
    return str(folder)


def which(top: Path, **env: str) -> str:
    """The interpreter that set-up would take."""
    return set_up(top, "--which", **env).stdout.strip()


def base() -> str:
    """The interpreter behind the Python of this test."""
    return str(getattr(sys, "_base_executable", sys.executable))


def test_a_shim_that_exists_and_fails_is_passed_over(tmp_path: Path) -> None:
    script(tmp_path / "shims" / "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    good = working(tmp_path / "good", "python3.12")
    assert which(checkout(tmp_path), PATH=f"{tmp_path}/shims:{good}:{SYSTEM}") == base()


def test_a_broken_command_does_not_hide_a_good_one_of_the_same_name(tmp_path: Path) -> None:
    script(tmp_path / "shims" / "python3.13", "exit 1")
    good = working(tmp_path / "good dir", "python3.13")
    assert which(checkout(tmp_path), PATH=f"{tmp_path}/shims:{good}:{SYSTEM}") == base()


def test_a_python_that_is_too_old_is_passed_over(tmp_path: Path) -> None:
    script(tmp_path / "old" / "python3.13", 'case "$*" in *version_info*) exit 1;; esac')
    good = working(tmp_path / "good", "python3.11")
    assert which(checkout(tmp_path), PATH=f"{tmp_path}/old:{good}:{SYSTEM}") == base()


def test_the_named_python_is_the_only_candidate(tmp_path: Path) -> None:
    script(tmp_path / "broken python", "exit 1")
    done = set_up(checkout(tmp_path), "--which", PYTHON=str(tmp_path / "broken python"))
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert which(checkout(tmp_path / "again"), PYTHON=sys.executable) == base()


def test_a_required_package_that_misses_is_asked_for_by_one_line_and_exit_3(tmp_path: Path) -> None:
    packages = "# a comment\nsome-tool required cmd:no-such why\nmore optional cmd:no-such-either\nsh required cmd:sh"
    done = set_up(checkout(tmp_path, packages), PYTHON=sys.executable)
    assert done.returncode == 3
    assert "sudo apt-get install some-tool more\n" in done.stderr


def test_an_optional_package_that_misses_is_asked_for_and_no_more(tmp_path: Path) -> None:
    top = checkout(tmp_path, "more optional cmd:no-such-either")
    (top / "scripts" / "setup_env.py").write_text("print('went on')")
    done = set_up(top, PYTHON=sys.executable)
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert "sudo apt-get install more\n" in done.stderr


def test_no_python_at_all_asks_for_it(tmp_path: Path) -> None:
    packages = (ROOT / "apt-packages.txt").read_text()
    done = set_up(checkout(tmp_path, packages), PYTHON="no-such-python")
    assert done.returncode == 3
    assert "PYTHON=no-such-python does not start" in done.stderr
    assert " python3 python3-venv python3-dev" in done.stderr


def test_every_line_of_the_package_list_can_be_probed() -> None:
    lines = [line.split() for line in (ROOT / "apt-packages.txt").read_text().splitlines()]
    entries = [words for words in lines if words and words[0] != "#"]
    known = {"python:works", "python:venv", "python:headers", "gcc:headers"}
    assert entries != []
    assert all(need in {"required", "optional"} for _, need, *_ in entries)
    assert all(probe in known or probe.startswith("cmd:") for _, _, probe, *_ in entries)


def test_only_the_settings_that_a_closed_network_needs_reach_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    mine.parent.mkdir(parents=True)
    mine.write_text(
        "[global]\nuser = true\nindex-url = https://one.example/simple\ntrusted_host = one.example\n"
        "[install]\ntarget = /elsewhere\nindex-url = https://two.example/simple\nfind-links =\n  /a\n  /b\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PIP_PREFIX", "/elsewhere")
    monkeypatch.setenv("PIP_CERT", "/own.pem")

    settings = setup_env.clean_environ() | setup_env.pip_settings()

    assert settings["PIP_INDEX_URL"] == "https://two.example/simple"
    assert settings["PIP_TRUSTED_HOST"] == "one.example"
    assert settings["PIP_FIND_LINKS"].split() == ["/a", "/b"]
    assert settings["PIP_CERT"] == "/own.pem"
    assert settings["PIP_CONFIG_FILE"] == os.devnull
    assert not settings.keys() & {"PIP_USER", "PIP_TARGET", "PIP_PREFIX"}


def test_pip_caches_nothing_unless_the_user_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_CACHE_DIR", raising=False)
    assert setup_env.pip_settings()["PIP_NO_CACHE_DIR"] == "1"
    monkeypatch.setenv("PIP_CACHE_DIR", "/cache")
    settings = setup_env.pip_settings()
    assert settings["PIP_CACHE_DIR"] == "/cache"
    assert "PIP_NO_CACHE_DIR" not in settings


def test_this_environment_is_up_to_date_and_nothing_is_done() -> None:
    done = subprocess.run([sys.executable, "-I", "scripts/setup_env.py", "--check"], cwd=ROOT)
    assert done.returncode == 0, "a requirement or a compiled source has changed since set-up: run `make build`"


def test_a_stamp_vouches_for_all_of_it() -> None:
    want = setup_env.wanted() | {"python": ""}
    assert setup_env.is_fresh(want, dict(want))
    for key in ("root", "packages", "sources", "compiled"):
        assert not setup_env.is_fresh(want, want | {key: "other"})
    assert not setup_env.is_fresh(want | {"python": "/other/python"}, dict(want))


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert listed == {"help", "build", "demo", "test", "lint", "sim", "sanitize", "bench", "accept", "docs", "clean"}


def test_ci_runs_make_test_and_nothing_else(tmp_path: Path) -> None:
    script(tmp_path / "make", 'echo "$ORCH_REQUIRE $ORCH_CORPUS $PWD: $*"')
    environ = {"PATH": f"{tmp_path}:{SYSTEM}"}
    done = subprocess.run(["bash", str(ROOT / ".ci" / "run")], env=environ, cwd="/", capture_output=True, text=True)
    assert done.stdout == f"apt {ROOT.parent}/shared/corpus {ROOT}: test\n"
