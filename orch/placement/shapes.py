"""Shapes: what pods ask for, interned once, so that a pod is an int32."""

from __future__ import annotations

import bisect
from typing import Any

import numpy as np

from orch.placement import columns
from orch.placement.columns import Int32
from orch.placement.errors import ShapeError


class Shapes:
    """A table of (request, selector) pairs with an id each. Ids are counted references; freed ones are used again.

    A selector is the number of a set of constraints; 0 means none. `Cluster.match` takes the agents that a selector
    allows as row `selector` of its `allowed`.
    """

    def __init__(self, dims: int) -> None:
        columns.resources(dims)
        self.dims = dims
        self._ids: dict[tuple[int, ...], int] = {}
        self._keys: list[tuple[int, ...] | None] = []
        self._uses: list[int] = []
        self._unused: list[int] = []
        self._requests = np.zeros((16, dims), np.int32)
        self._selectors = np.zeros(16, np.int32)

    def __len__(self) -> int:
        """Ids given out so far, those free again among them."""
        return len(self._keys)

    def intern(self, request: Any, selector: int = 0) -> int:
        """The id of this request int[R] and selector; one more reference to it. Raises ShapeError for a bad request."""
        row = columns.column("request", request, np.int32, self.dims)
        columns.at_least("request", row, 0)
        if not 0 <= selector < 2**31:
            raise ShapeError(f"selector is {selector}, and must be 0 or more and fit int32")
        key = (selector, *row.tolist())
        found = self._ids.get(key)
        if found is not None:
            self._uses[found] += 1
            return found
        number = self._unused.pop(0) if self._unused else self._append()
        self._ids[key] = number
        self._keys[number] = key
        self._uses[number] = 1
        self._requests[number] = row
        self._selectors[number] = selector
        return number

    def release(self, number: int) -> None:
        """One reference less; the last one frees the id. Raises ShapeError where the id is not in use."""
        if not (0 <= number < len(self._keys) and self._uses[number] > 0):
            raise ShapeError(f"shape {number} is not in use")
        self._uses[number] -= 1
        key = self._keys[number]
        if self._uses[number] or key is None:
            return
        del self._ids[key]
        self._keys[number] = None
        self._requests[number] = 0
        self._selectors[number] = 0
        bisect.insort(self._unused, number)

    def uses(self, number: int) -> int:
        """How many references an id has; 0 where it is free."""
        return self._uses[number] if 0 <= number < len(self._keys) else 0

    @property
    def requests(self) -> Int32:
        """int32[S, R] by id, 0 in free rows. A view: valid until the next `intern` or `release`; do not write."""
        return self._requests[: len(self._keys)]

    @property
    def selectors(self) -> Int32:
        """int32[S] by id. A view, as `requests` is."""
        return self._selectors[: len(self._keys)]

    def _append(self) -> int:
        number = len(self._keys)
        if number == len(self._requests):
            self._requests = np.concatenate([self._requests, np.zeros_like(self._requests)])
            self._selectors = np.concatenate([self._selectors, np.zeros_like(self._selectors)])
        self._keys.append(None)
        self._uses.append(0)
        return number
