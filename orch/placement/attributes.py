"""Agents' attributes as columns: each attribute is coded once, and constraints look at codes, not at texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orch.model.messages import I32


@dataclass(frozen=True, slots=True)
class Coded:
    """One attribute of all agents. codes int32[N]: places in `values`, -1 where an agent does not have it."""

    codes: I32
    values: list[str]

    def of_rows(self, by_value: NDArray[np.bool_], without: bool) -> NDArray[np.bool_]:
        """bool[N] of bool[values]; `without` for agents that do not have the attribute."""
        found: NDArray[np.bool_] = np.append(by_value, without)[self.codes]
        return found

    def counts(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[values]: how often each value occurs among these rows."""
        codes = self.codes[rows]
        return np.bincount(codes[codes >= 0], minlength=len(self.values))


@dataclass(frozen=True, slots=True)
class Agents:
    """The columns of an offer that constraints look at."""

    attributes: Sequence[dict[str, str]]
    names: Sequence[str]
    _coded: dict[str, Coded] = field(default_factory=dict, compare=False)

    @staticmethod
    def of(attributes: Sequence[dict[str, str]], names: Sequence[str], known: Agents | None) -> Agents:
        """`known`, with what was coded before, where that is of these very agents. O(N), but no look into the dicts.

        Attributes change by another dict in the place of the old one, never within it.
        """
        if known is not None and known.attributes == attributes and known.names == names:
            return known
        return Agents(list(attributes), list(names))

    def coded(self, name: str) -> Coded:
        """An attribute, with or without `@`. An agent without a hostname goes by its name."""
        name = name.removeprefix("@")
        if name not in self._coded:
            places: dict[str, int] = {}
            codes = np.full(len(self.names), -1, dtype=np.int32)
            for row, attributes in enumerate(self.attributes):
                value = attributes.get(name, self.names[row] if name == "hostname" else None)
                if value is not None:
                    codes[row] = places.setdefault(value, len(places))
            self._coded[name] = Coded(codes, list(places))
        return self._coded[name]
