"""Templates by their wire form, each read once while it is the same object: thousands of instances share a few."""

from __future__ import annotations

from typing import Any

from orch.model.specs.template import Template

KEPT = 256
"""Wire forms that are remembered; then all are forgotten."""


class TemplateReader:
    """Remembers what was read lately. Wire forms may not be changed."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[dict[str, Any], Template]] = {}
        """By the address of the wire form, which is held, so that no other one gets it."""

    def read(self, wire: dict[str, Any]) -> Template:
        """The template. Raises what `Template.from_wire` raises: ValueError, TypeError, AttributeError."""
        known = self._known.get(id(wire))
        if known is None:
            if len(self._known) == KEPT:
                self._known.clear()
            known = self._known[id(wire)] = (wire, Template.from_wire(wire))
        return known[1]
