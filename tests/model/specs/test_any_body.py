"""Whatever a body holds, the answer is a spec that compiles or a SpecError; and no body is a burden."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orch.model.errors import SpecError
from orch.model.specs import (
    COMPATIBLE,
    DEFAULT,
    Settings,
    Template,
    compile_spec,
    parse_app,
    parse_job,
    parse_pod,
    to_marathon,
)
from orch.model.specs.problems import MOST_PATHS
from tests.model.specs.cases import app, faults, pod, whole

JOB = {
    "id": "/demo/job",
    "cmd": "true",
    "env": {"A": "b"},
    "cpus": 0.5,
    "gang": 2,
    "instances": 4,
    "labels": {"a": "b"},
}
CASES = [(parse_pod, whole("pod.yaml")), (parse_app, whole("app.yaml")), (parse_job, JOB)]
LEGACY = app(
    uris=["http://a/b.zip"],
    ports=[0, 80],
    container={
        "type": "DOCKER",
        "docker": {"image": "x", "network": "BRIDGE", "portMappings": [{"containerPort": 80}]},
    },
    healthChecks=[{"protocol": "TCP"}],
    dependencies=["../base"],
)
LEGACY_IP = app(ipAddress={"networkName": "blue", "discovery": {"ports": [{"number": 1, "name": "a"}]}, "labels": {}})
CASES += [(parse_app, LEGACY), (parse_app, LEGACY_IP)]

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | (st.floats() | st.just(10**400))
    | st.sampled_from(["", "host", "a", "/", "UNIQUE"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "name", "mode", "secret", "shell", "type", "size", ""]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*at, index))


PLACES = [(parser, body, place) for parser, body in CASES for place in places(body)]


@given(st.sampled_from(PLACES), anything, st.sampled_from([DEFAULT, COMPATIBLE]))
@settings(max_examples=400)
def test_a_body_with_anything_anywhere_is_a_spec_or_a_spec_error(case: Any, value: Any, judged_by: Settings) -> None:
    parser, body, place = case
    changed = copy.deepcopy(body)
    here: Any = changed
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value
    try:
        spec = parser(changed, judged_by)
    except SpecError as refused:
        assert refused.details
        return
    template = compile_spec(spec)
    assert Template.from_wire(template.to_wire()) == template
    assert to_marathon(parser(to_marathon(spec), judged_by)) == to_marathon(spec)


@given(anything)
def test_anything_as_a_body_is_a_spec_error(value: Any) -> None:
    for parser in (parse_pod, parse_app, parse_job):
        with pytest.raises(SpecError):
            parser(value)


def test_a_list_above_its_bound_is_told_and_not_gone_through() -> None:
    found = faults(parse_pod, pod(containers=[{}] * 5_000))
    assert found == {"/containers": "has 5000 entries; at most 64 are allowed"}
    assert "at most 10000 are allowed anywhere" in faults(parse_app, app(own=[[]] * 10_001))["/own"]
    assert "/constraints" in faults(parse_app, app(constraints=[["a", "UNIQUE"]] * 65))


def test_faults_at_too_many_places_are_counted() -> None:
    found = faults(parse_pod, pod(labels={f"k{i}": i for i in range(1_000)}))
    assert len(found) == MOST_PATHS + 1
    assert found["/"] == "faults at 800 more places are not listed"


def test_unknown_fields_without_end_are_told_up_to_a_bound() -> None:
    assert len(faults(parse_app, app(**{f"field{i}": 1 for i in range(5_000)}))) == MOST_PATHS


@pytest.mark.parametrize("field", ["cpus", "instances", "drainSeconds"])
def test_a_number_without_end_is_told_short(field: str) -> None:
    assert "a number of more than 77 digits" in faults(parse_app, app(**{field: 10**5000}))[f"/{field}"]
    limit = faults(parse_app, app(resourceLimits={"cpus": 10**5000}))["/resourceLimits/cpus"]
    assert "expected 1073741824 or less, or 'unlimited'" in limit


@pytest.mark.parametrize("field", ["timeoutSeconds", "intervalSeconds"])
def test_a_number_too_large_for_a_float_is_told_by_its_own_bound(field: str) -> None:
    """Rules between two numbers show both; one of 309 digits was an OverflowError."""
    check = {"exec": {"command": {"shell": "true"}}, field: 10**400}
    body = pod()
    body["containers"][0]["healthCheck"] = check
    assert f"/containers(0)/healthCheck/{field}" in faults(parse_pod, body)
    strategy = {"inactiveAfterSeconds": 10**400, "expungeAfterSeconds": 1}
    assert "/unreachableStrategy/inactiveAfterSeconds" in faults(parse_app, app(unreachableStrategy=strategy))
    checks = [{"protocol": "COMMAND", "command": {"value": "true"}, field: 10**400}]
    assert f"/healthChecks(0)/{field}" in faults(parse_app, app(healthChecks=checks))


def test_a_long_name_is_shown_short() -> None:
    assert faults(parse_app, app(**{"x" * 10_000: 1})).keys() == {"/" + "x" * 80}
