"""Jobs: what is taken, what is refused and under which path, and what they compile to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from orch.model.errors import SpecError
from orch.model.specs import Settings, compile_spec, limits, parse_job, to_marathon
from orch.model.specs.job import check_columns
from orch.model.specs.template import AffinityTemplate, ConstraintTemplate, Template
from tests.model.specs.cases import faults


def job(**fields: Any) -> dict[str, Any]:
    return {"id": "/demo/digest", "cmd": "sha256sum $FILE", "cpus": 0.1, "mem": 16, **fields}


def test_a_job_compiles_to_one_container() -> None:
    template = compile_spec(
        parse_job(
            job(
                env={"A": "b"}, disk=1, gpus=2, user="me", retries=2, priority=7, gang=2, instances=4,
                labels={"k": "v"}, timeoutSeconds=1.5, graceSeconds=0.25,
            )
        )
    )  # fmt: skip
    (main,) = template.containers
    assert (template.kind, template.path, template.group, template.role) == ("job", "/demo/digest", "/demo", "demo")
    assert (main.name, main.shell, main.argv, main.env) == ("main", "sha256sum $FILE", (), (("A", "b"),))
    assert template.request == (100, 16, 1, 2_000, 0)
    assert (template.max_attempts, template.priority, template.gang, template.instances) == (3, 7, 2, 4)
    assert (template.user, template.labels, template.timeout_ms, main.grace_ms) == ("me", (("k", "v"),), 1_500, 250)


def test_constraints_preferences_and_affinity_compile_to_what_services_have() -> None:
    spec = parse_job(
        job(
            constraints=[["@hostname", "unique"], ["rack", "LIKE", "r[12]"]],
            preferences=[["disk", "is", "ssd"]],
            affinity=[{"operator": "Apart"}, {"to": "/demo//db", "on": "@zone", "operator": "near", "required": False}],
        )
    )
    template = compile_spec(spec)
    assert template.constraints == (
        ConstraintTemplate("@hostname", "UNIQUE"), ConstraintTemplate("rack", "LIKE", "r[12]"),
    )  # fmt: skip
    assert template.preferences == (ConstraintTemplate("disk", "IS", "ssd"),)
    assert template.affinity == (
        AffinityTemplate("", "@hostname", False, True), AffinityTemplate("/demo/db", "@zone", True, False),
    )  # fmt: skip
    assert Template.from_wire(template.to_wire()) == template
    assert parse_job(to_marathon(spec)) == spec


def test_a_job_may_point_to_its_own_path_where_an_earlier_one_of_it_runs() -> None:
    found = compile_spec(parse_job(job(affinity=[{"to": "/demo/digest", "operator": "near"}]))).affinity
    assert found[0].to == "/demo/digest"


def test_a_small_job_has_one_attempt_and_no_time_limit() -> None:
    template = compile_spec(parse_job({"id": "digest", "argv": ["true", ""]}, Settings(base="/team")))
    assert (template.path, template.containers[0].argv) == ("/team/digest", ("true", ""))
    assert (template.max_attempts, template.timeout_ms, template.gang, template.containers[0].grace_ms) == (
        1,
        0,
        1,
        3_000,
    )


def test_a_job_on_the_wire_parses_to_itself() -> None:
    body = to_marathon(parse_job(job()))
    assert to_marathon(parse_job(body)) == body
    assert body["cpus"] == 0.1 and body["mem"] == 16


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"constraints": [["a", "MOST"]]}, "/constraints(0)", "is no operator"),
        ({"constraints": [["a", "LIKE", "("]]}, "/constraints(0)", "not a valid regular expression"),
        ({"constraints": [["a"]]}, "/constraints(0)", "at least 2"),
        ({"constraints": [[f"a{at}", "UNIQUE"] for at in range(16)]}, "/constraints", "at most 15 may be"),
        ({"preferences": [["a", "UNIQUE"]]}, "/preferences(0)", "a preference is LIKE, UNLIKE, IS"),
        ({"preferences": [["a", "LIKE"]]}, "/preferences(0)", "must be provided for LIKE"),
        ({"preferences": [["a", "IS", "b"]] * 16}, "/preferences", "16 preferences and preferred affinities"),
        ({"affinity": [{"operator": "beside"}]}, "/affinity(0)/operator", "must be one of near, apart"),
        ({"affinity": [{"operator": "near", "to": "db"}]}, "/affinity(0)/to", "is no absolute path"),
        ({"affinity": [{"operator": "near", "to": "/D B"}]}, "/affinity(0)/to", "can't be part of an id"),
        ({"affinity": [{"operator": "near"}] * 16}, "/affinity", "16 affinities are required: together at most 15"),
        ({"affinity": [{"operator": "near", "where": "x"}]}, "/affinity(0)/where", "is no field here"),
        ({"cmd": None}, "/", "give exactly one"),
        ({"argv": ["x"]}, "/", "give exactly one"),
        ({"cmd": None, "argv": [""]}, "/argv(0)", "must not be empty"),
        ({"cmd": None, "argv": []}, "/argv", "at least 1"),
        ({"cmd": None, "argv": "ls"}, "/argv", "must be a list"),
        ({"id": "/a/../b"}, "/id", "must not contain '..'"),
        ({"id": None}, "/id", "is required"),
        ({"cpu": 1}, "/cpu", "Did you mean cpus?"),
        ({"mem": "16MB"}, "/mem", "Write 16"),
        ({"timeoutSeconds": "500ms"}, "/timeoutSeconds", "Write 0.5"),
        ({"env": {"1": "x"}}, "/env/keys(0)", "must not begin with a number"),
        ({"env": {"A": {"secret": "x"}}}, "/env/A", "can't use secrets yet"),
        ({"gang": 3, "instances": 4}, "/gang", "can't be split into gangs of 3"),
        ({"retries": -1}, "/retries", "expected 0 or more"),
    ],
)
def test_a_wrong_job_is_refused_under_the_path_of_the_fault(fields: dict[str, Any], path: str, message: str) -> None:
    assert message in faults(parse_job, job(**fields)).get(path, "nothing")


def test_a_sum_that_just_fits_its_column_is_taken() -> None:
    template = compile_spec(parse_job(job()))
    check_columns(replace(template, request=(0, limits.COLUMN, 0, 0, 0)), "job")
    with pytest.raises(SpecError, match="too much mem"):
        check_columns(replace(template, request=(0, limits.COLUMN + 1, 0, 0, 0)), "job")
