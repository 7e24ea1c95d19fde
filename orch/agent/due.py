"""When probes are due: a heap, so that an event costs a step of it, and not a look at every instance."""

from __future__ import annotations

import heapq

from orch.agent.instance import Instance

Several = dict[tuple[int, int], Instance]


class Due:
    """Of an agent's instances. An entry counts while its instance says the same; others are left to fade."""

    def __init__(self, several: Several) -> None:
        self._several = several
        self._heap: list[tuple[int, int, int]] = []
        """(due_ms, id, attempt)."""

    def push(self, instance: Instance) -> None:
        """To be said of an instance whenever its next probe may have changed."""
        due_ms = instance.due_ms()
        if due_ms is not None:
            heapq.heappush(self._heap, (due_ms, instance.id, instance.attempt))

    def wake_ms(self) -> int | None:
        """When the first probe is due; None where none is."""
        while self._heap and self._top() is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now_ms: int) -> list[Instance]:
        """Instances with a probe that is due, each once, by (id, attempt); their entries are gone."""
        found: Several = {}
        while self._heap and self._heap[0][0] <= now_ms:
            instance = self._top()
            heapq.heappop(self._heap)
            if instance is not None:
                found[instance.id, instance.attempt] = instance
        return [found[key] for key in sorted(found)]

    def _top(self) -> Instance | None:
        due_ms, number, attempt = self._heap[0]
        instance = self._several.get((number, attempt))
        return instance if instance is not None and instance.due_ms() == due_ms else None
