"""Whatever is asked, however oddly: an answer or a refusal, never a mistake of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orch
from tests.api.world import World

QUIET = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ODD = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.text(max_size=12),
    st.sampled_from(
        [
            "demo/web",
            "/demo/web",
            "demo_web.1",
            "demo_job.j1.0",
            "1",
            "a1",
            "..",
            ".",
            "::status",
            "a::b",
            "%00",
            "-1",
            "",
        ]
    ),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), ODD)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
FIELDS = [
    "id", "cmd", "argv", "args", "env", "environment", "cpus", "mem", "instances", "each", "gang", "retries", "now",
    "containers", "name", "exec", "command", "shell", "resources", "scaling", "kind", "healthChecks", "constraints",
    "portDefinitions", "networks", "volumes", "labels", "priority", "timeoutSeconds", "fetch", "container", "drain",
]  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), wait_ms=5, ping_ms=5) as running:
        container = orch.Container("app", cmd="serve", cpus=0.1, mem=32)
        running.cluster.run(orch.Pod("/demo/web", containers=[container])).wait(10)
        running.cluster.submit("/demo/job", cmd="true", cpus=0.1).wait(10)
        running.connect_node()
        yield running


@pytest.fixture(scope="module")
def routes(world: World) -> list[tuple[str, str, list[str]]]:
    """(method, path, names of query parameters)."""
    document = httpx.get(f"{world.url}/openapi.json", headers=world.headers()).json()
    return [
        (method, path, [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not path.startswith("/v2/events")
    ]


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.url, headers=world.headers(), timeout=20) as made:
        yield made


def check(answer: httpx.Response) -> None:
    if answer.text == "Invalid HTTP request received.":
        return  # It is no HTTP, and the server's own parser says so.
    assert answer.status_code < 500 or answer.status_code == 503, (answer.request, answer.text)
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        body = answer.json()
        assert body["status"] == answer.status_code and body["detail"] and body["type"].startswith("urn:orch:error:")


@QUIET
@given(data=st.data())
def test_odd_reads(client: httpx.Client, routes: list[tuple[str, str, list[str]]], data: st.DataObject) -> None:
    method, path, names = data.draw(st.sampled_from([route for route in routes if route[0] in ("get", "head")]))
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(data.draw(ODD), safe="/:") + rest.partition("}")[2]
    params = {name: data.draw(ODD) for name in names if data.draw(st.booleans()) and name != "follow"}
    check(client.request(method, path or "/", params=params))


@QUIET
@given(body=BODIES, data=st.data())
def test_odd_bodies(client: httpx.Client, body: dict[str, Any], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(["/v2/pods", "/v2/apps", "/v2/jobs", "/v2/agents/a1/drain"]))
    content = json.dumps(body, allow_nan=True).encode("utf-8", "surrogatepass")
    check(client.post(path, content=content, params={"now": "1"}))


@QUIET
@given(value=st.binary(max_size=30))
def test_odd_headers(client: httpx.Client, value: bytes) -> None:
    wanted = {"Idempotency-Key": value, "Last-Event-ID": value, "Accept": value, "Content-Type": value}
    for header, given_value in wanted.items():
        try:
            check(client.post("/v2/jobs", content=b"{}", headers={header: given_value}))
            check(client.get("/v2/jobs/1/instances", headers={header: given_value}))
        except httpx.LocalProtocolError:
            pass  # The client library refuses to send it.


@QUIET
@given(data=st.binary(max_size=200))
def test_odd_bytes_as_msgpack(client: httpx.Client, data: bytes) -> None:
    check(client.post("/v2/jobs", content=data, headers={"Content-Type": "application/msgpack"}))


def test_everything_still_works(world: World) -> None:
    """Runs last in this file: nothing above has hurt anything."""
    world.do(world.follower.replica.check)
    assert world.cluster.submit("/demo/after", cmd="true", cpus=0.1).wait(20).exit_codes.tolist() == [0]
    assert world.do(lambda: (world.room._streams.taken, world.room._waits.taken)) == (0, 0)
