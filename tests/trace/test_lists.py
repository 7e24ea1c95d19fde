"""Reading traces in both layouts: what stands in the files, and for a broken row its file, row and column."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from orch.placement.gpu_shapes import ANY_MODEL
from orch.trace.lists import read_agents, read_pods
from orch.trace.rows import unread
from orch.trace.table import TraceError

DATA = Path(__file__).parents[1] / "data"
NODES, PODS = DATA / "simulate" / "nodes.csv", DATA / "simulate" / "pods.csv"
OPENB_NODES, OPENB_PODS = (DATA / "traces" / f"small_{name}.csv" for name in ("node_list_gpu_node", "pod_list_mixed"))


def test_agents_come_by_name_as_often_as_their_row_counts() -> None:
    agents = read_agents(NODES)
    assert agents.names == ("big-0", "big-1", "cpu-0", "cpu-1", "cpu-2", "mid")
    assert agents.models == ("A100", "T4")
    assert agents.total[0].tolist() == [16_000, 65_536, 1000, 4000, 0]
    assert agents.devices.tolist() == [4, 4, 0, 0, 0, 2]
    assert agents.model.tolist() == [0, 0, 0, 0, 0, 1]


def test_pods_are_kinds_and_rows_of_them() -> None:
    pods = read_pods(PODS, read_agents(NODES))
    assert pods.count.tolist() == [6, 20, 8, 1, 2] and pods.pods == 37
    assert pods.request[pods.kind, 0].tolist() == [1000, 2500, 4000, 32_000, 500]
    assert pods.arrival.tolist() == [0, 5000, 10_000, 12_000, 70_000]
    assert pods.duration.tolist() == [-1, 60_000, 30_500, 10_000, 5000]
    assert pods.gang[pods.kind].tolist() == [0, 0, 4, 0, 0]
    assert pods.priority.tolist() == [10, 0, 5, 0, 0]
    assert pods.of_kind()[pods.kind].tolist() == [6, 20, 8, 1, 2]


def test_parts_of_gpus_and_their_models() -> None:
    pods = read_pods(DATA / "simulate" / "gpu_pods.csv", read_agents(NODES))
    rows = pods.kind
    assert pods.milli[rows].tolist() == [250, 500, 1000, 1000, 1000, 0]
    assert pods.number[rows].tolist() == [1, 1, 1, 2, 1, 0]
    assert pods.models[rows].tolist() == [ANY_MODEL, 0b11, 0b01, ANY_MODEL, 0, ANY_MODEL]
    assert pods.request[rows, 3].tolist() == [250, 500, 1000, 2000, 1000, 0]


def test_lists_in_the_layout_of_openb(tmp_path: Path) -> None:
    agents = read_agents(OPENB_NODES)
    assert agents.models == ("A", "B", "C") and agents.devices.sum() == 18
    assert read_pods(OPENB_PODS, agents).pods == 10
    timed = tmp_path / "pods.csv"
    timed.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,scheduled_time,deletion_time\n"
        "a,1,1,0,0,10,12,20\nb,1,1,1,500,11,,30\nc,1,1,0,0,12,,\n"
    )
    pods = read_pods(timed, agents)
    assert pods.arrival.tolist() == [10_000, 11_000, 12_000]
    assert pods.duration.tolist() == [8000, 19_000, -1]


def test_json_lines_say_the_same(tmp_path: Path) -> None:
    agents = read_agents(NODES)
    first, second = read_pods(PODS, agents), read_pods(PODS.with_suffix(".jsonl"), agents)
    for name in ("request", "kind", "count", "priority", "arrival", "duration", "gang"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_a_table_of_several_chunks_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_pods(PODS, read_agents(NODES))
    monkeypatch.setattr("orch.trace.table.CHUNK", 2)
    parts = read_pods(PODS, read_agents(NODES))
    assert parts.count.tolist() == whole.count.tolist() and parts.kind.tolist() == whole.kind.tolist()
    broken = changed(tmp_path, PODS, 5, "huge,32,x,12,10,1,0,0")
    with pytest.raises(TraceError, match="row 5, column mem: holds 'x'"):
        read_pods(broken, read_agents(NODES))


def test_instants_are_dealt_out_anew_and_stay_the_same_ones() -> None:
    pods = read_pods(PODS, read_agents(NODES))
    dealt = [pods.dealt_anew(seed).arrival.tolist() for seed in (1, 1, 2)]
    assert dealt[0] == dealt[1] and len({tuple(one) for one in dealt}) == 2
    assert sorted(dealt[0]) == pods.arrival.tolist() != dealt[0]


def test_columns_that_nothing_reads_are_known(tmp_path: Path) -> None:
    odd = tmp_path / "pods.csv"
    odd.write_text("cpus,mem,durations_s,team\n1,1,5,a\n")
    assert unread(odd, nodes=False) == ["durations_s", "team"]
    assert unread(PODS, nodes=False) == unread(NODES, nodes=True) == []


def changed(tmp_path: Path, source: Path, row: int, text: str) -> Path:
    """A copy of a file with one row (the header is 1) replaced."""
    rows = source.read_text().splitlines()
    rows[row - 1] = text
    path = tmp_path / source.name
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("mid,nan,1,1,2,T4,1", "cpus", "holds 'nan', and must hold a number from 0 to 2147483"),
        ("mid,-1,1,1,2,T4,1", "cpus", "holds '-1'"),
        ("mid,inf,1,1,2,T4,1", "cpus", "holds 'inf'"),
        ("mid,1e3,1,1,2,T4,1", "cpus", "holds '1e3'"),
        ("mid,0.0001,1,1,2,T4,1", "cpus", "as fine as 0.001"),
        ("mid,2147484,1,1,2,T4,1", "cpus", "holds '2147484'"),
        ("mid,8,2147483648,1,2,T4,1", "mem", "from 0 to 2147483647"),
        ("mid,8," + "9" * 5000 + ",1,2,T4,1", "mem", "holds '9999"),
        ("mid,8,,1,2,T4,1", "mem", "holds ''"),
        ("mid,8,1,1,17,T4,1", "gpus", "from 0 to 16"),
        ("mid,8,1,1,2,T4,-1", "count", "holds '-1'"),
        (",8,1,1,2,T4,1", "name", "is empty"),
        ("big,8,1,1,2,T4,1", "name", "big is in row 2 too"),
        ("mid,8,1", "disk", "the row has 3 fields, the header 7"),
    ],
)
def test_a_broken_node_is_named(tmp_path: Path, text: str, column: str, problem: str) -> None:
    path = changed(tmp_path, NODES, 3, text)
    with pytest.raises(TraceError) as raised:
        read_agents(path)
    assert (raised.value.file, raised.value.row, raised.value.column) == (path, 3, column)
    assert problem in str(raised.value) and raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("x,1,1,-3,,1,0,0", "arrival_s"),
        ("x,1,1,NaN,,1,0,0", "arrival_s"),
        ("x,1,1,99999999999,,1,0,0", "arrival_s"),
        ("x,1,1,0,-1,1,0,0", "duration_s"),
        ("x,1,1,0,,1.5,0,0", "count"),
        ("x,1,1,0,,5,2,0", "gang"),
        ("x,1,1,0,,1,0,2147483648", "priority"),
        ("x,1,1,0,,1,0,--1", "priority"),
        ("x,١,1,0,,1,0,0", "cpus"),
    ],
)
def test_a_broken_pod_is_named(tmp_path: Path, row: str, column: str) -> None:
    with pytest.raises(TraceError) as raised:
        read_pods(changed(tmp_path, PODS, 4, row), read_agents(NODES))
    assert (raised.value.row, raised.value.column) == (4, column)


def test_the_first_bad_row_is_named_whatever_its_column(tmp_path: Path) -> None:
    path = tmp_path / "pods.csv"
    path.write_text("cpus,mem,arrival_s\n1,1,0\n1,1,x\ny,1,0\n")
    with pytest.raises(TraceError, match="row 3, column arrival_s"):
        read_pods(path, read_agents(NODES))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("p.csv", b"", "is empty"),
        ("p.csv", b"cpus,mem\n", "holds no pod"),
        ("p.csv", b"cpus,mem,count\n1,1,0\n", "holds no pod"),
        ("p.csv", b"cpu,memory\n1,1\n", "has neither a column cpus nor cpu_milli"),
        ("p.csv", b"cpus,name\n1,a\n", "row 1, column mem: is missing"),
        ("p.csv", b"cpus,mem,cpus\n1,1,1\n", "row 1, column cpus: is there twice"),
        ("p.csv", b"cpus,mem,gpus\n1,1,1.5\n", "row 2, column gpus: holds 1.5: a part of one GPU, or whole ones"),
        ("p.csv", b"cpus,mem,count\n1,1,100000000\n", "at most 50000000"),
        ("p.csv", b"\xff\xfe", "can not be read"),
        ("p.csv", b'cpus,mem\n"1"x,1\n', "can not be read"),
        ("p.csv", None, "can not be read: No such file"),
        ("p.jsonl", b"", "is empty"),
        ("p.jsonl", b'{"cpus": 1, "mem": 1}\n{"cpus": 1\n', "row 2: is no JSON"),
        ("p.jsonl", b"[1]\n", "row 1: is no JSON object"),
        ("p.jsonl", b'{"cpus": NaN, "mem": 1}\n', "row 1, column cpus: holds 'NaN'"),
        ("p.jsonl", b'{"cpus": true, "mem": 1}\n', "row 1, column cpus: holds 'true'"),
        ("p.jsonl", b'{"cpus": 1, "mem": 1}\n\n{"cpus": 1}\n', "row 3, column mem: holds ''"),
        (
            "p.csv",
            b"name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time,deletion_time\na,1,1,0,0,9,8\n",
            "row 2, column deletion_time: is before",
        ),
    ],
)
def test_a_pod_list_that_is_none_says_so(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceError) as raised:
        read_pods(path, read_agents(NODES))
    assert problem in str(raised.value) and str(path) in str(raised.value)


def test_a_pipe_is_refused_before_half_of_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pods.csv")
    with pytest.raises(TraceError, match="is a pipe or a device"):
        read_pods(tmp_path / "pods.csv", read_agents(NODES))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name,cpus,mem\n", "holds no node"),
        ("name,cpus,mem,count\na,1,1,0\n", "holds no node"),
        ("name,cpus,mem,count\na,1,1,5000001\n", "at most 5000000"),
        ("name,cpus,mem,count\na,1,1,2\na-1,1,1,1\n", "two nodes are called a-1"),
        ("name,cpus,mem,gpus,model\n" + "".join(f"n{i},1,1,1,m{i}\n" for i in range(65)), "65 models"),
    ],
)
def test_a_node_list_that_is_none_says_so(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "nodes.csv"
    path.write_text(content)
    with pytest.raises(TraceError, match=problem):
        read_agents(path)
