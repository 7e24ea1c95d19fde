"""Templates that are read once."""

from __future__ import annotations

import copy

import pytest

from orch.model.specs import reader
from orch.model.specs.reader import TemplateReader
from orch.model.specs.template import ContainerTemplate, Template


def wire(name: str) -> dict[str, object]:
    return Template(f"/{name}", "pod", (ContainerTemplate("app", shell=name),)).to_wire()


def test_the_same_object_is_read_once_and_an_equal_one_anew() -> None:
    templates, one = TemplateReader(), wire("a")
    assert templates.read(one) is templates.read(one)
    other = templates.read(copy.deepcopy(one))
    assert other is not templates.read(one) and other == templates.read(one)


def test_no_more_are_held_than_the_bound_and_each_stays_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "KEPT", 3)
    templates = TemplateReader()
    for number in range(20):  # objects come and go, and addresses with them
        assert templates.read(wire(f"n{number}")).path == f"/n{number}"
        assert len(templates._known) <= 3


def test_what_cannot_be_read_is_told_each_time() -> None:
    templates, broken = TemplateReader(), {"v": 99}
    for _ in range(2):
        with pytest.raises(ValueError, match="version 99"):
            templates.read(broken)
