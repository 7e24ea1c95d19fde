"""`python -m bench gpu` on small traces of our own: its rows, its orders, and how it says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import gpu
from bench.traces import read_nodes, read_pods
from orch.placement import GPU_POLICIES, GpuCluster, Mix

ROOT = Path(__file__).parents[2]
TRACES = ROOT / "tests" / "data" / "traces"
KEYS = {"name", "case", "figure", "unit", "n", "ratio", "peer", "peer_version", "commit", "dirty", "cpu_s", "wall_s",
        "verified", "policy", "alloc_100", "alloc_130", "seed"}  # fmt: skip


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "gpu", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )


def rows(*arguments: str | Path) -> dict[tuple[str, int | None], dict[str, Any]]:
    done = bench("--json", *arguments)
    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(row.keys() >= KEYS and row["verified"] for row in made)
    return {(row["case"], row["seed"]): row for row in made}


def figures(made: dict[tuple[str, int | None], dict[str, Any]]) -> dict[tuple[str, int | None], float]:
    return {case: row["figure"] for case, row in made.items()}


def test_every_policy_has_its_rows_for_each_seed_their_mean_and_the_backlog() -> None:
    made = rows("--traces", TRACES, "--quick")
    seeds = list(gpu.SEEDS[:2])
    for policy in GPU_POLICIES:
        one, two = (made[f"mixed/{policy}", seed] for seed in seeds)
        mean, backlog = made[f"mixed/{policy}/mean", None], made[f"mixed/{policy}/backlog", None]
        assert mean["seeds"] == seeds and mean["n"] == one["n"] + two["n"]
        assert mean["alloc_130"] == pytest.approx((one["alloc_130"] + two["alloc_130"]) / 2, abs=1e-3)
        assert 0 < one["alloc_100"] <= one["alloc_130"] <= 100
        assert 90 < one["arrived"] <= 130
        assert 0 < backlog["figure"] <= 100
    assert len(made) == 4 * len(GPU_POLICIES)


def test_a_seed_gives_one_order_and_the_same_one_again() -> None:
    first, again = rows("--traces", TRACES, "--seed", "5"), rows("--traces", TRACES, "--seed", "5")
    assert figures(first) == figures(again)
    assert {seed for _, seed in first} == {5, None}


def test_the_order_of_the_node_files_rows_is_of_no_account(tmp_path: Path) -> None:
    shutil.copytree(TRACES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "small_node_list_gpu_node.csv"
    header, *lines = path.read_text().splitlines()
    random.Random(3).shuffle(lines)
    path.write_text("\n".join([header, *lines]) + "\n")
    assert figures(rows("--traces", tmp_path, "--seed", "1")) == figures(rows("--traces", TRACES, "--seed", "1"))


def test_no_policy_reads_the_name_of_a_trace(tmp_path: Path) -> None:
    shutil.copy(TRACES / "small_node_list_gpu_node.csv", tmp_path / "node_list.csv")
    shutil.copy(TRACES / "small_pod_list_mixed.csv", tmp_path / "other_pod_list_fgd.csv")
    renamed = {case.replace("fgd/", "mixed/", 1): figure for (case, _), figure in
               figures(rows("--traces", tmp_path, "--seed", "1")).items()}  # fmt: skip
    assert renamed == {case: figure for (case, _), figure in figures(rows("--traces", TRACES, "--seed", "1")).items()}


def test_an_order_of_names_and_an_order_of_pods_are_taken_as_they_are(tmp_path: Path) -> None:
    """Both as the kernel places these very pods in this very order."""
    header, *lines = (TRACES / "small_pod_list_mixed.csv").read_text().splitlines()
    chosen = [7, 1, 1, 0, 6, 3, 2, 5, 8, 4, 0]
    names, whole = tmp_path / "names.txt", tmp_path / "pods.csv"
    names.write_text("".join(f"pod-{at}\n" for at in chosen))
    whole.write_text("\n".join([header, *(lines[at] for at in chosen)]) + "\n")
    nodes = read_nodes(TRACES / "small_node_list_gpu_node.csv")
    for made, label, path in ((rows("--traces", TRACES, "--order", names), "mixed", None),
                              (rows("--traces", TRACES, "--order", whole), "pods", whole)):  # fmt: skip
        pods = read_pods(path or TRACES / "small_pod_list_mixed.csv", nodes.models)
        order = pods.shape if path else pods.shape[np.array(chosen)]
        cluster = GpuCluster(
            nodes.cpu, nodes.memory, nodes.gpus, nodes.model, pods.shapes, Mix.of(pods.shapes, pods.count)
        )
        placed = cluster.place(order, "fgd").agent >= 0
        share = 100 * pods.shapes.devices_milli()[order[placed]].sum() / nodes.milli
        row = made[f"{label}/fgd", None]
        assert row["figure"] == pytest.approx(share, abs=0.01)
        assert (row["n"], row["unplaced"]) == (11, int((~placed).sum()))


def test_demand_that_has_not_arrived_has_no_allocation(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("pod-7\npod-0\n")
    row = rows("--traces", TRACES, "--order", names)["mixed/fgd", None]
    assert (row["alloc_100"], row["alloc_130"], row["figure"], row["arrived"]) == (None, None, 50, 50)


def test_a_broken_row_is_exit_2_with_file_row_and_column(tmp_path: Path) -> None:
    shutil.copytree(TRACES, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "small_pod_list_mixed.csv"
    path.write_text(path.read_text().replace("pod-2,3000", "pod-2,3e3"))
    done = bench("--traces", tmp_path, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{path}, row 4, column cpu_milli: holds '3e3'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--traces", "no-such-folder"], "holds no file like"),
        (["--traces", str(TRACES), "--order", "no-such-file"], "no-such-file: can not be read"),
        (["--traces", str(TRACES), "--seed", "-1"], "is no integer from 0"),
        (["--traces", str(TRACES), "--order", str(TRACES / "small_node_list_gpu_node.csv")], "column name: is missing"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_is_exit_2(arguments: list[str], said: str) -> None:
    done = bench(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def test_names_that_no_list_has_are_said(tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("nobody\n")
    done = bench("--traces", TRACES, "--order", names)
    assert done.returncode == 2 and "names pods that no list in" in done.stderr


def test_a_list_without_a_gpu_is_refused(tmp_path: Path) -> None:
    shutil.copy(TRACES / "small_node_list_gpu_node.csv", tmp_path)
    (tmp_path / "pod_list_cpu.csv").write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,0,0\n")
    done = bench("--traces", tmp_path)
    assert done.returncode == 2 and "no pod of cpu asks for a GPU" in done.stderr


def test_a_wrong_placement_is_not_verified() -> None:
    """The check of the benchmark itself: overcommit, a wrong device, a pod left out that fits."""
    nodes = read_nodes(TRACES / "small_node_list_gpu_node.csv")
    pods = read_pods(TRACES / "small_pod_list_mixed.csv", nodes.models)
    mix = Mix.of(pods.shapes, pods.count)
    cluster = GpuCluster(nodes.cpu, nodes.memory, nodes.gpus, nodes.model, pods.shapes, mix)
    match = cluster.place(pods.shape, "fgd")
    assert gpu.is_right(nodes, pods.shapes, pods.shape, match)
    held = int(np.flatnonzero(match.devices)[0])
    for array, value in ((match.agent, -1), (match.devices, 0), (match.devices, 1 << 15)):
        kept = array[held]
        array[held] = value
        assert not gpu.is_right(nodes, pods.shapes, pods.shape, match)
        array[held] = kept
    crowded = np.full(len(pods.shape), pods.shape[0])
    match.agent[:], match.devices[:] = 0, 1
    assert not gpu.is_right(nodes, pods.shapes, crowded, match)
