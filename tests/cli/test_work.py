"""Commands that start work and wait for it: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orch.cli.main import run
from orch.client.job import Job

pytestmark = pytest.mark.usefixtures("world")


def test_submit_says_where_pods_may_go(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ["--constraint", "hostname:UNIQUE", "--constraint", "hostname:LIKE:.+:?.*", "--prefer", "disk:IS:ssd"]
    more = ["--affinity", "apart:hostname:/demo/none", "--affinity", "prefer-near:@zone"]
    assert run(["submit", *asked, *more, "--", "true"]) == 0
    assert run(["submit", "--constraint", "hostname", "--", "true"]) == 2
    assert run(["submit", "--affinity", "apart", "--", "true"]) == 2
    assert run(["submit", "--affinity", "beside:hostname", "--", "true"]) == 2
    assert run(["submit", "--now", "--constraint", "hostname:IS:none", "--", "true"]) == 6
    assert "near:ATTRIBUTE" in capsys.readouterr().err


def test_submit_waits_and_fails_where_a_pod_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "-n", "3", "--wait", "--", "true"]) == 0
    assert run(["submit", "--wait", "--", "exit 3"]) == 1
    out, err = capsys.readouterr()
    assert out == "job 1 /jobs/run: 3 finished\njob 2 /jobs/run: 1 failed\n"
    assert err == "job 1 /jobs/run: 3 pods\njob 2 /jobs/run: 1 pod\n"


def test_what_no_agent_could_hold_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "--cpus", "1000", "--", "true"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("job 1 cannot start: 2 agents: 2 have too few cpus (asked 1000, most on one agent: 4)")
    assert run(["submit", "--cpus", "1000", "--now", "--", "true"]) == 6


def test_a_wait_that_ends_early_says_what_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["submit", "--wait", "--wait-timeout", "0.05", "--", "sleep 100"]) == 7
    assert "job 1 goes on; orch stop 1 ends it" in capsys.readouterr().err

    def interrupted(self: Job, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "wait", interrupted)
    assert run(["submit", "--wait", "--", "sleep 100"]) == 130
    assert capsys.readouterr().err.endswith("job 2 goes on; orch stop 2 ends it\ninterrupted\n")


def test_a_service_that_crashes_is_not_said_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "crash.json"
    file.write_text(json.dumps({"id": "/p/crash", "cmd": "exit 4", "cpus": 0.1, "mem": 32}))
    assert run(["run", str(file), "--wait", "--timeout", "0.5"]) == 7
    err = capsys.readouterr().err
    assert "/p/crash is kept running; orch stop /p/crash ends it" in err and "exit code 4" in err


def test_one_key_for_two_things_is_a_conflict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "--key", "k", "--", "true"]) == 0
    assert run(["submit", "--key", "k", "--", "true"]) == 0
    assert run(["submit", "--key", "k", "-n", "2", "--", "true"]) == 5
    assert 'the key "k" was used before for something else' in capsys.readouterr().err


def test_a_token_file_with_other_words_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").write_text("secret1\nsecret2\n")
    monkeypatch.setenv("ORCH_TOKEN_FILE", str(tmp_path / "bad"))
    assert run(["ps"]) == 4
    err = capsys.readouterr().err
    assert "is no token file" in err and "secret" not in err
