"""Pods: what is taken, what is refused and under which path, and what they compile to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.errors import SpecError
from orch.model.specs import COMPATIBLE, Settings, Template, compile_spec, parse_pod, to_marathon
from orch.model.specs.template import (
    ArtifactTemplate,
    ConstraintTemplate,
    EndpointTemplate,
    HealthTemplate,
    MountTemplate,
    UnreachableTemplate,
    VolumeTemplate,
)
from tests.model.specs.cases import DELETE, changed, container, faults, pod, whole

C = ("containers", 0)
NET = [{"mode": "container", "name": "one"}]
TWO_NETS = [*NET, {"mode": "container", "name": "two"}]
DISK = {"volumes": [{"name": "disk", "persistent": {"size": 10}}]}

# ruff: noqa: E501
WRONG: list[tuple[tuple[str | int, ...], Any, str, str]] = [
    # single fields
    (("colour",), 1, "/colour", "is no field here; there are id, labels"),
    (("environent",), {}, "/environent", "Did you mean environment?"),
    ((*C, "cpus"), 1, "/containers(0)/cpus", "Did you mean cpus in resources?"),
    ((*C, "endpoints", 0, "host_port"), 1, "/containers(0)/endpoints(0)/host_port", "Did you mean hostPort?"),
    (("secrets", "token", "sources"), 1, "/secrets/token/sources", "Did you mean source?"),
    (("id",), DELETE, "/id", "is required"),
    (("containers",), [], "/containers", "at least 1"),
    (("containers",), {}, "/containers", "must be a list"),
    ((*C,), 3, "/containers(0)", "must be an object"),
    ((*C, "name"), "App One", "/containers(0)/name", "Did you mean 'app-one'?"),
    ((*C, "name"), "-?-", "/containers(0)/name", "is no name"),
    ((*C, "name"), "a" * 64, "/containers(0)/name", "has 64 characters; at most 63"),
    ((*C, "name"), 7, "/containers(0)/name", 'must be a string. Write "7"'),
    ((*C, "resources", "mem"), "64MB", "/containers(0)/resources/mem", "mem is in MiB as a number, such as 64. Write 64"),
    ((*C, "resources", "mem"), "1.5 GiB", "/containers(0)/resources/mem", "Write 1536"),
    ((*C, "resources", "mem"), "lots", "/containers(0)/resources/mem", "mem is in MiB as a number, such as 64"),
    ((*C, "resources", "mem"), "1 parsec", "/containers(0)/resources/mem", "mem is in MiB"),
    ((*C, "resources", "cpus"), "500m", "/containers(0)/resources/cpus", "Write 0.5"),
    ((*C, "resources", "cpus"), True, "/containers(0)/resources/cpus", "got true; it must be a finite number"),
    ((*C, "resources", "cpus"), -1, "/containers(0)/resources/cpus", "got -1, expected 0 or more"),
    ((*C, "resources", "cpus"), float("nan"), "/containers(0)/resources/cpus", "must be a finite number"),
    ((*C, "resources", "cpus"), float("inf"), "/containers(0)/resources/cpus", "must be a finite number"),
    ((*C, "resources", "cpus"), 1e7, "/containers(0)/resources/cpus", "expected 1000000 or less"),
    ((*C, "resources", "gpus"), 0.5, "/containers(0)/resources/gpus", "must be a whole number"),
    ((*C, "resources", "gpus"), False, "/containers(0)/resources/gpus", "got false"),
    ((*C, "healthCheck", "intervalSeconds"), "5s", "/containers(0)/healthCheck/intervalSeconds", "Write 5"),
    ((*C, "healthCheck", "delaySeconds"), "2 min", "/containers(0)/healthCheck/delaySeconds", "Write 120"),
    ((*C, "tty"), True, "/containers(0)/tty", "must be an object"),
    ((*C, "exec", "command", "shell"), "", "/containers(0)/exec/command/shell", "must not be empty"),
    ((*C, "exec", "command", "shell"), "a\0b", "/containers(0)/exec/command/shell", "NUL"),
    ((*C, "exec", "command", "shell"), "a" * 131_072, "/containers(0)/exec/command/shell", "at most 131071"),
    ((*C, "environment", "LEVEL"), 3, "/containers(0)/environment/LEVEL", 'must be a string; write "3"'),
    ((*C, "environment", "LEVEL"), True, "/containers(0)/environment/LEVEL", "must be a string, or a secret"),
    ((*C, "environment", "LEVEL"), None, "/containers(0)/environment/LEVEL", "must be a string, or a secret"),
    ((*C, "environment", "LEVEL"), "a\0", "/containers(0)/environment/LEVEL", "NUL"),
    ((*C, "environment", "LEVEL"), "a" * 131_072, "/containers(0)/environment/LEVEL", "at most 131071"),
    ((*C, "environment", "LEVEL"), {"secret": 1}, "/containers(0)/environment/LEVEL", '{"secret": "name"}'),
    ((*C, "labels"), {f"k{i}": "v" for i in range(4097)}, "/containers(0)/labels", "has 4097 entries; at most 4096"),
    (("scaling", "kind"), "elastic", "/scaling/kind", "is 'elastic'; it must be 'fixed'"),
    (("scaling", "instances"), "3", "/scaling/instances", "must be a whole number"),
    (("scheduling", "killSelection"), "RANDOM", "/scheduling/killSelection", "one of YOUNGEST_FIRST, OLDEST_FIRST"),
    (("scheduling", "upgrade", "minimumHealthCapacity"), 1.1, "/scheduling/upgrade/minimumHealthCapacity", "1 or less"),
    ((*C, "resourceLimits", "cpus"), "Infinity", "/containers(0)/resourceLimits/cpus", "'unlimited' or a number"),
    ((*C, "resourceLimits", "cpus"), True, "/containers(0)/resourceLimits/cpus", "'unlimited' or a number"),
    ((*C, "resourceLimits", "cpus"), -1, "/containers(0)/resourceLimits/cpus", "got -1, expected 0 or more"),
    # fields together
    (("id",), "/team/Shop", "/id", "Did you mean 'shop'?"),
    (("id",), "/team/shop+", "/id", "can't be part of an id"),
    (("id",), "/", "/id", "names nothing"),
    (("id",), "/a/../b", "/id", "must not contain '..'"),
    (("id",), "/a/tasks", "/id", "restart, tasks, versions"),
    (("id",), "/" + "a" * 1024, "/id", "at most 1024"),
    (("id",), "/a" * 40, "/id", "has 40 parts"),
    (("user",), "", "/user", "must not be empty"),
    (("environment",), {"1A": "x"}, "/environment/keys(0)", "must not begin with a number"),
    (("environment",), {"A" * 255: "x"}, "/environment/keys(0)", "at most 254"),
    (("environment", "TOKEN"), {"secret": "lost"}, "/environment/TOKEN/secret", "declared are registry, token"),
    ((*C, "resourceLimits", "mem"), 63, "/containers(0)/resourceLimits/mem", "greater than or equal to requested resource (64)"),
    ((*C, "exec", "command"), {}, "/containers(0)/exec/command", "either shell (one line) or argv (a list)"),
    ((*C, "exec", "command"), {"argv": [""]}, "/containers(0)/exec/command/argv(0)", "must not be empty"),
    ((*C, "exec", "overrideEntrypoint"), False, "/containers(0)/exec/overrideEntrypoint", "command.shell"),
    ((*C, "exec"), DELETE, "/containers(0)", "has nothing to run"),
    ((*C, "endpoints", 1, "name"), "http", "/containers(0)/endpoints(1)/name", "used twice: /containers(0)/endpoints(0)"),
    ((*C, "endpoints", 0, "hostPort"), 8081, "/", "host ports must be unique in a pod; given more than once: 8081"),
    ((*C, "endpoints", 0, "protocol"), ["tcp", "tcp"], "/containers(0)/endpoints(0)/protocol", "Duplicate protocols"),
    (("containers", 1, "name"), "web", "/containers", "container names are not unique"),
    (("containers", 1, "name"), "web", "/containers(1)/name", "'web' is used twice: /containers(0) has it too"),
    ((*C, "volumeMounts", 0, "name"), "lost", "/containers(0)/volumeMounts(0)/name", "there are scratch, certificates"),
    ((*C, "volumeMounts", 0, "name"), "lost", "/volumes(0)", "must be referenced by at least one container"),
    (("volumes", 1, "name"), "scratch", "/volumes", "volume names are not unique"),
    (("volumes", 1, "secret"), "token", "/volumes(1)", "can be only one of host, secret and persistent"),
    (("volumes", 2, "secret"), "lost", "/volumes(2)", "volume.secret must refer to an existing secret"),
    (("volumes", 3, "persistent", "size"), 0, "/volumes(3)/persistent/size", "expected more than 0"),
    (("volumes", 3, "persistent", "maxSize"), 50, "/volumes(3)/persistent", "Max size must be larger than size"),
    (("volumes", 3, "persistent", "type"), "path", "/volumes(3)/persistent", "Only mount volumes can have maxSize"),
    (("volumes", 3, "persistent", "type"), "root", "/volumes(3)/persistent", "Constraints on root volumes"),
    (("volumes", 3, "persistent", "constraints"), [["path", "LIKE"]], "/volumes(3)/persistent/constraints(0)", "Unsupported"),
    (
        ("volumes", 3, "persistent", "constraints"),
        [["path", "UNIQUE", "x"]],
        "/volumes(3)/persistent/constraints(0)",
        "LIKE, UNLIKE",
    ),
    (("volumes", 3, "persistent", "constraints"), [["path", "LIKE", "*"]], "/volumes(3)/persistent/constraints(0)", "regular"),
    ((*C, "healthCheck", "http", "endpoint"), "lost", "/containers(0)/healthCheck/http/endpoint", "it has http, admin"),
    ((*C, "healthCheck", "tcp"), {"endpoint": "http"}, "/containers(0)/healthCheck", "got http, tcp"),
    ((*C, "healthCheck", "http"), DELETE, "/containers(0)/healthCheck", "got none"),
    ((*C, "healthCheck", "timeoutSeconds"), 5, "/containers(0)/healthCheck/timeoutSeconds", "less than intervalSeconds (5)"),
    ((*C, "check", "exec", "command"), {"shell": "x", "argv": ["x"]}, "/containers(0)/check/exec/command", "not both"),
    (("containers", 1, "healthCheck"), {"tcp": {"endpoint": "x"}}, "/containers(1)/healthCheck/tcp/endpoint", "it has none"),
    (("containers", 1, "image", "pullConfig", "secret"), "lost", "/containers(1)/image/pullConfig", "existing secret"),
    (("containers", 1, "image", "kind"), "APPC", "/containers(1)/image/pullConfig", "only with Docker images"),
    ((*C, "linuxInfo", "seccomp"), {"unconfined": False}, "/containers(0)/linuxInfo/seccomp", "must be true when Profile is NOT"),
    (
        (*C, "linuxInfo", "seccomp"),
        {"unconfined": True, "profileName": "x"},
        "/containers(0)/linuxInfo/seccomp",
        "can NOT be true when Profile is defined",
    ),
    (
        (*C, "linuxInfo", "ipcInfo", "mode"),
        "SHARE_PARENT",
        "/containers(0)/linuxInfo/ipcInfo/shmSize",
        "only be set with mode PRIVATE",
    ),
    (("networks",), [{"mode": "host"}, {"mode": "host"}], "/networks", "single host network"),
    (("networks",), [{"mode": "host", "name": "x"}], "/networks", "may not have names or labels"),
    (("networks",), [{"mode": "container/bridge", "name": "x"}], "/networks", "Bridge networks may not have names"),
    (("networks",), [*NET, *NET], "/networks", "Duplicate networks are not allowed: one"),
    (("scaling", "maxInstances"), 1, "/scaling/maxInstances", "expected instances (3) or more"),
    (
        ("scheduling", "placement", "constraints", 0),
        {"fieldName": "a", "operator": "UNIQUE", "value": "x"},
        "/scheduling/placement/constraints(0)",
        "UNIQUE does not accept a value",
    ),
    (
        ("scheduling", "placement", "constraints", 0),
        {"fieldName": "a", "operator": "CLUSTER"},
        "/scheduling/placement/constraints(0)",
        "Missing value",
    ),
    (
        ("scheduling", "placement", "constraints", 0),
        {"fieldName": "a", "operator": "MOST"},
        "/scheduling/placement/constraints(0)/operator",
        "must be one of UNIQUE",
    ),
    (("scheduling", "placement", "acceptedResourceRoles"), ["other"], "/acceptedResourceRoles", "can only contain * and shop"),
    (("scheduling", "placement", "acceptedResourceRoles"), ["*"], "/acceptedResourceRoles", "A resident pod can't"),
    (
        ("scheduling", "unreachableStrategy"),
        {"inactiveAfterSeconds": 9, "expungeAfterSeconds": 3},
        "/scheduling/unreachableStrategy",
        "expungeAfterSeconds (3) must not be less",
    ),
    (("scheduling", "unreachableStrategy"), {}, "/", "unreachableStrategy must be disabled"),
    (("scheduling", "unreachableStrategy"), "enabled", "/scheduling/unreachableStrategy", "must be one of disabled"),
    (("scheduling", "upgrade", "maximumOverCapacity"), 0.5, "/upgrade/maximumOverCapacity", "got 0.5, expected 0.0"),
    (("role",), "*", "/role", "cannot have the role *"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "value", "path", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_a_wrong_pod_is_refused_under_the_path_of_the_fault(
    steps: tuple[str | int, ...], value: Any, path: str, message: str
) -> None:
    assert message in faults(parse_pod, changed(whole("pod.yaml"), steps, value)).get(path, "nothing")


def test_every_fault_is_told_at_once() -> None:
    body = pod(colour=1, volumes=[{"name": "unused"}])
    body["containers"].append({"name": "app", "resources": {"cpus": "x", "mem": -1}})
    assert sorted(faults(parse_pod, body)) == [
        "/colour",
        "/containers",
        "/containers(1)",
        "/containers(1)/name",
        "/containers(1)/resources/cpus",
        "/containers(1)/resources/mem",
        "/volumes(0)",
    ]


def test_an_endpoint_name_used_twice_is_one_fault() -> None:
    body = changed(whole("pod.yaml"), (*C, "endpoints", 1, "name"), "http")
    assert list(faults(parse_pod, body)) == ["/containers(0)/endpoints(1)/name"]


def test_the_error_names_the_pod_the_first_fault_and_how_many_more() -> None:
    with pytest.raises(SpecError, match=r'pod "/demo/web" is not valid: /colour: .* \(and 1 more\)'):
        parse_pod(pod(colour=1, user=""))


@pytest.mark.parametrize("body", [None, 3, "pod", [pod()]])
def test_what_is_no_object_is_no_pod(body: object) -> None:
    assert "must be an object that describes the pod" in faults(parse_pod, body)["/"]


def test_field_names_must_be_strings() -> None:
    assert 'got 1. Write "1"' in faults(parse_pod, pod(labels={1: "x"}))["/labels"]


def test_what_json_does_not_have_is_refused_by_name() -> None:
    found = faults(parse_pod, pod(labels={"a": b"x", "b": {1}, "c": float("inf")}))
    assert "is a bytes" in found["/labels/a"] and "is a set" in found["/labels/b"] and "finite" in found["/labels/c"]


def test_a_tuple_is_a_list() -> None:
    spec = parse_pod(container(exec={"command": {"argv": ("ls", "-l")}}))
    assert compile_spec(spec).containers[0].argv == ("ls", "-l")


def test_a_body_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    assert "nested more than 64 levels" in faults(parse_pod, pod(deep=deep))["/deep(0)(0)"]


def test_a_pod_too_big_for_the_resource_columns_is_refused() -> None:
    body = pod()
    body["containers"] = [
        {**body["containers"][0], "name": f"c{i}", "resources": {"cpus": 1_000_000, "mem": 1}} for i in range(3)
    ]
    assert "too much cpus: 3000000000" in faults(parse_pod, body)["/"]


def test_null_means_absent() -> None:
    spec = parse_pod(container(image=None, healthCheck=None, user=None))
    assert spec == parse_pod(pod())


def test_compatible_settings_keep_unknown_fields_and_take_containers_without_a_command() -> None:
    body = pod(colour={"deep": 1})
    del body["containers"][0]["exec"]
    spec = parse_pod(body, COMPATIBLE)
    assert to_marathon(spec)["colour"] == {"deep": 1}
    assert compile_spec(spec).needs == ("command",)


def test_secrets_need_their_feature() -> None:
    found = faults(parse_pod, whole("pod.yaml"), Settings(features=()))
    assert "Feature secrets is not enabled" in found["/secrets"]
    assert "requires the secrets feature" in found["/environment"]


def test_a_relative_id_counts_from_the_base() -> None:
    assert parse_pod(pod(id="web")).id == "/web"
    assert parse_pod(pod(id="web"), Settings(base="/team/shop")).id == "/team/shop/web"


def endpoints(networks: list[Any], *ends: dict[str, Any]) -> dict[str, Any]:
    return {**container(endpoints=list(ends)), "networks": networks}


def test_container_networks_ask_for_container_ports_and_one_network_per_host_port() -> None:
    end = {"name": "a", "hostPort": 0}
    at = "/containers(0)/endpoints(0)"
    assert "is required" in faults(parse_pod, endpoints(NET, end))[f"{at}/containerPort"]
    end["containerPort"] = 80
    assert parse_pod(endpoints(NET, end))
    assert "single item list" in faults(parse_pod, endpoints(TWO_NETS, end))[at]
    assert parse_pod(endpoints(TWO_NETS, {**end, "networkNames": ["two"]}))
    lost = faults(parse_pod, endpoints(TWO_NETS, {**end, "networkNames": ["three"]}))
    assert "'three' is not one of (one, two)" in lost[f"{at}/networkNames(0)"]
    twice = faults(parse_pod, endpoints(NET, end, {"name": "b", "containerPort": 80}))
    assert "container ports must be unique" in twice["/"]


def test_a_container_network_without_a_name_gets_the_default_one() -> None:
    assert parse_pod(pod(networks=[{"mode": "container"}])).networks[0].name == "default"
    found = faults(parse_pod, pod(networks=[{}]), Settings(default_network=""))
    assert "must be specified" in found["/networks"]


def test_persistent_volumes_change_the_defaults_of_scheduling() -> None:
    spec = parse_pod({**container(volumeMounts=[{"name": "disk", "mountPath": "d"}]), **DISK})
    assert spec.scheduling.unreachable_strategy == "disabled"
    assert spec.scheduling.upgrade.maximum_over_capacity == 0
    assert parse_pod(pod()).scheduling.upgrade.maximum_over_capacity == 1


def test_the_wire_form_has_every_default_and_parses_to_itself() -> None:
    body = to_marathon(parse_pod(pod()))
    assert body["networks"] == [{"mode": "host", "labels": {}}]
    assert body["scaling"] == {"kind": "fixed", "instances": 1}
    assert body["scheduling"]["backoff"] == {"backoff": 1, "backoffFactor": 1.15, "maxLaunchDelay": 300}
    assert body["containers"][0]["resources"] == {"cpus": 0.1, "mem": 32, "disk": 0, "gpus": 0}
    assert to_marathon(parse_pod(body)) == body


def test_the_wire_form_keeps_what_was_written() -> None:
    given_body, shown = whole("pod.yaml"), to_marathon(parse_pod(whole("pod.yaml")))
    assert shown["scheduling"]["killSelection"] == "Oldest_First"
    assert given_body["containers"][0].items() <= {**shown["containers"][0], **_same(given_body)}.items()
    assert to_marathon(parse_pod(shown)) == shown


def _same(body: dict[str, Any]) -> dict[str, Any]:
    """Objects that gain defaults on the way."""
    return {name: body["containers"][0][name] for name in ("endpoints", "check", "volumeMounts", "linuxInfo", "exec")}


def test_a_whole_pod_compiles() -> None:
    template = compile_spec(parse_pod(whole("pod.yaml")))
    web, data = template.containers
    assert template.request == (201, 97, 20, 1000, 2)
    assert (template.path, template.kind, template.group, template.instances) == ("/team/shop", "pod", "/team", 3)
    assert template.env == (("LEVEL", "3"),) and template.secret_env == (("TOKEN", "/team/token"),)
    assert web.shell == "exec serve --port $ENDPOINT_HTTP" and web.argv == ()
    assert (web.cpus_milli, web.mem_mib, web.disk_mib, web.gpus_milli) == (100, 64, 10, 1000)
    assert (web.cpus_limit_milli, web.mem_limit_mib) == (-1, 128)
    assert web.endpoints[0] == EndpointTemplate("http", 0, None, ("tcp",), (("VIP_0", "/shop:80"),))
    assert web.health == (
        HealthTemplate(
            "http", 0, path="/healthy", grace_ms=10_000, interval_ms=5_000, timeout_ms=1_500, delay_ms=0, max_failures=2
        ),
    )
    assert web.mounts[1] == MountTemplate("certificates", "/etc/certificates", True)
    assert web.artifacts == (ArtifactTemplate("https://example.com/site.tar.gz", True, False, True, "site"),)
    assert (web.user, web.grace_ms, web.tty) == ("web", 7_000, True)
    assert (data.image, data.shell, data.cpus_milli, data.mem_mib) == ("store:1", "", 1, 1)
    assert template.volumes == (
        VolumeTemplate("scratch"),
        VolumeTemplate("certificates", "host", "/srv/certificates"),
        VolumeTemplate("key", "secret", "/team/token"),
        VolumeTemplate("disk", "persistent", "mount", 100),
    )
    assert template.constraints[1] == ConstraintTemplate("rack", "LIKE", "r[12]")
    assert (template.backoff_ms, template.backoff_factor_milli, template.max_launch_delay_ms) == (500, 1500, 60_000)
    assert (template.minimum_health_micro, template.maximum_over_micro) == (500_000, 0)
    assert (template.kill_selection, template.unreachable) == ("OLDEST_FIRST", None)
    assert (template.priority, template.drain_ms, template.role) == (5, 1_000, "shop")
    assert template.needs == ("image", "ipc", "mount:absolute", "persistent-volume", "secret")
    assert Template.from_wire(template.to_wire()) == template


def test_a_small_pod_compiles_to_the_defaults() -> None:
    template = compile_spec(parse_pod(pod()))
    assert template.request == (100, 32, 0, 0, 0)
    assert template.unreachable == UnreachableTemplate(0, 0)
    assert (template.role, template.needs, template.containers[0].grace_ms) == ("demo", (), 3_000)


def test_checks_by_connection_and_command_compile() -> None:
    ends = [{"name": "a"}, {"name": "b", "hostPort": 7}]
    tcp = compile_spec(parse_pod(container(endpoints=ends, healthCheck={"tcp": {"endpoint": "b"}})))
    assert (tcp.containers[0].health[0].kind, tcp.containers[0].health[0].endpoint) == ("tcp", 1)
    assert [end.host_port for end in tcp.containers[0].endpoints] == [0, 7]
    run = compile_spec(parse_pod(container(healthCheck={"exec": {"command": {"argv": ["ok", "-q"]}}})))
    assert (run.containers[0].health[0].kind, run.containers[0].health[0].argv) == ("command", ("ok", "-q"))


def test_what_a_plain_agent_cannot_give_is_named_and_not_refused() -> None:
    body = endpoints(NET, {"name": "a", "containerPort": 80})
    body["containers"][0]["linuxInfo"] = {"seccomp": {"profileName": "strict"}}
    body["containers"][0]["environment"] = {"KEY": {"secret": "key"}}
    body["secrets"] = {"key": {"source": "/key"}}
    template = compile_spec(parse_pod(body))
    assert template.needs == ("network:container", "seccomp", "secret")
    assert template.request[4] == 0 and template.containers[0].endpoints[0].host_port is None


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5),
    st.integers(0, 3),
)
def test_the_request_is_the_exact_sum_of_the_containers(rows: list[tuple[int, int]], ports: int) -> None:
    body = pod()
    body["containers"] = [
        {
            "name": f"c{index}",
            "exec": {"command": {"shell": "true"}},
            "resources": {"cpus": cpus / 1000, "mem": mem},
            "endpoints": [{"name": f"e{index}-{port}", "hostPort": 0} for port in range(ports)],
        }
        for index, (cpus, mem) in enumerate(rows)
    ]
    request = compile_spec(parse_pod(body)).request
    assert request == (sum(c for c, _ in rows), sum(m for _, m in rows), 0, 0, ports * len(rows))


def test_an_instance_takes_at_least_a_thousandth_of_a_cpu() -> None:
    assert compile_spec(parse_pod(container(resources={"cpus": 0, "mem": 0}))).request == (1, 0, 0, 0, 0)
