"""Apps: what is taken, what is refused and under which path, and what they compile to."""

from __future__ import annotations

from typing import Any

import pytest

from orch.model.specs import COMPATIBLE, Settings, Template, compile_spec, parse, parse_app, to_marathon
from orch.model.specs.app import AppSpec
from orch.model.specs.pod import PodSpec
from orch.model.specs.template import EndpointTemplate, HealthTemplate, MountTemplate, VolumeTemplate
from tests.model.specs.cases import DELETE, app, changed, faults, pod, whole

V = ("container", "volumes")

WRONG: list[tuple[tuple[str | int, ...], Any, str, str]] = [
    (("memory",), 1, "/memory", "Did you mean mem?"),
    (("instances",), 0.1, "/instances", "must be a whole number"),
    (("backoffFactor",), 0.5, "/backoffFactor", "expected 1 or more"),
    (("mem",), -3, "/mem", "got -3, expected 0 or more"),
    (("executor",), "/a//b", "/executor", "is no executor"),
    (("readinessChecks",), [{"portName": "web"}] * 2, "/readinessChecks", "at most 1"),
    (("readinessChecks", 0, "portName"), "Web", "/readinessChecks(0)/portName", "is no port name"),
    (("readinessChecks", 0, "portName"), "lost", "/readinessChecks(0)/portName", "No port definition reference"),
    (
        ("readinessChecks", 0, "timeoutSeconds"),
        5,
        "/readinessChecks(0)/timeoutSeconds",
        "less than intervalSeconds (5)",
    ),
    (
        ("readinessChecks", 0, "httpStatusCodesForReady"),
        [],
        "/readinessChecks(0)/httpStatusCodesForReady",
        "at least 1",
    ),
    (("acceptedResourceRoles",), [], "/acceptedResourceRoles", "at least 1"),
    (("acceptedResourceRoles",), ["other"], "/acceptedResourceRoles", "can only contain * and team"),
    (("id",), "/a/./b", "/id", "must not contain '.'"),
    (("dependencies",), ["/a/.../"], "/dependencies(0)", "can't be part of an id"),
    (("dependencies",), ["/team/api"], "/dependencies(0)", "can't depend on itself"),
    (("dependencies",), "base", "/dependencies", "must be a list"),
    (("env",), {"": "x"}, "/env/keys(0)", "is no name of a variable"),
    (("env",), {"a=b": "x"}, "/env/keys(0)", "is no name of a variable"),
    (("env", "KEY", "secret"), "lost", "/env/KEY/secret", "references an undefined secret"),
    (("resourceLimits", "cpus"), 0.1, "/resourceLimits/cpus", "greater than or equal to requested resource (0.25)"),
    (("args",), ["a"], "/", "Both are given"),
    (("cmd",), DELETE, "/", "add cmd, args or an image"),
    (("requirePorts",), 1, "/requirePorts", "must be true or false"),
    (("portDefinitions", 1, "port"), 10001, "/portDefinitions", "Ports must be unique"),
    (("portDefinitions", 1, "name"), "web", "/portDefinitions", "Port names must be unique"),
    (("healthChecks", 0, "portIndex"), 2, "/healthChecks(0)", "The app has 2 ports"),
    (("healthChecks", 1, "ipProtocol"), "IPv6", "/healthChecks(1)", "IPv6 can only be used"),
    (("healthChecks", 2, "command"), DELETE, "/healthChecks(2)", "must have a command"),
    (("healthChecks", 0, "protocol"), "MESOS_HTTP", "/", "at most one Mesos health check"),
    (("check",), {}, "/check", "got none"),
    (("check",), {"exec": {"command": {}}}, "/check/exec/command", "either shell"),
    (("constraints", 0), ["hostname", "UNIQUE", "x"], "/constraints(0)", "UNIQUE does not accept a value"),
    (("constraints", 0), ["", "CLUSTER"], "/constraints(0)", "names no field"),
    (("constraints",), [[f"a{at}", "MAX_PER", "2"] for at in range(16)], "/constraints", "at most 15 may be"),
    (("policy",), "tightest", "/policy", "best-fit"),
    (("constraints", 0), ["a", "MOST"], "/constraints(0)", "'MOST' is no operator"),
    (("constraints", 0), ["a", "MAX_PER"], "/constraints(0)", "must have an integer value"),
    (("constraints", 0), ["a", "MAX_PER", "x"], "/constraints(0)", "is not a number"),
    (("constraints", 0), ["a", "GROUP_BY", "x"], "/constraints(0)", "is not a number"),
    (("constraints", 0), ["a", "IS", "[0-9]"], "/constraints(0)", "IS only supports text values"),
    (("constraints", 0), ["a", "IS"], "/constraints(0)", "IS only supports text values"),
    (("constraints", 0), ["a", "LIKE"], "/constraints(0)", "must be provided for LIKE"),
    (("constraints", 0), ["a", "UNLIKE", "*"], "/constraints(0)", "not a valid regular expression"),
    (("constraints", 0), ["a", "LIKE", "(" * 1025], "/constraints(0)(2)", "at most 1024"),
    (("constraints", 0), ["a"], "/constraints(0)", "at least 2"),
    (("unreachableStrategy",), {}, "/", "must be disabled for resident tasks"),
    (("upgradeStrategy", "maximumOverCapacity"), 0.5, "/upgradeStrategy/maximumOverCapacity", "got 0.5, expected 0.0"),
    (("labels", "MARATHON_SINGLE_INSTANCE_APP"), "true", "/", "may only have one instance"),
    (
        ("labels", "MARATHON_SINGLE_INSTANCE_APP"),
        "true",
        "/upgradeStrategy/minimumHealthCapacity",
        "got 0.25, expected 0.0",
    ),
    (("labels", "DCOS_MIGRATION_API_VERSION"), "v1", "/", "DCOS_MIGRATION_API_PATH must be defined"),
    (("networks",), [{"mode": "bridge"}], "/networks(0)/mode", "must be one of host"),
    ((*V, 0, "containerPath"), ".", "/container/volumes(0)/containerPath", "not empty, . or .."),
    ((*V, 0, "containerPath"), "a/b", "/container/volumes(0)/containerPath", 'must not contain "/"'),
    ((*V, 0, "mode"), "RO", "/container/volumes(0)/mode", "must be RW"),
    ((*V, 0, "persistent", "size"), -1, "/container/volumes(0)/persistent/size", "got -1"),
    ((*V, 1, "hostPath"), "", "/container/volumes(1)/hostPath", "undefined"),
    ((*V, 1, "containerPath"), DELETE, "/container/volumes(1)/containerPath", "must not be empty"),
    ((*V, 2, "secret"), "lost", "/container/volumes(2)/secret", "must refer to an existing secret"),
    ((*V, 2, "persistent"), {"size": 1}, "/container/volumes(2)", "illegal combination"),
    ((*V, 3, "external", "name"), DELETE, "/container/volumes(3)/external/name", "not defined"),
    ((*V, 3, "external", "provider"), "acme", "/container/volumes(3)/external/provider", "is unknown provider"),
    ((*V, 3, "external", "options"), {}, '/container/volumes(3)/external/options("dvdi/driver")', "not defined"),
    (
        (*V, 3, "external", "options", "dvdi/iops"),
        "0",
        '/container/volumes(3)/external/options/"dvdi/iops"',
        "1 or more",
    ),
    (
        (*V, 3, "external", "options", "dvdi/overwritefs"),
        "maybe",
        '/container/volumes(3)/external/options/"dvdi/overwritefs"',
        "true or false",
    ),
    ((*V, 3, "external", "options", "a b"), "x", "/container/volumes(3)/external/options", "no name of an option"),
]


