"""Legacy fields of apps: each is translated to its present form, and the form is a fixed point."""

from __future__ import annotations

from typing import Any

import pytest

from orch.model.specs import Settings, compile_spec, parse_app, to_marathon
from tests.model.specs.cases import app, faults

HOST = [{"mode": "host"}]
BRIDGE = [{"mode": "container/bridge"}]
DEFAULT_NET = [{"mode": "container", "name": "default"}]
DOCKER: dict[str, Any] = {"type": "DOCKER", "docker": {"image": "x"}}


def docker(**fields: Any) -> dict[str, Any]:
    return {"type": "DOCKER", "docker": {"image": "x", **fields}}


def shown(**fields: Any) -> dict[str, Any]:
    """The present form of an app, which is checked to parse to itself."""
    body = to_marathon(parse_app(app(**fields)))
    assert to_marathon(parse_app(body)) == body
    assert not {"uris", "ports", "ipAddress"} & body.keys()
    return body


def modes(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in net.items() if value != {}} for net in body["networks"]]


def ports(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in port.items() if k in ("containerPort", "hostPort", "name", "port")} for port in body]


def test_uris_become_fetch_and_archives_are_extracted() -> None:
    fetch = shown(uris=["http://a/b.tar.gz", "http://a/b.txt"])["fetch"]
    assert [(item["uri"], item["extract"]) for item in fetch] == [
        ("http://a/b.tar.gz", True),
        ("http://a/b.txt", False),
    ]


def test_ports_become_port_definitions() -> None:
    assert ports(shown(ports=[0, 8080])["portDefinitions"]) == [{"port": 0}, {"port": 8080}]
    assert shown(ports=[])["portDefinitions"] == []
    assert ports(shown()["portDefinitions"]) == [{"port": 0, "name": "default"}]


@pytest.mark.parametrize(
    ("fields", "networks"),
    [
        ({}, HOST),
        ({"container": docker(network="HOST")}, HOST),
        ({"container": docker(network="bridge")}, BRIDGE),
        ({"container": docker(network="USER")}, DEFAULT_NET),
        ({"container": docker(network="NONE")}, DEFAULT_NET),
        ({"ipAddress": {}}, DEFAULT_NET),
        ({"ipAddress": {}, "container": docker(network="HOST")}, HOST),
        ({"ipAddress": {"networkName": "blue"}}, [{"mode": "container", "name": "blue"}]),
        (
            {"ipAddress": {"networkName": "blue", "labels": {"a": "b"}}, "container": docker(network="USER")},
            [{"mode": "container", "name": "blue", "labels": {"a": "b"}}],
        ),
        ({"networks": [{"mode": "container"}]}, DEFAULT_NET),
    ],
)
def test_networks_come_from_wherever_they_were_written(fields: dict[str, Any], networks: list[Any]) -> None:
    assert modes(shown(**fields)) == networks


def test_docker_port_mappings_move_to_the_container() -> None:
    body = shown(container=docker(network="BRIDGE", portMappings=[{"containerPort": 80}]))
    assert ports(body["container"]["portMappings"]) == [{"containerPort": 80, "hostPort": 0}]
    assert "portMappings" not in body["container"]["docker"] and "network" not in body["container"]["docker"]


