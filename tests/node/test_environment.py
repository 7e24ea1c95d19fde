"""What a pod finds in its environment."""

from __future__ import annotations

from pathlib import Path

from orch.model.specs.template import ContainerTemplate, EndpointTemplate, Template
from orch.node import environment


def test_nothing_of_the_supervisor_gets_in_but_locale_and_folders_of_the_path(tmp_path: Path) -> None:
    own = {"RAY_ADDRESS": "x", "ORCH_TOKEN": "secret", "LANG": "de_DE.UTF-8", "PATH": f"/usr/bin:{tmp_path}:relative"}
    where = environment.place("c1", "a1", "10.0.0.1", shared=False, environ=own)
    template = Template(
        "/demo/web", "app", (ContainerTemplate("main", env=(("A", "1"),)),), labels=(("my.label", "x"),)
    )
    env = environment.common(where, template, template.containers[0], "someone")
    assert "RAY_ADDRESS" not in env and "ORCH_TOKEN" not in env
    assert env["LANG"] == "de_DE.UTF-8" and env["PATH"] == f"{environment.STANDARD_PATH}:{tmp_path}"
    assert (env["A"], env["USER"], env["HOST"]) == ("1", "someone", "10.0.0.1")
    assert (env["MARATHON_APP_ID"], env["MARATHON_APP_LABEL_MY_LABEL"]) == ("/demo/web", "x")


def test_folders_that_other_users_cannot_enter_are_not_on_their_path(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert str(closed) in environment.search_path(str(closed), shared=False)
    assert environment.search_path(str(closed), shared=True) == environment.STANDARD_PATH


def test_the_spec_s_own_variables_win_but_never_over_the_marks() -> None:
    where = environment.place("c1", "a1", "h", shared=False, environ={})
    container = ContainerTemplate("main", env=(("LANG", "C"), ("ORCH_CLUSTER", "other"), ("PATH", "/x")))
    env = environment.common(where, Template("/demo/web", "app", (container,)), container, "u")
    assert (env["LANG"], env["PATH"], env["ORCH_CLUSTER"], env["ORCH_AGENT"]) == ("C", "/x", "c1", "a1")


def test_endpoints_of_all_containers_are_named_and_own_ports_numbered() -> None:
    first = ContainerTemplate("a", endpoints=(EndpointTemplate("http"), EndpointTemplate("my-admin")))
    second = ContainerTemplate("b", endpoints=(EndpointTemplate("db"), EndpointTemplate("none", host_port=None)))
    template = Template("/demo/web", "pod", (first, second))
    env = environment.endpoints(template, [[31_000, 31_001], [31_002, 0]], 0)
    assert {name: env[name] for name in ("ENDPOINT_HTTP", "EP_HOST_MY_ADMIN", "ENDPOINT_DB")} == {
        "ENDPOINT_HTTP": "31000", "EP_HOST_MY_ADMIN": "31001", "ENDPOINT_DB": "31002",
    }  # fmt: skip
    assert (env["PORT0"], env["PORT1"], env["PORT"], env["PORTS"]) == ("31000", "31001", "31000", "31000,31001")
    assert "EP_CONTAINER_HTTP" not in env and (env["PORT_MY_ADMIN"], env["PORT_MY-ADMIN"]) == ("31001", "31001")
    other = environment.endpoints(template, [[31_000, 31_001], [31_002, 0]], 1)
    assert (other["PORT0"], other["PORTS"], other["PORT_DB"]) == ("31002", "31002", "31002")


def test_ports_are_counted_as_the_spec_has_them_and_named_by_what_it_asks_for() -> None:
    asked = (
        EndpointTemplate("", service_port=10_000),
        EndpointTemplate("in", host_port=None, container_port=80),
        EndpointTemplate("both", container_port=8080),
        EndpointTemplate(""),
    )
    container = ContainerTemplate("main", endpoints=asked)
    env = environment.endpoints(Template("/demo/web", "app", (container,)), [[31_000, 0, 31_001, 31_002]], 0)
    assert [env[f"PORT{number}"] for number in range(4)] == ["31000", "80", "31001", "31002"]
    assert (env["PORT_10000"], env["PORT_80"], env["PORT_8080"], env["PORT_31002"]) == ("31000", "80", "31001", "31002")
    assert (env["PORT"], env["PORTS"], env["PORT_BOTH"]) == ("31000", "31000,31001,31002", "31001")
    assert "PORT_IN" not in env and "EP_HOST_IN" not in env
    assert (env["ENDPOINT_IN"], env["EP_CONTAINER_IN"]) == ("80", "80")
    assert (env["ENDPOINT_BOTH"], env["EP_HOST_BOTH"], env["EP_CONTAINER_BOTH"]) == ("8080", "31001", "8080")
    assert environment.endpoints(Template("/a", "app", (ContainerTemplate("main"),)), [[]], 0) == {}


def test_numbers_and_labels_are_written_as_marathon_writes_them() -> None:
    where = environment.place("c1", "a1", "h", shared=False, environ={})
    container = ContainerTemplate(
        "main", cpus_milli=100, mem_mib=128, gpus_milli=2_000, image="nginx:1", labels=(("a", "container"),)
    )
    labels = (("a", "pod"), ("b--c.d", "x"), ("long", "x" * 512), ("x" * 493, "y"))
    app = environment.common(where, Template("/demo/web", "app", (container,), labels=labels), container, "u")
    assert {name: app[f"MARATHON_APP_RESOURCE_{name}"] for name in ("CPUS", "MEM", "DISK", "GPUS")} == {
        "CPUS": "0.1", "MEM": "128.0", "DISK": "0.0", "GPUS": "2",
    }  # fmt: skip
    assert (app["MARATHON_APP_LABELS"], app["MARATHON_APP_LABEL_B_C_D"]) == ("A B_C_D", "x")
    assert (app["MARATHON_APP_LABEL_A"], app["MARATHON_APP_DOCKER_IMAGE"]) == ("container", "nginx:1")
    pod = environment.common(where, Template("/demo/web", "pod", (container,)), container, "u")
    assert (pod["MARATHON_CONTAINER_ID"], pod["MARATHON_CONTAINER_RESOURCE_MEM"]) == ("main", "128.0")
    assert "MARATHON_APP_RESOURCE_MEM" not in pod and pod["MARATHON_APP_ID"] == "/demo/web"


def test_each_container_of_a_pod_is_a_task_of_one_executor() -> None:
    env = environment.instance("demo_web.1", 7, 1, 1, Path("/box"), "app")
    assert (env["MESOS_TASK_ID"], env["MESOS_EXECUTOR_ID"], env["MESOS_SANDBOX"]) == (
        "demo_web.1.app", "demo_web.1", "/box",
    )  # fmt: skip
    assert environment.instance("demo_web.1", 7, 1, 1, Path("/box"))["MESOS_TASK_ID"] == "demo_web.1"
