"""`orch simulate` as its users meet it: tables, JSON, plots, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from orch.cli.main import run

DATA = Path(__file__).parents[1] / "data" / "simulate"
NODES, PODS, GPU_PODS = (str(DATA / name) for name in ("nodes.csv", "pods.csv", "gpu_pods.csv"))


def test_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--nodes", NODES, "--pods", PODS]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "37 pods on 6 agents" and err == ""
    rows = {line[:38].strip(): line[38:].strip() for line in lines[3:]}
    assert rows["pods placed"] == "36" and rows["pods never placed"] == "1"
    assert rows["wait p50"] == "0 s" and rows["wait p99"] == "55 s" and rows["last event"] == "95.5 s"
    assert rows["use of cpus (peak)"] == "87.50%"
    assert lines[-1].startswith("  1 of cpus 32, mem 1024 MiB: 6 agents: 6 have too few cpus (asked 32")


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--nodes", NODES, "--pods", PODS, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) >= {"policy", "utilisation", "wait_p50_s", "wait_p99_s", "unplaced", "fragmentation", "why"}
    assert found["policy"] == "best-fit" and found["unplaced"] == 1 and found["waited"] == 8
    assert found["utilisation"] == {"cpus": 0.745092, "mem": 0.397855}
    why = found["why"][0]
    assert why["pods"] == 1 and why["never"] and why["asks"] == {"cpus": 32, "mem": 1024}
    assert why["ruled_out"] == [{"predicate": "cpus", "agents": 6}]


def test_two_policies_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "--nodes", NODES, "--pods", GPU_PODS, "--policy", "fgd", "--compare", "first-fit"]
    assert run([*command, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["policies"]
    assert (first["policy"], second["policy"]) == ("fgd", "first-fit")
    assert found["difference"]["end_s"] == second["end_s"] - first["end_s"] == 11
    assert found["difference"]["utilisation"]["gpus"] < 0
    assert run(command) == 0
    head = capsys.readouterr().out.splitlines()[2].split()
    assert head == ["FGD", "FIRST-FIT", "DIFFERENCE"]


def test_the_same_policy_twice_has_two_columns_and_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--nodes", NODES, "--pods", PODS, "--compare", "best-fit"]) == 0
    line = capsys.readouterr().out.splitlines()[3]
    assert line.split() == ["pods", "placed", "36", "36", "0"]


def test_plots_in_one_file_or_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "--nodes", NODES, "--pods", GPU_PODS, "--policy", "fgd", "--compare", "best-fit", "--plot"]
    assert run([*command, str(tmp_path / "new" / "all.svg")]) == 0
    picture = ElementTree.parse(tmp_path / "new" / "all.svg").getroot()
    assert len(picture.findall("{http://www.w3.org/2000/svg}g")) == 4
    assert run([*command, str(tmp_path / "plots")]) == 0
    names = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert names == ["fragmentation.svg", "utilisation.svg", "waiting.svg", "waits.svg"]
    for name in names:
        text = (tmp_path / "plots" / name).read_text()
        ElementTree.fromstring(text)
        assert "nan" not in text and "inf" not in text and "prefers-color-scheme: dark" in text
    assert capsys.readouterr().err.count("orch: wrote ") == 2


def test_a_seed_deals_arrivals_out_anew(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    for seed in ([], ["--seed", "3"], ["--seed", "3"]):
        assert run(["simulate", "--nodes", NODES, "--pods", PODS, "-o", "json", *seed]) == 0
        seen.append(capsys.readouterr().out)
    assert seen[0] != seen[1] == seen[2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--policy", "best"], "no policy 'best'"),
        (["--compare", "worst"], "no policy 'worst'"),
        (["--seed", "-1"], "--seed is -1"),
        (["--seed", "x"], "Invalid value"),
        (["--plot", "/proc/nowhere/x.svg"], "--plot /proc/nowhere/x.svg"),
        (["-o", "yaml"], "Invalid value"),
        (["--pods", "/no/such/file"], "/no/such/file: can not be read: No such file"),
        (["--pods", str(DATA)], "can not be read: Is a directory"),
        (["--pods", GPU_PODS, "--policy", "spread"], "spread counts whole GPUs"),
    ],
)
def test_what_is_refused_is_exit_code_2_and_one_message(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--nodes": NODES, "--pods": PODS} | dict(zip(options[::2], options[1::2], strict=True))
    assert run(["simulate", *(word for pair in given.items() for word in pair)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("orch: ") and problem in err and "Traceback" not in err


def test_a_broken_row_is_told_in_the_errors_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "pods.csv"
    bad.write_text("cpus,mem\n1,1\nnan,1\n")
    assert run(["simulate", "--nodes", NODES, "--pods", str(bad), "-o", "json"]) == 2
    body = json.loads(capsys.readouterr().err)
    assert body["detail"].startswith(f"{bad}, row 3, column cpus: holds 'nan'")


def test_a_column_that_nothing_reads_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pods = tmp_path / "pods.csv"
    pods.write_text("cpus,mem,durations_s\n1,1,9\n")
    assert run(["simulate", "--nodes", NODES, "--pods", str(pods)]) == 0
    assert "nothing reads the columns durations_s" in capsys.readouterr().err


def test_an_interrupt_is_the_exit_code_that_shells_expect(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("orch.trace.departures.Departures.add", interrupted)
    assert run(["simulate", "--nodes", NODES, "--pods", PODS]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "interrupted\n"


def test_help_needs_no_numpy() -> None:
    code = "import sys; from orch.cli.main import run; run(['simulate', '--help']); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
