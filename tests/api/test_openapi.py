"""The document about the API is whole, and the API is as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel

import orch
from orch.api import schemas
from tests.api.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With a service of two and a job of three."""
    with World(tmp_path_factory.mktemp("world")) as running:
        running.cluster.run(POD, instances=2).wait(10)
        running.cluster.submit("/demo/job", cmd="true", count=3, cpus=0.1).wait(10)
        yield running


@pytest.fixture
def document(world: World) -> dict[str, Any]:
    answer = httpx.get(f"{world.url}/openapi.json", headers=world.headers())
    found: dict[str, Any] = answer.json()
    return found


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def test_it_is_a_document_of_openapi(document: dict[str, Any]) -> None:
    assert OpenAPI.model_validate(document).info.title == "orch"
    assert document["openapi"].startswith("3.1")


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = {node["$ref"] for node in walk(document) if isinstance(node.get("$ref"), str)}
    assert len(references) > 30
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_every_operation_says_what_it_does_and_how_it_refuses(document: dict[str, Any]) -> None:
    identities = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            identities.append(operation["operationId"])
            assert operation["summary"], (method, path)
            problem = operation["responses"]["default"]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}
            for name in path.split("{")[1:]:
                name = name.partition("}")[0]
                assert any(one["name"] == name and one["in"] == "path" for one in operation["parameters"]), (path, name)
    assert len(identities) == len(set(identities))


def test_every_body_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            for kind, body in content.items():
                assert body["schema"], (method, path, kind)
            if "application/json" in content:
                assert "example" in content["application/json"], (method, path)


def test_routes_of_the_issue_are_there(document: dict[str, Any]) -> None:
    wanted = ["/v2/pods", "/v2/apps", "/v2/jobs", "/v2/agents", "/v2/events", "/v2/info", "/ping", "/metrics"]
    assert [path for path in wanted if path not in document["paths"]] == []
    assert "/v2/instances/{id}/logs" in document["paths"] and "/v2/why/{id}" in document["paths"]


def test_only_ping_is_open_to_all(document: dict[str, Any]) -> None:
    assert document["security"] == [{"token": []}]
    free = [path for path, one in document["paths"].items() for op in one.values() if op.get("security") == []]
    assert free == ["/ping"]


POD = orch.Pod(
    "/demo/web",
    containers=[orch.Container("app", cmd="serve", cpus=0.1, mem=32, endpoints=[orch.Endpoint("http")])],
)


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v2/info::orch", schemas.Info),
        ("/v2/agents", schemas.Agents),
        ("/v2/agents/a1", schemas.AgentShape),
        ("/v2/services", schemas.Services),
        ("/v2/services/demo/web", schemas.ServiceShape),
        ("/v2/services/demo/web::instances", schemas.Instances),
        ("/v2/services/demo/web::wait", schemas.WaitedService),
        ("/v2/jobs", schemas.Jobs),
        ("/v2/jobs/1", schemas.JobShape),
        ("/v2/jobs/1/wait", schemas.WaitedJob),
        ("/v2/jobs/1/instances", schemas.Instances),
        ("/v2/instances/demo_web.1", schemas.InstanceShape),
        ("/v2/instances/demo_web.1/wait?for=running", schemas.WaitedInstance),
        ("/v2/why/demo/web", schemas.Why),
        ("/v2/why/1", schemas.Why),
        ("/v2/find?id=1", schemas.Found),
        ("/v2/jobs/99", schemas.Problem),
    ],
)
def test_replies_have_the_shapes_that_the_document_says(world: World, path: str, model: type[BaseModel]) -> None:
    answer = httpx.get(f"{world.url}{path}", headers=world.headers())
    model.model_validate(answer.json(), strict=True)
