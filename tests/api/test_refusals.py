"""Whatever is wrong with a request is told in one body, with the place and the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from orch.model.codec import encode
from tests.api.world import World

SMALL = {"spec_bytes": 3000, "job_json_bytes": 2000, "job_columns_bytes": 4000, "blob_bytes": 1000, "other_bytes": 500}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all of them: what is refused changes nothing."""
    with World(tmp_path_factory.mktemp("world")) as running:
        yield running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("small"), **SMALL) as running:
        yield running


def send(world: World, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {**world.headers(), **how.pop("headers", {})}
    return httpx.request(method, world.url + path, headers=headers, **how)


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert answer.status_code == status == body["status"], body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["message"] == body["detail"] and body["title"] and body["type"].startswith("urn:orch:error:")
    assert all(entry["path"] and entry["errors"] for entry in body["details"])
    return body


def test_an_unknown_route(world: World) -> None:
    body = check_problem(send(world, "GET", "/v3/nothing"), 404)
    assert "/v3/nothing" in body["detail"] and "openapi.json" in body["detail"]


def test_a_method_that_the_route_lacks(world: World) -> None:
    answer = send(world, "PATCH", "/v2/jobs")
    body = check_problem(answer, 405)
    assert answer.headers["allow"] and "PATCH is not possible on /v2/jobs" in body["detail"]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v2/jobs?limit=many", "query.limit"),
        ("/v2/jobs?offset=-1", "query.offset"),
        ("/v2/jobs/abc", "path.job"),
        ("/v2/jobs/1/wait?for=ever", "query.for"),
        ("/v2/agents?limit=99999999", "query.limit"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(world: World, path: str, place: str) -> None:
    body = check_problem(send(world, "GET", path), 400)
    assert [entry["path"] for entry in body["details"]] == [place]


@pytest.mark.parametrize("text", ["", "{", '{"id": NaN}', "[" * 100_000, "\xff"])
def test_a_body_that_is_no_json(world: World, text: str) -> None:
    for path in ("/v2/pods", "/v2/apps", "/v2/jobs"):
        check_problem(send(world, "POST", path, content=text.encode("latin-1")), 400)


@pytest.mark.parametrize("value", [[], 1, "text", None])
@pytest.mark.parametrize("path", ["/v2/pods", "/v2/apps", "/v2/jobs"])
def test_a_body_that_is_no_object(world: World, path: str, value: Any) -> None:
    check_problem(send(world, "POST", path, content=json.dumps(value)), 422)


def test_a_media_type_that_is_not_taken(world: World) -> None:
    answer = send(world, "POST", "/v2/pods", content=b"<a/>", headers={"Content-Type": "application/xml"})
    assert "application/xml" in check_problem(answer, 400)["detail"]


def test_yaml_is_taken_where_it_says_so(world: World) -> None:
    text = "id: /demo/sleep\ncmd: sleep 100\ncpus: 0.1\n"
    answer = send(world, "POST", "/v2/apps", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 201 and answer.json()["cmd"] == "sleep 100"


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        ("/v2/jobs", {"id": "/a", "cmd": "x", "memory": 5}, "/memory"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "cpus": -1}, "/cpus"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "mem": "64MB"}, "/mem"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "instances": 0}, "/instances"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "instances": 10, "gang": 3}, "/gang"),
        ("/v2/jobs", {"id": "No Path", "cmd": "x"}, "/id"),
        ("/v2/jobs", {"id": "/a"}, "/"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": []}, "/each"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": [1]}, "/each(0)"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": [{"A": "x"}, {"A": 5}]}, "/each(1)/A"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": [{"A=B": "x"}]}, "/each"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": [{"A": "x\0"}]}, "/each(0)/A"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": {"A": ["x"], "B": ["x", "y"]}}, "/each/B"),
        ("/v2/jobs", {"id": "/a", "cmd": "x", "each": [{"A": "x"}], "instances": 2}, "/instances"),
        ("/v2/apps", {"id": "/a", "cmd": "x", "memory": 5}, "/memory"),
        ("/v2/pods", {"id": "/a", "containers": [{"name": "c", "cpu": 1}]}, "/containers(0)/cpu"),
    ],
)
def test_a_wrong_field_is_named(world: World, path: str, body: dict[str, Any], place: str) -> None:
    before = len(world.calls)
    found = check_problem(send(world, "POST", path, json=body), 422)
    assert place in [entry["path"] for entry in found["details"]], found
    assert len(world.calls) == before


def test_an_endpoint_name_used_twice(world: World) -> None:
    twice = {"name": "c", "endpoints": [{"name": "http", "hostPort": 0}, {"name": "http", "hostPort": 0}]}
    twice |= {"exec": {"command": {"shell": "x"}}}
    body = check_problem(send(world, "POST", "/v2/pods", json={"id": "/a", "containers": [twice]}), 422)
    assert any("endpoints" in entry["path"] for entry in body["details"])