def test_discovery_ports_become_port_mappings() -> None:
    body = shown(ipAddress={"discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]}})
    assert ports(body["container"]["portMappings"]) == [{"containerPort": 80, "name": "http"}]
    assert body["container"]["type"] == "MESOS"


def test_a_container_network_gets_one_mapping_and_as_many_as_there_are_port_definitions() -> None:
    assert ports(shown(networks=DEFAULT_NET)["container"]["portMappings"]) == [{"containerPort": 0, "name": "default"}]
    many = shown(networks=DEFAULT_NET, container={"type": "MESOS", "portMappings": []}, portDefinitions=[{}, {}])
    assert len(many["container"]["portMappings"]) == 2
    assert (
        shown(networks=DEFAULT_NET, container={"type": "MESOS", "portMappings": []})["container"]["portMappings"] == []
    )


def test_checks_without_a_port_take_the_first_one() -> None:
    checks = [{"protocol": "HTTP"}, {"protocol": "COMMAND", "command": {"value": "x"}}, {"protocol": "TCP", "port": 5}]
    assert [check.get("portIndex") for check in shown(healthChecks=checks)["healthChecks"]] == [0, None, None]


def test_a_container_without_a_type_is_docker_where_it_has_an_image() -> None:
    assert shown(container={"docker": {"image": "x"}})["container"]["type"] == "DOCKER"
    assert shown(container={"volumes": []})["container"]["type"] == "MESOS"


def test_relative_ids_and_dependencies_become_absolute() -> None:
    body = to_marathon(parse_app(app(id="api", dependencies=["../base", "/x"]), Settings(base="/team/shop")))
    assert (body["id"], body["dependencies"]) == ("/team/shop/api", ["/team/shop/base", "/x"])


def test_mappings_compile_with_the_ports_of_the_agent_that_they_ask_for() -> None:
    mappings = [{"containerPort": 80, "hostPort": 0, "servicePort": 10_001, "name": "web"}, {"containerPort": 0}]
    template = compile_spec(parse_app(app(networks=DEFAULT_NET, container={**DOCKER, "portMappings": mappings})))
    web, other = template.containers[0].endpoints
    assert (web.host_port, web.container_port, web.service_port) == (0, 80, 10_001)
    assert (other.name, other.host_port, other.container_port) == ("", None, None)
    assert (template.request[4], template.needs) == (1, ("image", "network:container"))


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"uris": ["a"], "fetch": [{"uri": "a"}]}, "/uris", "may not be set in conjunction with fetch"),
        ({"ports": [80, 80]}, "/", "ports must be unique"),
        ({"ports": [80], "portDefinitions": [{"port": 81}]}, "/", "both ports and port definitions"),
        ({"ports": [80], "ipAddress": {}}, "/", "both an IP address and port"),
        ({"networks": HOST, "ipAddress": {}}, "/", "must not specify both networks and ipAddress"),
        ({"ipAddress": {"discovery": {}}, "container": DOCKER}, "/ipAddress", "not allowed for Docker"),
        (
            {"networks": BRIDGE, "container": docker(network="BRIDGE")},
            "/",
            "both container.docker.network and networks",
        ),
        (
            {"container": {**docker(network="BRIDGE", portMappings=[{}]), "portMappings": [{}]}},
            "/container",
            "both portMappings and docker.portMappings",
        ),
        ({"container": {**docker(network="USER"), "type": "MESOS"}}, "/container/docker/network", "must be empty"),
        (
            {"container": {**docker(portMappings=[{}]), "type": "MESOS"}},
            "/container/docker/portMappings",
            "must be empty",
        ),
    ],
)
def test_two_forms_of_one_thing_are_refused(fields: dict[str, Any], path: str, message: str) -> None:
    assert message in faults(parse_app, app(**fields))[path]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"id": 3}, "/id"),
        ({"dependencies": 3}, "/dependencies"),
        ({"networks": 3}, "/networks"),
        ({"networks": [3]}, "/networks(0)"),
        ({"container": 3, "networks": BRIDGE}, "/container"),
        ({"container": {"type": "MESOS", "portMappings": 3}, "networks": BRIDGE}, "/container/portMappings"),
        ({"ipAddress": {"discovery": {"ports": [3]}}}, "/ipAddress/discovery/ports(0)"),
        ({"healthChecks": [3]}, "/healthChecks(0)"),
        ({"upgradeStrategy": 3}, "/upgradeStrategy"),
        ({"constraints": [3]}, "/constraints(0)"),
        ({"dependencies": [3]}, "/dependencies(0)"),
        ({"ipAddress": {"networkName": "/"}}, "/networks(0)/name"),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_and_translated_no_further(fields: dict[str, Any], path: str) -> None:
    assert path in faults(parse_app, app(**fields))
