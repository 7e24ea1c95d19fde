"""Who has no token gets nothing but `/ping`."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import httpx
import pytest

from tests.api.world import NODE_TOKEN, TOKEN, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all of them: who is refused changes nothing."""
    with World(tmp_path_factory.mktemp("world")) as running:
        yield running


ROUTES = ["/v2/info", "/v2/jobs", "/v2/events", "/metrics", "/openapi.json", "/v2/nothing", "/internal/join"]


@pytest.mark.parametrize("path", ROUTES)
def test_no_token_is_refused_with_how_to_get_one(world: World, path: str) -> None:
    answer = httpx.get(world.url + path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    body = answer.json()
    assert body["type"] == "urn:orch:error:unauthenticated" and "ORCH_TOKEN_FILE" in body["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header", [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", f"Basic {TOKEN}", TOKEN, f"Bearer {NODE_TOKEN}"]
)
def test_a_wrong_token_is_refused(world: World, header: str) -> None:
    answer = httpx.get(f"{world.url}/v2/info", headers={"Authorization": header})
    assert answer.status_code == 401
    assert TOKEN not in answer.text


def test_a_wrong_token_changes_nothing(world: World) -> None:
    before = world.do(lambda: world.follower.index)
    answer = httpx.post(
        f"{world.url}/v2/jobs", json={"id": "/x", "cmd": "true"}, headers={"Authorization": "Bearer no"}
    )
    assert answer.status_code == 401
    assert world.calls == [] and world.do(lambda: world.follower.index) == before


def test_ping_is_open(world: World) -> None:
    answer = httpx.get(f"{world.url}/ping")
    assert (answer.status_code, answer.text) == (200, "pong\n")


def test_the_scheme_is_not_case_sensitive(world: World) -> None:
    assert httpx.get(f"{world.url}/v2/info", headers={"Authorization": f"bearer {TOKEN}"}).status_code == 200


def test_every_reply_carries_the_index(world: World) -> None:
    for path in ("/ping", "/v2/info", "/v2/jobs/77", "/nowhere"):
        answer = httpx.get(world.url + path, headers=world.headers())
        assert int(answer.headers["x-orch-index"]) == world.do(lambda: world.follower.index), path


def test_a_node_joins_with_the_token_of_users(world: World) -> None:
    answer = httpx.post(f"{world.url}/internal/join", json={"node": "n2"}, headers=world.headers())
    assert answer.json() == {"node": "n2", "cluster": "0123abcd"}


def test_the_token_is_also_taken_as_dcos_and_basic_clients_send_it(world: World) -> None:
    basic = base64.b64encode(f"admin:{TOKEN}".encode()).decode()
    for given in (f"token={TOKEN}", f"Basic {basic}"):
        assert httpx.get(f"{world.url}/v2/info", headers={"Authorization": given}).status_code == 200
    for wrong in (f"token={TOKEN}x", "token=", "Basic " + base64.b64encode(TOKEN.encode()).decode(), "Basic \u00e9"):
        answer = httpx.get(f"{world.url}/v2/info", headers={"Authorization": wrong.encode()})
        assert answer.status_code == 401
