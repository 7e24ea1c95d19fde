"""Pods as Python objects: what they become on the wire, and what a wrong one says before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orch.client.specs import CommandCheck, Container, Endpoint, HttpCheck, Mount, Pod, TcpCheck, Volume
from orch.model.errors import SpecError
from orch.model.specs import compile_spec, parse_pod


def web(**fields: Any) -> Pod:
    return Pod("/demo/web", [Container("app", cmd="true", **fields)])


def test_a_pod_becomes_a_body_in_marathons_format() -> None:
    pod = Pod(
        "/demo/web",
        containers=[
            Container(
                "app", cmd="serve", cpus=0.1, mem=64, env={"A": "b"}, user="me", grace=2, artifacts=["http://a/b.zip"],
                endpoints=[Endpoint("http"), Endpoint("dns", 53, ["tcp", "udp"], labels={"k": "v"})],
                health=HttpCheck("http", path="/ok", interval=1, grace=5, max_failures=2),
                mounts={"data": "data"}, labels={"part": "app"},
            ),
            Container("sidecar", argv=["sleep", "9"], mounts=[Mount("etc", "etc", read_only=True)], image="tool:1"),
        ],
        instances=3, env={"LEVEL": "1"}, user="web", labels={"tier": "front"},
        volumes=["data", Volume("etc", host="/etc/web")], constraints=[("hostname", "UNIQUE"), ("rack", "LIKE", "r1")],
        priority=2, role="demo", drain=1.5,
    )  # fmt: skip
    assert pod.to_body() == {
        "id": "/demo/web",
        "containers": [
            {
                "name": "app",
                "resources": {"cpus": 0.1, "mem": 64, "disk": 0, "gpus": 0},
                "exec": {"command": {"shell": "serve"}},
                "endpoints": [
                    {"name": "http", "hostPort": 0, "protocol": ["tcp"]},
                    {"name": "dns", "hostPort": 53, "protocol": ["tcp", "udp"], "labels": {"k": "v"}},
                ],
                "healthCheck": {
                    "http": {"endpoint": "http", "path": "/ok", "scheme": "HTTP"},
                    "intervalSeconds": 1,
                    "timeoutSeconds": 0.5,
                    "delaySeconds": 1,
                    "gracePeriodSeconds": 5,
                    "maxConsecutiveFailures": 2,
                },
                "environment": {"A": "b"},
                "volumeMounts": [{"name": "data", "mountPath": "data", "readOnly": False}],
                "user": "me",
                "lifecycle": {"killGracePeriodSeconds": 2},
                "artifacts": [{"uri": "http://a/b.zip"}],
                "labels": {"part": "app"},
            },
            {
                "name": "sidecar",
                "resources": {"cpus": 1.0, "mem": 128, "disk": 0, "gpus": 0},
                "exec": {"command": {"argv": ["sleep", "9"]}},
                "volumeMounts": [{"name": "etc", "mountPath": "etc", "readOnly": True}],
                "image": {"kind": "DOCKER", "id": "tool:1"},
            },
        ],
        "scaling": {"kind": "fixed", "instances": 3},
        "environment": {"LEVEL": "1"},
        "user": "web",
        "labels": {"tier": "front"},
        "volumes": [{"name": "data"}, {"name": "etc", "host": "/etc/web"}],
        "scheduling": {
            "placement": {
                "constraints": [
                    {"fieldName": "hostname", "operator": "UNIQUE"},
                    {"fieldName": "rack", "operator": "LIKE", "value": "r1"},
                ]
            }
        },
        "priority": 2,
        "role": "demo",
        "drainSeconds": 1.5,
    }
    assert compile_spec(parse_pod(pod.to_body())).request == (1_100, 192, 0, 0, 2)


def test_a_small_pod_says_little() -> None:
    assert web().to_body() == {
        "id": "/demo/web",
        "containers": [
            {
                "name": "app",
                "resources": {"cpus": 1.0, "mem": 128, "disk": 0, "gpus": 0},
                "exec": {"command": {"shell": "true"}},
            }
        ],
        "scaling": {"kind": "fixed", "instances": 1},
    }


def test_the_numbers_of_a_check_follow_its_interval() -> None:
    assert TcpCheck("a").to_body() == {"tcp": {"endpoint": "a"}}
    assert TcpCheck("a", interval=100).to_body() == {
        "tcp": {"endpoint": "a"}, "intervalSeconds": 100, "timeoutSeconds": 20, "delaySeconds": 15,
    }  # fmt: skip
    assert TcpCheck("a", interval=4, timeout=3, delay=0).to_body()["timeoutSeconds"] == 3
    assert TcpCheck("a", interval=4, timeout=3, delay=0).to_body()["delaySeconds"] == 0
    assert CommandCheck("test -e ok").to_body() == {"exec": {"command": {"shell": "test -e ok"}}}
    assert CommandCheck(["test", "-e", "ok"]).to_body() == {"exec": {"command": {"argv": ["test", "-e", "ok"]}}}


WRONG: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: Container("app", memory=3), "/memory", "orch.Container has no memory; did you mean mem?"),
    (lambda: Endpoint("a", zzz=3), "/zzz", "orch.Endpoint has no zzz; it takes name, port, protocol"),
    (lambda: Endpoint(), "/", "missing 1 required positional argument: 'name'"),
    (lambda: HttpCheck("a", "/", "HTTP", 4), "/", "positional arguments but 5 were given"),
    (lambda: web(mem="64MB"), "/containers(0)/resources/mem", "Write 64"),
    (lambda: web(cpus=True), "/containers(0)/resources/cpus", "got true"),
    (lambda: Container("app", cmd="true", cpus=-1), "/cpus", "cpus of orch.Container is -1, expected 0 or more"),
    (lambda: Container("app", cmd="true", mem=-0.5), "/mem", "mem of orch.Container is -0.5, expected 0 or more"),
    (lambda: Container("app", cmd="true", disk=-1), "/disk", "disk of orch.Container is -1"),
    (lambda: Container("app", cmd="true", gpus=-1), "/gpus", "gpus of orch.Container is -1"),
    (lambda: Pod("/a", [Container("app", cmd="true")], instances=-1), "/instances", "instances of orch.Pod is -1"),
    (lambda: web(env={"A": 3}), "/containers(0)/environment/A", 'write "3"'),
    (lambda: web(env="A=3"), "/containers(0)/environment", "must be an object"),
    (lambda: web(artifacts="http://a"), "/containers(0)/artifacts", "must be a list"),
    (lambda: web(endpoints="http"), "/containers(0)/endpoints", "must be a list"),
    (lambda: web(health="http"), "/containers(0)/healthCheck", "must be an object"),
    (lambda: web(health=HttpCheck("http")), "/containers(0)/healthCheck/http/endpoint", "is no endpoint"),
    (lambda: web(health=TcpCheck("http", interval="1s")), "/containers(0)/healthCheck/intervalSeconds", "Write 1"),
    (lambda: web(mounts={"data": "d"}), "/containers(0)/volumeMounts(0)/name", "should exist"),
    (lambda: web(argv="ls"), "/containers(0)/exec/command/argv", "must be a list"),
    (lambda: web(argv=["ls"]), "/containers(0)/exec/command", "and not both"),
    (lambda: Pod("/demo/web", [Container("app")]), "/containers(0)", "has nothing to run"),
    (lambda: Pod("/demo/web", [3]), "/containers(0)", "must be an object"),
    (lambda: Pod("/demo/web", Container("app", cmd="true")), "/containers", "must be a list"),
    (lambda: Pod("/Demo", [Container("app", cmd="true")]), "/id", "Did you mean 'demo'?"),
    (
        lambda: Pod("/demo", [Container("app", cmd="true")], constraints=["UNIQUE"]),
        "/scheduling/placement/constraints(0)",
        "must be an object",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("make", "path", "message"), WRONG, ids=lambda part: part if isinstance(part, str) else "")
def test_a_wrong_pod_is_refused_when_it_is_made(make: Callable[[], Any], path: str, message: str) -> None:
    with pytest.raises(SpecError) as refused:
        make()
    found = {entry["path"]: " | ".join(entry["errors"]) for entry in refused.value.details}
    assert message in found.get(path, str(found))


def test_an_error_inside_a_constructor_is_not_taken_for_a_wrong_keyword() -> None:
    class Bad(list[Endpoint]):
        def __iter__(self) -> Any:
            raise TypeError("not a keyword")

    with pytest.raises(TypeError, match="not a keyword"):
        web(endpoints=Bad([Endpoint("a")]))
