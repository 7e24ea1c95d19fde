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
    other = environment.endpoints(template, [[31_000, 31_001], [31_002, 0]], 1)
    assert (other["PORT0"], other["PORTS"], other["PORT_DB"]) == ("31002", "31002", "31002")
