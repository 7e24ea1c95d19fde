"""The order of arrival: resampled to a part of the GPUs, or as a file says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.arrivals import is_pod_list, named, resampled
from bench.traces import Pod, Pods, TraceError, pods_of, read_nodes, read_pods

TRACES = Path(__file__).parents[1] / "data" / "traces"


@pytest.fixture
def pods() -> Pods:
    return read_pods(TRACES / "small_pod_list_mixed.csv", read_nodes(TRACES / "small_node_list_gpu_node.csv").models)


def milli(pods: Pods, order: np.ndarray) -> int:
    return int(pods.shapes.devices_milli()[order].sum())


@pytest.mark.parametrize("most", [20_000, 150_000, 20_000_000])
def test_a_short_list_is_filled_up_to_the_limit_after_all_its_pods(pods: Pods, most: int) -> None:
    order = resampled(pods, 42, most)
    largest = int(pods.shapes.devices_milli().max())
    assert most - largest <= milli(pods, order) <= most
    assert sorted(order[: len(pods.shape)].tolist()) == sorted(pods.shape.tolist())
    assert resampled(pods, 42, most).tolist() == order.tolist()
    assert resampled(pods, 43, most).tolist() != order.tolist()


def test_a_long_list_loses_pods_until_it_is_within_the_limit(pods: Pods) -> None:
    order = resampled(pods, 7, 9_000)
    assert milli(pods, order) <= 9_000 < milli(pods, pods.shape)
    left = np.bincount(order, minlength=len(pods.shapes))
    assert (left <= pods.count).all()


def test_without_a_gpu_there_is_nothing_to_resample() -> None:
    with pytest.raises(ValueError, match="no pod asks for a GPU"):
        resampled(pods_of([Pod("a", 1, 1, 0, 0, ())], ()), 1, 1000)


def test_a_file_of_names_is_taken_in_its_order(pods: Pods, tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_text("name\npod-5\n\npod-0\npod-5\n")
    assert not is_pod_list(path)
    order = named(path, pods)
    assert order is not None and order.tolist() == [pods.shape[5], pods.shape[0], pods.shape[5]]
    path.write_text("pod-5\nnobody\n")
    assert named(path, pods) is None


def test_a_name_of_two_pods_names_none(tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_text("a\n")
    twins = pods_of([Pod("a", 1, 1, 1, 500, ()), Pod("a", 2, 1, 1, 500, ())], ())
    with pytest.raises(TraceError, match="row 1, column name: several pods are called a"):
        named(path, twins)
