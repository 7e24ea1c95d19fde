"""The cluster itself: info and metrics."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

import orch
from tests.api.world import World


def metrics(world: World) -> dict[str, dict[tuple[str, ...], float]]:
    text = httpx.get(f"{world.url}/metrics", headers=world.headers()).text
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def test_info_counts_everything(world: World) -> None:
    world.cluster.run(orch.Pod("/demo/web", containers=[orch.Container("c", cmd="serve", cpus=1)]), instances=2).wait(
        10
    )
    world.cluster.run({"id": "/demo/big", "cmd": "serve", "cpus": 1000, "instances": 3})
    world.cluster.submit("/demo/job", cmd="true", count=4, cpus=0.1).wait(10)
    info = world.cluster.info()
    assert (info["cluster"], info["services"], info["jobs"], info["epoch"]) == ("0123abcd", 2, 1, 1)
    assert info["agents"] == {"READY": 2}
    assert info["instances"] == {"RUNNING": 2, "SCHEDULED": 3, "FINISHED": 4}
    assert info["resources"]["total"]["cpus"] == 8 and info["resources"]["free"]["cpus"] == 6
    assert info["version"] == orch.__version__ and info["index"] > 5


def test_metrics_are_what_the_replica_shows(world: World) -> None:
    world.cluster.submit("/demo/job", cmd="sleep 100", count=3, cpus=0.5).wait(10, until="running")
    found = metrics(world)
    assert found["orch_instances"]["batch", "RUNNING"] == 3
    assert found["orch_agents"]["READY",] == 2
    assert found["orch_resources_free"]["cpus",] == 6.5 and found["orch_resources_total"]["cpus",] == 8
    assert found["orch_journal_index"][()] == world.cluster.info()["index"]
    assert found["orch_feed_lag_seconds"][()] >= 0 and found["orch_nodes"][()] == 0


def test_requests_are_counted_by_route_and_not_by_path(world: World) -> None:
    for number in range(10):
        httpx.get(f"{world.url}/v2/jobs/{number}", headers=world.headers())
        httpx.get(f"{world.url}/guess/{number}", headers=world.headers())
    replies = metrics(world)["orch_http_replies"]
    assert replies["GET", "/v2/jobs/{job}", "404"] == 10
    assert replies["any", "none", "404"] == 10
    assert len(replies) < 20


def test_what_each_process_was_at_is_told_from_a_time_on(world: World) -> None:
    world.cluster.submit("/demo/job", cmd="true", count=4, cpus=0.1).wait(10)
    found = httpx.get(f"{world.url}/internal/spans", headers=world.headers()).json()["master"]
    assert {"batch.SubmitJob", "master.Accept", "journal wait", "encode"} <= {what for what, _, _ in found}
    last = max(ended for _, _, ended in found)
    later = httpx.get(f"{world.url}/internal/spans?since={last}", headers=world.headers()).json()["master"]
    assert all(ended > last for _, _, ended in later)
