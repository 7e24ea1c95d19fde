"""Links that lose, double, delay and reorder messages, and that can be cut in one direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orch.model.codec import decode, encode
from orch.sim.faults import NONE, Faults
from orch.sim.world import World


class Network:
    """Carries messages as bytes, so that nothing is shared between the sides. Calm after `calm()`."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults
        self._cut: dict[tuple[str, str], int] = {}

    def send(self, source: str, target: str, message: Any, deliver: Callable[[Any], None]) -> None:
        """Send a message; `deliver` gets a copy of it never, once or twice, some time later."""
        world, faults = self._world, self._faults
        if self._cut.get((source, target), 0) > world.now_ms or world.chance(faults.loss):
            return
        data = encode(message)
        for _ in range(2 if world.chance(faults.double) else 1):
            world.after(1 + world.dice.randrange(faults.delay_ms), lambda: deliver(decode(data)))

    def cut(self, source: str, target: str, for_ms: int) -> None:
        """Let nothing through from one to the other for a while."""
        self._cut[source, target] = self._world.now_ms + for_ms

    def calm(self) -> None:
        """From now on, nothing is lost."""
        self._faults = NONE
        self._cut.clear()
