"""The command line without a cluster: help, usage errors, exit codes, validation."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest

from orch.cli.main import build, run
from orch.cluster.files import ClusterFiles, write_json

POD = {
    "id": "/web",
    "containers": [{"name": "app", "exec": {"command": {"shell": "sleep 1"}}, "resources": {"cpus": 0.1, "mem": 32}}],
}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster of the person who runs the tests is touched."""
    monkeypatch.setenv("ORCH_DATA_DIR", str(tmp_path / "none"))
    for name in ("ORCH_ADDRESS", "ORCH_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def spec(folder: Path, body: object) -> str:
    file = folder / "spec.json"
    file.write_text(json.dumps(body))
    return str(file)


def test_help_shows_every_command_and_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    names = "up join down status validate run submit ps inspect logs why scale stop agents drain resume events"
    for command in [*names.split(), "version", "completion", "simulate"]:
        assert f" {command} " in text, command
    assert "orch submit -n 100" in text


def test_the_examples_of_the_help_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    examples = capsys.readouterr().out.partition("For example:\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) == 6 and all(line.startswith("  orch ") for line in examples), examples


@pytest.mark.parametrize(
    "command",
    ["up", "join", "down", "status", "run", "submit", "ps", "inspect", "logs", "why", "scale", "stop", "validate",
     "agents", "drain", "resume", "events", "version", "completion", "simulate"],
)  # fmt: skip
def test_help_of_a_command_teaches_by_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"orch {command}" in capsys.readouterr().out.partition("For example:")[2]


@pytest.mark.parametrize(
    "argv",
    [["nonsense"], ["scale", "/a"], ["scale", "/a", "many"], ["up", "--agents", "x"], ["ps", "--outptu", "json"],
     ["submit"], ["submit", "-e", "NOVALUE", "--", "true"], ["submit", "-e", "=x", "--", "true"],
     ["completion", "tcsh"], ["validate", "/no/such/file"]],
)  # fmt: skip
def test_a_usage_error_is_exit_code_2_and_one_message(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("orch: ") and "Traceback" not in err


def test_a_valid_spec_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", spec(tmp_path, POD)]) == 0
    assert capsys.readouterr().out == "pod /web is valid\n"
    assert run(["validate", spec(tmp_path, {"id": "/app", "cmd": "sleep 1"}), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": "/app", "kind": "app", "valid": True}


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(POD).encode())))
    assert run(["validate", "-"]) == 0
    assert capsys.readouterr().out == "pod /web is valid\n"


def test_every_mistake_of_a_spec_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {**POD, "colour": "red", "containers": [{**POD["containers"][0], "resources": {"cpus": -1, "mem": "64MB"}}]}  # type: ignore[dict-item]
    assert run(["run", spec(tmp_path, bad), "-o", "json"]) == 2
    out, err = capsys.readouterr()
    body = json.loads(err)
    assert out == "" and set(body) >= {"type", "title", "status", "detail", "message", "details"}
    paths = {place["path"] for place in body["details"]}
    assert paths >= {"/colour", "/containers(0)/resources/cpus", "/containers(0)/resources/mem"}


def test_one_mistake_is_told_once_and_two_each_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", spec(tmp_path, {"id": "/app", "cmd": "sleep 1", "cpus": -1})]) == 2
    assert capsys.readouterr().err.count("/cpus") == 1
    assert run(["validate", spec(tmp_path, {"id": "/app", "cmd": "sleep 1", "cpus": -1, "mem": -1})]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["/cpus", "/mem"]


def test_text_that_is_no_spec_is_told_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.yaml").write_text("id: [1\n")
    assert run(["validate", str(tmp_path / "x.yaml")]) == 2
    assert "line" in capsys.readouterr().err
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert run(["validate", str(tmp_path / "x.yaml")]) == 2


def test_what_comes_after_the_dashes_is_the_commands_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "--", "tool", "-o", "json"]) == 1
    assert capsys.readouterr().err.startswith("orch: ")
    assert run(["submit", "-o", "json", "--", "tool"]) == 1
    assert json.loads(capsys.readouterr().err)["status"] == 503


def test_an_interrupt_is_the_exit_code_that_shells_expect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    monkeypatch.setattr("orch.model.specs.load_text", interrupted)
    assert run(["validate", "-"]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "interrupted\n"


def test_without_a_cluster_it_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ps"]) == 1
    assert "orch up" in capsys.readouterr().err


def test_down_without_a_cluster_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["down"]) == 0
    assert "not running" in capsys.readouterr().out


def test_down_on_a_machine_that_joined_says_that_it_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ClusterFiles(tmp_path / "joined")
    cluster = files.prepare()
    write_json(files.config_json, {"head": False, "node": "n1", "cluster": cluster})
    here = f"this machine was not running in cluster {cluster}; its sandboxes and settings here are"
    assert run(["down", "--data-dir", str(files.data)]) == 0
    assert capsys.readouterr().out == f"{here} kept\n"
    assert run(["down", "--purge", "--data-dir", str(files.data)]) == 0
    assert capsys.readouterr().out == f"{here} deleted\n" and not files.data.exists()


def test_joining_nonsense_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "token").write_text("x\n")
    assert run(["join", "nonsense.invalid", "--token-file", str(tmp_path / "token")]) == 2
    assert "orch join --help" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_for_every_usual_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "orch" in capsys.readouterr().out


def test_version_names_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "-o", "json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) >= {"orch", "python", "ray", "numpy"}


def test_every_command_has_a_help_line() -> None:
    app = build()
    for name in app:
        assert app[name].help or name.startswith("-"), name
