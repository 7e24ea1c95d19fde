"""Jobs over HTTP: submitted once, pushed to who waits, results as columns and pages."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from orch.model.codec import decode, encode
from orch.model.requests import SubmitJob
from orch.model.states import State
from tests.api.world import Row, World, deadline


def send(world: World, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {**world.headers(), **how.pop("headers", {})}
    return httpx.request(method, world.url + path, headers=headers, timeout=20, **how)


def submit(world: World, **body: Any) -> dict[str, Any]:
    answer = send(world, "POST", "/v2/jobs", json={"id": "/demo/job", "cmd": "true", "cpus": 0.1, "mem": 16, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def environments(world: World) -> list[dict[str, str]]:
    rows = [row for agent in world.agents.values() for row in agent.rows.values()]
    return [row.env for row in sorted(rows, key=lambda row: row.index)]


def test_a_submission_is_answered_with_its_number_and_range(world: World) -> None:
    answer = send(world, "POST", "/v2/jobs", json={"id": "/demo/job", "cmd": "true", "instances": 5})
    assert answer.status_code == 201 and answer.headers["location"] == "/v2/jobs/1"
    found = answer.json()
    assert (found["job"], found["path"], found["count"]) == (1, "/demo/job", 5)
    assert found["first_id"] >> 44 == 2


def test_what_was_written_can_be_read_at_once(world: World) -> None:
    for number in range(1, 21):
        submit(world, cmd="sleep 1")
        assert send(world, "GET", f"/v2/jobs/{number}").status_code == 200


def test_each_row_reaches_its_pod(world: World) -> None:
    rows = [{"A": "1", "B": "x y"}, {"A": "2"}, {"B": "ü"}, {}]
    submit(world, each=rows)
    submit(world, each={"A": ["1", "2"]}, id="/demo/other")
    wait(world, 1), wait(world, 2)
    assert environments(world) == [{"A": "1", "B": "x y"}, {"A": "1"}, {"A": "2"}, {"A": "2"}, {"B": "ü"}, {}]


def wait(world: World, job: int, until: str = "finished", timeout_ms: int = 10_000) -> dict[str, Any]:
    found: dict[str, Any] = send(world, "GET", f"/v2/jobs/{job}/wait?for={until}&timeout_ms={timeout_ms}").json()
    return found


def test_one_key_is_one_job_however_often_it_is_sent(world: World) -> None:
    headers = {"Idempotency-Key": "once"}
    bodies = [{"id": "/demo/a", "cmd": "sleep 5"}, {"id": "/demo/a", "cmd": "sleep 5"}, {"id": "/demo/b", "cmd": "x"}]
    answers: list[dict[str, Any]] = []

    def one(body: dict[str, Any]) -> None:
        answers.append(send(world, "POST", "/v2/jobs", json=body, headers=headers).json())

    threads = [threading.Thread(target=one, args=(bodies[0],)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one(bodies[1])
    assert answers == [answers[0]] * 6
    other = send(world, "POST", "/v2/jobs", json=bodies[2], headers=headers)
    assert other.status_code == 409 and "used before for something else" in other.json()["detail"]
    assert [job["path"] for job in send(world, "GET", "/v2/jobs").json()["items"]] == ["/demo/a"]


def test_who_waits_is_told_as_soon_as_it_is_so(world: World) -> None:
    submit(world, cmd="sleep 100", instances=2)
    done = wait(world, 1, "running")
    assert done["done"] is True and done["status"]["states"] == {"RUNNING": 2}
    begun = time.monotonic()
    late = wait(world, 1, timeout_ms=100)
    assert late["done"] is False and 0.1 <= time.monotonic() - begun < 5

    def finish() -> None:
        for agent in world.agents.values():
            agent.become(list(agent.rows), State.FINISHED, 0)

    timer = threading.Timer(0.1, lambda: world.do(finish))
    timer.start()
    assert wait(world, 1)["status"]["states"] == {"FINISHED": 2}
    assert world.do(lambda: world.room._waits.taken) == 0


def test_a_blocking_read_whose_client_is_gone_ends_with_its_time(world: World) -> None:
    submit(world, cmd="sleep 100")
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{world.url}/v2/jobs/1/wait?timeout_ms=300", headers=world.headers(), timeout=0.1)
    deadline(lambda: world.do(lambda: world.room._waits.taken) == 0, "the wait is still there")


def test_columns_and_pages_tell_the_same(world: World) -> None:
    def program(row: Row) -> int:
        return row.index % 7

    for agent in world.agents.values():
        agent.program = program
    found = submit(world, instances=50)
    wait(world, 1)
    answer = send(world, "GET", "/v2/jobs/1/instances", headers={"Accept": "application/msgpack"})
    assert answer.headers["content-type"] == "application/msgpack"
    body = decode(answer.content)
    columns = body["columns"]
    assert body["first_id"] == found["first_id"]
    assert columns["exit_codes"].dtype == np.int16 and columns["states"].dtype == np.uint8
    assert columns["exit_codes"].tolist() == [n % 7 for n in range(50)]
    rows, offset = [], 0
    while offset is not None:
        page = send(world, "GET", f"/v2/jobs/1/instances?limit=20&offset={offset}").json()
        rows, offset = rows + page["items"], page["next"]
    assert [row["index"] for row in rows] == list(range(50))
    assert [row["exit_code"] for row in rows] == columns["exit_codes"].tolist()
    assert [State[row["state"]] for row in rows] == columns["states"].tolist()
    assert rows[3]["name"] == "demo_job.j1.3" and rows[3]["number"] == found["first_id"] + 3
    assert rows[3]["note"] == "the command exited by itself (exit code 3)" and rows[0]["note"] is None
    failed = send(world, "GET", "/v2/jobs/1/instances?state=finished&limit=2").json()
    assert [row["index"] for row in failed["items"]] == [0, 7] and failed["next"] == 2


def test_a_submission_of_columns(world: World) -> None:
    names = [b"f%d" % n for n in range(1000)]
    off = np.concatenate([[0], np.cumsum([len(name) for name in names])]).astype(np.int64)
    body = encode({"id": "/demo/digest", "cmd": "true", "cpus": 0.01, "mem": 1, "each": {
        "FILE": {"blob": b"".join(names), "off": off}}})  # fmt: skip
    answer = send(world, "POST", "/v2/jobs", content=body, headers={"Content-Type": "application/msgpack"})
    assert answer.status_code == 201 and answer.json()["count"] == 1000
    assert wait(world, 1)["done"]
    request = next(call for call in world.calls if isinstance(call, SubmitJob))
    assert bytes(request.env_blob[request.env_off[998] : request.env_off[999]]) == b"FILE=f998\0"


def test_a_job_is_stopped_and_forgotten(world: World) -> None:
    submit(world, cmd="sleep 100", instances=3)
    wait(world, 1, "running")
    busy = send(world, "DELETE", "/v2/jobs/1")
    assert busy.status_code == 409 and "stop it" in busy.json()["detail"]
    answer = send(world, "POST", "/v2/jobs/1/stop")
    assert answer.status_code == 202 and answer.json()["stopped"] is True
    assert wait(world, 1)["status"]["states"] == {"KILLED": 3}
    assert send(world, "DELETE", "/v2/jobs/1").json() == {"job": 1}
    gone = send(world, "GET", "/v2/jobs/1")
    assert gone.status_code == 404 and "job 1" in gone.json()["detail"]


def test_jobs_come_in_pages(world: World) -> None:
    for number in range(5):
        submit(world, id=f"/demo/j{number % 2}")
    first = send(world, "GET", "/v2/jobs?limit=2").json()
    assert [job["job"] for job in first["items"]] == [1, 2] and first["next"] == 2
    rest = send(world, "GET", f"/v2/jobs?limit=10&offset={first['next']}").json()
    assert [job["job"] for job in rest["items"]] == [3, 4, 5] and rest["next"] is None
    of_path = send(world, "GET", "/v2/jobs?path=/demo/j1").json()
    assert [job["job"] for job in of_path["items"]] == [2, 4]


def test_what_can_never_be_placed_is_said_at_once(world: World) -> None:
    found = submit(world, cpus=1000)
    assert found["why"]["never"] is True and found["why"]["id"] == found["job"]
    refused = send(world, "POST", "/v2/jobs?now=1", json={"id": "/demo/x", "cmd": "true", "cpus": 1000})
    body = refused.json()
    assert refused.status_code == 409 and body["type"] == "urn:orch:error:unplaceable"
    assert body["why"]["never"] and body["why"]["ruled_out"] == [{"predicate": "cpus", "agents": 2}]
    assert len(send(world, "GET", "/v2/jobs").json()["items"]) == 1


def test_now_refuses_what_has_no_room_at_present(tmp_path: Path) -> None:
    with World(tmp_path, agents=2, total=[1000, 1000, 1000, 0, 10]) as world:
        submit(world, cmd="sleep 100", cpus=1, instances=2)
        wait(world, 1, "running")
        refused = send(world, "POST", "/v2/jobs", json={"id": "/demo/x", "cmd": "true", "cpus": 0.5, "now": True})
        assert refused.status_code == 409 and refused.json()["why"]["never"] is False
        assert submit(world, cpus=0.5)["job"] == 2


def test_a_gang_that_does_not_fit_whole_is_refused_now(tmp_path: Path) -> None:
    with World(tmp_path, agents=2, total=[1000, 1000, 1000, 0, 10]) as world:
        body = {"id": "/demo/gang", "cmd": "sleep 9", "cpus": 1, "mem": 10, "instances": 3, "gang": 3, "now": True}
        refused = send(world, "POST", "/v2/jobs", json=body)
        assert refused.status_code == 409 and "room for 2" in refused.json()["why"]["sentence"]
        assert send(world, "POST", "/v2/jobs", json={**body, "instances": 2, "gang": 2}).status_code == 201


def test_a_limit_on_pods_of_a_job(tmp_path: Path) -> None:
    with World(tmp_path, rows_per_job=100) as world:
        refused = send(world, "POST", "/v2/jobs", json={"id": "/demo/a", "cmd": "true", "instances": 101})
        assert refused.status_code == 422 and "at most 100 pods" in refused.json()["detail"]
