"""`map`: Python functions as jobs. The pods run the real worker, as processes of this machine."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import orch
from orch.client import mapper
from tests.api.world import Row, World


class Strange(Exception):
    """It can be pickled, and not be rebuilt."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_at_three(item: int) -> int:
    if item == 3:
        raise ValueError(f"no {item}")
    return item * item


# ---- the worker and its formats --------------------------------------------------------------------------------


def run(payload: bytes, index: int) -> bytes:
    function, items = mapper.read_chunk(io.BytesIO(payload), index)
    return mapper.encode_result(mapper.run_chunk(function, items)[0])[0]


def test_a_payload_holds_the_function_and_each_chunk() -> None:
    offset = 10
    payload = mapper.pack(lambda item: item + offset, [[1, 2], [3], []])
    assert [mapper.values_of(run(payload, index)) for index in range(3)] == [[11, 12], [13], []]


def test_the_callers_modules_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    payload = mapper.pack(len, [["a"]])
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    mapper.read_chunk(io.BytesIO(payload), 0)
    assert str(tmp_path) in sys.path and os.getcwd() in sys.path


def test_what_the_function_raises_is_raised_with_its_traceback() -> None:
    data = run(mapper.pack(fail_at_three, [[1, 2, 3, 4]]), 0)
    with pytest.raises(ValueError, match="no 3") as found:
        mapper.values_of(data)
    cause = found.value.__cause__
    assert isinstance(cause, mapper.RemoteTraceback)
    assert "fail_at_three" in str(cause) and "ValueError: no 3" in cause.text


def test_an_exception_that_cannot_be_rebuilt_is_told_in_words() -> None:
    def strange(item: int) -> None:
        raise Strange(item, 2)

    with pytest.raises(RuntimeError, match="Strange: 1 and 2"):
        mapper.values_of(run(mapper.pack(strange, [[1]]), 0))


def test_a_value_that_cannot_be_pickled_is_an_error() -> None:
    with pytest.raises((TypeError, pickle.PicklingError)):
        mapper.values_of(run(mapper.pack(lambda _: iter(os.scandir(".")), [[1]]), 0))


@pytest.mark.parametrize(("value", "code"), [("int(item)", 0), ("threading.Lock()", 1), ("1 / 0", 1)])
def test_a_pod_ends_with_1_where_it_has_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, code: int
) -> None:
    function = eval(f"lambda item: {value}", {"threading": threading})
    (tmp_path / "payload").write_bytes(mapper.pack(function, [["1"]]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCH_PAYLOAD", "payload")
    monkeypatch.setenv("ORCH_INDEX", "0")
    assert mapper.main() == code
    assert (tmp_path / mapper.RESULT).exists()


def test_a_file_that_is_no_payload() -> None:
    with pytest.raises(AssertionError, match="not the payload"):
        mapper.read_chunk(io.BytesIO(b"x" * 100), 0)
    with pytest.raises(AssertionError, match="of 1 chunks"):
        mapper.read_chunk(io.BytesIO(mapper.pack(len, [["a"]])), 1)


# ---- the whole way ---------------------------------------------------------------------------------------------


@pytest.fixture
def mapping(world: World, tmp_path: Path) -> Iterator[World]:
    """Pods of jobs are processes; the payload comes from where the gateway keeps it."""
    world.connect_node()

    def program(row: Row) -> int:
        sandbox = tmp_path / f"sandbox-{row.job}-{row.index}"
        sandbox.mkdir()
        container = row.template.containers[0]
        env = {**dict(container.env), **row.env, "PATH": os.environ["PATH"], "ORCH_INDEX": str(row.index)}
        env["ORCH_PAYLOAD"] = str(world.settings.blob_dir / env.pop("ORCH_BLOB"))
        done = subprocess.run(container.argv, cwd=sandbox, env=env, capture_output=True, check=False)
        row.files = {file.name: file.read_bytes() for file in sandbox.iterdir()}
        row.files |= {"stdout": done.stdout, "stderr": done.stderr}
        return done.returncode

    for agent in world.agents.values():
        agent.program = program
    yield world


def test_results_come_in_order(mapping: World) -> None:
    words = ["pod", "agent", "offer", "instance"] * 5
    assert mapping.cluster.map(len, words, chunk=7) == [len(word) for word in words]
    assert mapping.cluster.map(lambda item: item * 2, range(3), chunk=2, progress=False) == [0, 2, 4]
    assert mapping.cluster.map(len, []) == []
    jobs = mapping.cluster.jobs()
    assert [(job.path, job.count) for job in jobs] == [("/jobs/map", 3), ("/jobs/map", 2)]


def test_the_payload_is_sent_once(mapping: World) -> None:
    for _ in range(2):
        assert mapping.cluster.map(len, ["ab"], chunk=1) == [2]
    assert len(list(mapping.settings.blob_dir.iterdir())) == 1


def test_a_chunk_is_chosen_by_what_can_run_at_once(mapping: World) -> None:
    assert mapping.cluster.map(len, ["ab"] * 64, cpus=4) == [2] * 64
    assert mapping.cluster.jobs()[0].count == 8, "8 CPUs run two pods of 4 at once, and each gets four turns"


def test_the_first_exception_is_raised_with_the_remote_traceback(mapping: World) -> None:
    with pytest.raises(ValueError, match="no 3") as found:
        mapping.cluster.map(fail_at_three, [0, 1, 2, 3, 4, 3], chunk=2)
    assert "fail_at_three" in str(found.value.__cause__)
    assert mapping.cluster.jobs()[0].exit_codes.tolist() == [0, 1, 1]


def test_a_pod_that_leaves_no_result(mapping: World) -> None:
    def die(item: int) -> None:
        print("before the end", file=sys.stderr, flush=True)
        os._exit(7)

    with pytest.raises(orch.MapError, match=r"items 2 to 3 of the map is FAILED .*exit code 7") as found:
        mapping.cluster.map(lambda item: die(item) if item == 2 else item, range(5), chunk=2)
    assert "before the end" in found.value.detail


def test_a_chunk_that_makes_no_sense(world: World) -> None:
    with pytest.raises(orch.SpecError, match="chunk"):
        world.cluster.map(len, ["a"], chunk=0)


def test_an_interrupted_map_stops_its_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orch.client.flows import jobs

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(jobs, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.cluster.map(len, ["a"], chunk=1, cpus=0.1)
    assert world.cluster.jobs()[0].status()["stopped"] is True
