"""The normal form travels exactly, and a reader refuses what it does not know."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.model.specs.template import (
    TEMPLATE_VERSION,
    ArtifactTemplate,
    ConstraintTemplate,
    ContainerTemplate,
    EndpointTemplate,
    HealthTemplate,
    MountTemplate,
    Template,
    UnreachableTemplate,
    VolumeTemplate,
)

words = st.text(max_size=6)
numbers = st.integers(0, 2**31 - 1)
pairs = st.lists(st.tuples(words, words), max_size=3).map(tuple)
texts = st.lists(words, max_size=3).map(tuple)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


endpoints = st.builds(
    EndpointTemplate, words, st.none() | numbers, st.none() | numbers, texts, pairs, numbers
)  # fmt: skip
checks = st.builds(HealthTemplate, words, st.integers(-1, 5), numbers, words, words, texts, *[numbers] * 5)
containers = st.builds(
    ContainerTemplate,
    name=words,
    shell=words,
    argv=texts,
    env=pairs,
    secret_env=pairs,
    cpus_milli=numbers,
    cpus_limit_milli=st.none() | st.integers(-1, 9),
    endpoints=some(endpoints),
    health=some(checks),
    artifacts=some(st.builds(ArtifactTemplate, words, st.booleans(), st.booleans(), st.booleans(), words)),
    mounts=some(st.builds(MountTemplate, words, words, st.booleans())),
    labels=pairs,
    tty=st.booleans(),
)
templates = st.builds(
    Template,
    path=words,
    kind=st.sampled_from(["pod", "app", "job"]),
    containers=some(containers),
    request=st.tuples(*[numbers] * 5),
    env=pairs,
    volumes=some(st.builds(VolumeTemplate, words, words, words, numbers)),
    constraints=some(st.builds(ConstraintTemplate, words, words, st.none() | words)),
    unreachable=st.none() | st.builds(UnreachableTemplate, numbers, numbers),
    needs=texts,
    priority=st.integers(-5, 5),
)


@given(templates)
def test_a_template_comes_back_from_the_wire_as_it_was(template: Template) -> None:
    there = msgpack.packb(template.to_wire())
    back = Template.from_wire(msgpack.unpackb(there))
    assert back == template
    assert msgpack.packb(back.to_wire()) == there


def test_the_version_leads_the_wire_form() -> None:
    assert next(iter(Template("/a", "pod", ()).to_wire().items())) == ("v", TEMPLATE_VERSION)


def test_a_template_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"version 2; this orch reads version 1"):
        Template.from_wire({**Template("/a", "pod", ()).to_wire(), "v": 2})


def test_an_unknown_field_is_refused_and_a_missing_one_gets_its_default() -> None:
    wire = Template("/a", "pod", ()).to_wire()
    with pytest.raises(ValueError, match="Template has no field 'colour'"):
        Template.from_wire({**wire, "colour": 1})
    del wire["gang"]
    assert Template.from_wire(wire).gang == 1


def test_a_container_overlays_the_environment_of_its_pod() -> None:
    own = ContainerTemplate("a", env=(("B", "own"),), secret_env=(("C", "hidden"),))
    template = Template("/a", "pod", (own,), env=(("A", "pod"), ("B", "pod"), ("C", "pod")), user="pods")
    assert template.env_of(own) == (("A", "pod"), ("B", "own"))
    assert template.user_of(own) == "pods"
    assert template.user_of(ContainerTemplate("b", user="mine")) == "mine"