@pytest.mark.parametrize(("steps", "value", "path", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_a_wrong_app_is_refused_under_the_path_of_the_fault(
    steps: tuple[str | int, ...], value: Any, path: str, message: str
) -> None:
    assert message in faults(parse_app, changed(whole("app.yaml"), steps, value)).get(path, "nothing")


DOCKER: dict[str, Any] = {"type": "DOCKER", "docker": {"image": "store:1"}}
MESOS: dict[str, Any] = {"type": "MESOS", "docker": {"image": "store:1"}}
NETS = [{"mode": "container", "name": "one"}, {"mode": "container", "name": "two"}]
EXTERNAL = {"containerPath": "/d", "external": {"name": "d", "provider": "dvdi", "options": {"dvdi/driver": "x"}}}

WRONG_IMAGES: list[tuple[dict[str, Any], str, str]] = [
    ({"container": {}}, "/container/docker", "not defined"),
    ({"container": {"type": "DOCKER"}}, "/container/docker", "not defined"),
    ({"container": {"type": "MESOS"}, "cmd": None}, "/", "add cmd, args or an image"),
    ({"container": {**MESOS, "appc": {"image": "x"}}}, "/container", "at most, a single image type"),
    ({"container": {"type": "MESOS", "appc": {"image": "x", "id": "sha512-"}}}, "/container/appc/id", "sha512-"),
    ({"container": DOCKER, "gpus": 1}, "/", "GPU resources only work with the Mesos containerizer"),
    ({"container": DOCKER, "check": {"tcp": {}}}, "/", "must not use 'checks' if using docker"),
    ({"container": DOCKER, "networks": NETS}, "/", "single container network"),
    (
        {"container": {"type": "DOCKER", "docker": {"image": "x", "pullConfig": {"secret": "k"}}}},
        "/container/docker/pullConfig",
        "not supported with Docker containerizer",
    ),
    (
        {"container": {"type": "MESOS", "docker": {"image": "x", "pullConfig": {"secret": "k"}}}},
        "/container/docker/pullConfig",
        "must refer to an existing secret: 'k' is not in /secrets (none is declared)",
    ),
    (
        {"container": {**MESOS, "portMappings": [{"hostPort": 0}]}, "networks": NETS},
        "/container/portMappings(0)",
        "single item list",
    ),
    (
        {"container": {**MESOS, "portMappings": [{"name": "a"}, {"name": "a"}]}, "networks": NETS[:1]},
        "/container/portMappings",
        "Port names must be unique",
    ),
    (
        {"container": {**DOCKER, "volumes": [{**EXTERNAL, "external": {**EXTERNAL["external"], "size": 1}}]}},
        "/container/volumes(0)/external/size",
        "must be undefined for Docker",
    ),
    ({"container": {**DOCKER, "volumes": [EXTERNAL] * 2}}, "/container/volumes", "Volume names must be unique: d"),
    ({"portDefinitions": [], "healthChecks": [{"protocol": "MESOS_HTTP"}]}, "/healthChecks(0)", "The app has 0 ports"),
    ({"residency": {}}, "/", "must contain persistent volumes"),
]


@pytest.mark.parametrize(("fields", "path", "message"), WRONG_IMAGES, ids=lambda part: str(part)[:60])
def test_a_wrong_combination_of_fields_is_refused(fields: dict[str, Any], path: str, message: str) -> None:
    assert message in faults(parse_app, app(**fields)).get(path, "nothing")


def test_features_that_are_off_refuse_what_needs_them() -> None:
    off = Settings(features=())
    assert "Feature gpu_resources is not enabled" in faults(parse_app, app(gpus=1), off)["/"]
    volume = {"container": {**DOCKER, "volumes": [EXTERNAL]}}
    assert "Feature external_volumes" in faults(parse_app, app(**volume), off)["/container/volumes(0)"]
    secret = {"container": {"volumes": [{"containerPath": "k", "secret": "key"}]}}
    assert "Feature secrets" in faults(parse_app, app(**secret), off)["/container/volumes(0)"]


def test_compatible_settings_take_an_app_that_has_nothing_to_run() -> None:
    spec = parse_app({"id": "/demo/api"}, COMPATIBLE)
    assert compile_spec(spec).needs == ("command",)
    assert to_marathon(parse_app(to_marathon(spec), COMPATIBLE)) == to_marathon(spec)


def test_ipv6_is_for_checks_by_mesos_of_docker_containers() -> None:
    check = {"protocol": "MESOS_TCP", "port": 80, "ipProtocol": "IPv6"}
    template = compile_spec(parse_app(app(container=DOCKER, healthChecks=[check])))
    assert template.containers[0].health[0].ipv6


def test_pods_and_apps_are_told_apart_by_their_containers() -> None:
    assert isinstance(parse(pod()), PodSpec)
    assert isinstance(parse(app()), AppSpec)
    assert "/containers" in faults(parse, {"id": "/a", "scaling": {}})
    assert faults(parse, 3) == {"/": "must be an object that describes the app; got int"}


def test_a_whole_app_compiles() -> None:
    template = compile_spec(parse_app(whole("app.yaml")))
    (main,) = template.containers
    assert (template.kind, template.group, template.request) == ("app", "/team", (250, 32, 5, 0, 2))
    assert (main.name, main.shell, main.argv) == ("main", "exec api --port $PORT0", ())
    assert main.env == ((" odd name ", "x"), ("LEVEL", "3")) and main.secret_env == (("KEY", "/team/key"),)
    assert (main.cpus_limit_milli, main.mem_limit_mib, main.grace_ms, main.tty) == (1_000, -1, 4_000, True)
    assert main.endpoints == (
        EndpointTemplate("web", 10_001, None, ("tcp",), (("VIP_0", "/api:80"),)),
        EndpointTemplate("", 0, None, ("udp", "tcp")),
    )
    assert main.health[0] == HealthTemplate(
        "http", 1, 0, "/ok", "", (), 9_000, 8_000, 7_000, 6_000, 5, ignore_1xx=True
    )  # fmt: skip
    assert (main.health[1].kind, main.health[1].endpoint, main.health[1].port) == ("tcp", -1, 9_000)
    assert (main.health[2].kind, main.health[2].shell) == ("command", "test -e ok")
    assert template.volumes == (
        VolumeTemplate("v0", "persistent", "root", 10),
        VolumeTemplate("v1", "host", "/var/log"),
        VolumeTemplate("v2", "secret", "/team/key"),
        VolumeTemplate("v3", "external", "dvdi/disk1", 2_048),
    )
    assert main.mounts[1] == MountTemplate("v1", "logs", True)
    assert [rule.operator for rule in template.constraints] == ["UNIQUE", "GROUP_BY", "CLUSTER"]
    assert (template.dependencies, template.require_ports, template.unreachable) == (("/team/base",), True, None)
    assert template.needs == ("external-volume", "mount:absolute", "persistent-volume", "seccomp", "secret")
    assert Template.from_wire(template.to_wire()) == template


def test_a_small_app_has_one_port_and_runs_on_plain_agents() -> None:
    template = compile_spec(parse_app(app(args=["a", ""], cmd=None)))
    assert template.containers[0].argv == ("a", "")
    assert (template.request, template.needs, template.role) == ((1_000, 128, 0, 0, 1), (), "demo")
    assert template.containers[0].endpoints == (EndpointTemplate("default", 0),)


def test_images_and_executors_are_needs() -> None:
    appc = {"type": "MESOS", "appc": {"image": "etcd", "id": "sha512-abc"}}
    template = compile_spec(parse_app(app(container=appc, cmd=None, executor="/bin/run")))
    assert (template.needs, template.containers[0].image) == (("executor", "image"), "etcd")


def test_a_single_instance_app_never_runs_twice() -> None:
    spec = parse_app(app(labels={"MARATHON_SINGLE_INSTANCE_APP": "true"}))
    template = compile_spec(spec)
    assert template.single_instance and template.maximum_over_micro == template.minimum_health_micro == 0


def test_the_wire_form_holds_every_field_that_was_given() -> None:
    given_body, shown = whole("app.yaml"), to_marathon(parse_app(whole("app.yaml")))
    for name, value in given_body.items():
        if name not in ("container", "healthChecks", "check", "networks", "portDefinitions", "tty", "fetch"):
            assert shown[name] == value, name
    assert to_marathon(parse_app(shown)) == shown


def test_a_limit_may_be_what_is_asked_for() -> None:
    equal = compile_spec(parse_app(app(cpus=0.5, mem=64, resourceLimits={"cpus": 0.5, "mem": 64}))).containers[0]
    assert (equal.cpus_limit_milli, equal.mem_limit_mib) == (equal.cpus_milli, equal.mem_mib)
    assert "/resourceLimits/mem" in faults(parse_app, app(mem=64, resourceLimits={"cpus": 1, "mem": 63.9}))


def test_a_secret_in_the_environment_alone_is_a_need() -> None:
    body = app(env={"KEY": {"secret": "key"}}, secrets={"key": {"source": "/team/key"}})
    assert compile_spec(parse_app(body)).needs == ("secret",)


def test_an_app_with_its_own_disk_is_upgraded_in_place_and_half_at_a_time() -> None:
    volume = {"containerPath": "data", "mode": "RW", "persistent": {"size": 10}}
    template = compile_spec(parse_app(app(container={"type": "MESOS", "volumes": [volume]})))
    assert (template.minimum_health_micro, template.maximum_over_micro) == (500_000, 0)
    assert template.unreachable is None