@pytest.mark.parametrize(
    ("method", "path", "kind", "limit"),
    [
        ("POST", "/v2/pods", "application/json", SMALL["spec_bytes"]),
        ("PUT", "/v2/pods/demo/web", "application/json", SMALL["spec_bytes"]),
        ("POST", "/v2/apps", "application/json", SMALL["spec_bytes"]),
        ("PUT", "/v2/apps/demo/web", "application/json", SMALL["spec_bytes"]),
        ("POST", "/v2/jobs", "application/json", SMALL["job_json_bytes"]),
        ("POST", "/v2/jobs", "application/msgpack", SMALL["job_columns_bytes"]),
        ("PUT", f"/v2/blobs/{'0' * 64}", "application/octet-stream", SMALL["blob_bytes"]),
        ("PUT", "/v2/services/demo/web::scale", "application/json", SMALL["other_bytes"]),
        ("POST", "/v2/agents/a1/drain", "application/json", SMALL["other_bytes"]),
        ("POST", "/internal/join", "application/json", SMALL["other_bytes"]),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_the_limit_of_its_route(
    small: World, method: str, path: str, kind: str, limit: int, declared: bool
) -> None:
    data = b" " * (limit + 1)
    content = data if declared else iter([data[:-1], data[-1:]])
    body = check_problem(send(small, method, path, content=content, headers={"Content-Type": kind}), 413)
    assert f"at most {limit} bytes" in body["detail"] and method in body["detail"]
    assert small.calls == []


def test_columns_that_lie_are_refused(world: World) -> None:
    import numpy as np

    off = np.array([0, 1, 2], dtype=np.int64)
    good = {"blob": b"ab", "off": off}
    bad = [
        {**good, "blob": b"abc"},
        {**good, "off": off.astype(np.int32)},
        {**good, "off": np.array([0, 2, 1], dtype=np.int64)},
        {**good, "off": np.array([0, 2, 1, 2], dtype=np.int64)},
        {**good, "off": np.array([1, 2, 2], dtype=np.int64)},
        {**good, "off": np.empty(0, dtype=np.int64)},
        {**good, "off": [0, 1, 2]},
        {**good, "has": np.array([1], dtype=np.uint8)},
        {"off": off},
        {**good, "blob": b"a\0"},
        "text",
    ]
    headers = {"Content-Type": "application/msgpack"}
    for column in bad:
        body = encode({"id": "/a", "cmd": "x", "each": {"A": column}})
        check_problem(send(world, "POST", "/v2/jobs", content=body, headers=headers), 422)
    body = encode({"id": "/a", "cmd": "x", "each": {"A": good}})
    assert send(world, "POST", "/v2/jobs", content=body, headers=headers).status_code == 201


def test_bytes_that_are_no_msgpack(world: World) -> None:
    for data in (b"\xc1", b"\xff\xff", encode({"a": 1})[:-1], b""):
        answer = send(world, "POST", "/v2/jobs", content=data, headers={"Content-Type": "application/msgpack"})
        check_problem(answer, 400)


def test_a_key_that_is_unreasonable(world: World) -> None:
    for key in ("x" * 300, "tab\there"):
        answer = send(world, "POST", "/v2/jobs", json={"id": "/a", "cmd": "x"}, headers={"Idempotency-Key": key})
        check_problem(answer, 400)


def test_a_mistake_of_ours_is_a_500_that_tells_nothing_private(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orch.api import reads

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a secret of ours")

    monkeypatch.setattr(reads, "agents", broken)
    answer = send(world, "GET", "/v2/agents")
    body = check_problem(answer, 500)
    assert "ZeroDivisionError" in body["detail"] and "a secret of ours" not in answer.text
    assert answer.headers["x-request-id"] in body["detail"]
    assert send(world, "GET", "/v2/info").status_code == 200


def test_an_index_that_is_not_reached(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from orch.api import middleware

    monkeypatch.setattr(middleware, "AFTER_MS", 50)
    check_problem(send(world, "GET", "/v2/info?after=x"), 400)
    assert send(world, "GET", "/v2/info?after=1").status_code == 200
    answer = send(world, "GET", "/v2/info?after=1000000")
    check_problem(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_too_many_blocking_reads(tmp_path: Path) -> None:
    with World(tmp_path, waits=0, streams=0) as world:
        job = world.cluster.submit("/demo/a", cmd="sleep 9", cpus=0.1)
        check_problem(send(world, "GET", f"/v2/jobs/{job.number}/wait"), 429)
        check_problem(send(world, "GET", "/v2/events"), 429)
