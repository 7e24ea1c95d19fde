"""Reading traces: what stands in the files, and for a broken row its file, row and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.traces import TraceError, read_nodes, read_pods
from orch.placement.gpu_shapes import ANY_MODEL

TRACES = Path(__file__).parents[1] / "data" / "traces"
NODES = TRACES / "small_node_list_gpu_node.csv"
PODS = TRACES / "small_pod_list_mixed.csv"


def test_nodes_come_by_name_whatever_the_order_of_the_rows() -> None:
    nodes = read_nodes(NODES)
    assert nodes.models == ("A", "B", "C")
    assert nodes.gpus.tolist() == [2, 2, 4, 8, 2]
    assert nodes.model.tolist() == [0, 0, 1, 1, 2]
    assert nodes.cpu.tolist() == [16000, 16000, 32000, 64000, 96000]
    assert nodes.milli == 18_000


def test_pods_are_shapes_and_rows_of_them() -> None:
    pods = read_pods(PODS, read_nodes(NODES).models)
    assert pods.names[:2] == ("pod-0", "pod-1")
    assert pods.shape[0] == pods.shape[8] and pods.count.sum() == 10
    at = {name: pods.shapes.kind(row) for name, row in zip(pods.names, pods.shape.tolist(), strict=True)}
    assert at["pod-3"] == (6000, 470, 1, 0b001)
    assert at["pod-6"] == (8000, 1000, 2, 0b110)
    assert at["pod-5"] == (12000, 0, 0, ANY_MODEL)
    assert at["pod-9"][3] == 0, "a model that no node has"


def changed(tmp_path: Path, source: Path, row: int, text: str) -> Path:
    """A copy of a file with one row (the header is 1) replaced."""
    lines = source.read_text().splitlines()
    lines[row - 1] = text
    path = tmp_path / source.name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("row", "text", "column", "problem"),
    [
        (3, "node-0,16000,65536,two,A", "gpu", "holds 'two'"),
        (3, "node-0,16000,65536,17,A", "gpu", "from 0 to 16"),
        (3, "node-0,nan,65536,2,A", "cpu_milli", "holds 'nan'"),
        (3, "node-0,-1,65536,2,A", "cpu_milli", "holds '-1'"),
        (3, "node-0,16000,4294967296,2,A", "memory_mib", "2147483647"),
        (3, "node-0,1_000,65536,2,A", "cpu_milli", "holds '1_000'"),
        (3, "node-0,16000,65536,2,", "model", "is empty"),
        (3, ",16000,65536,2,A", "sn", "is empty"),
        (3, "node-2,16000,65536,2,A", "sn", "node-2 is in row 2 too"),
        (3, "node-0,16000,65536", "gpu", "the row has 3 fields, the header 5"),
        (3, "node-0,16000,65536,2,A,x", "model", "the row has 6 fields"),
        (1, "sn,cpu_milli,memory_mib,gpus,model", "gpu", "is missing"),
        (1, "sn,cpu_milli,memory_mib,gpu,sn", "sn", "is there twice"),
    ],
)
def test_a_broken_node_is_named(tmp_path: Path, row: int, text: str, column: str, problem: str) -> None:
    path = changed(tmp_path, NODES, row, text)
    with pytest.raises(TraceError) as raised:
        read_nodes(path)
    assert (raised.value.file, raised.value.row, raised.value.column) == (path, row, column)
    assert problem in str(raised.value) and f"{path}, row {row}, column {column}" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("pod-1,3000,4096,1,1001,,LS", "gpu_milli"),
        ("pod-1,3000,4096,0,810,,LS", "gpu_milli"),
        ("pod-1,3000,4096,1,0,,LS", "gpu_milli"),
        ("pod-1,3000,4096,1.0,810,,LS", "num_gpu"),
        ("pod-1,3000,,1,810,,LS", "memory_mib"),
        ("pod-1,٣٠٠٠,4096,1,810,,LS", "cpu_milli"),
    ],
)
def test_a_broken_pod_is_named(tmp_path: Path, text: str, column: str) -> None:
    with pytest.raises(TraceError) as raised:
        read_pods(changed(tmp_path, PODS, 3, text), ("A", "B"))
    assert (raised.value.row, raised.value.column) == (3, column)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "row 1, column sn: is missing"),
        (b"sn,cpu_milli,memory_mib,gpu,model\n", "no node has a GPU"),
        (b"sn,cpu_milli,memory_mib,gpu,model\nn,1,1,0,\n", "no node has a GPU"),
        (b"\xff\xfe", "can not be read"),
        (b'sn,cpu_milli,memory_mib,gpu,model\n"n"x,1,1,1,A\n', "can not be read"),
        (b"sn,cpu_milli,memory_mib,gpu,model\n" + b"".join(b"n%d,1,1,1,m%d\n" % (i, i) for i in range(65)), "65 mod"),
        (None, "can not be read"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "nodes.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceError, match=problem):
        read_nodes(path)
