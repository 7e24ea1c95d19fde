"""The base of every state machine.

A machine is deterministic: `handle(now_ms, event) -> commands`. It reads no clock, does no I/O and draws no random
numbers; ids, time and randomness arrive in the event. What must survive a restart changes only in `apply(fact)`, which
runs when the fact is emitted and again on replay, so that both end in the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from orch.machine.commands import Command, Journal, Publish, Send
from orch.machine.story import Story


class Tick:
    """The event that a machine gets when its `wake_ms` has come (or earlier, or twice: that must not matter)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Tick()"


class Machine:
    """Subclasses fill `name`, `EVENTS` and `FACTS` (type -> method) and say what they keep."""

    name: str = ""
    EVENTS: ClassVar[dict[type, Callable[..., None]]] = {}
    """Event type -> method(self, now_ms, event)."""
    FACTS: ClassVar[dict[type, Callable[..., None]]] = {}
    """Fact type -> method(self, fact): the only code that changes durable state."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self.story_book = Story()

    def handle(self, now_ms: int, event: Any) -> list[Command]:
        """Take one event; return what is to be done, in order. Raises KeyError for an event that it does not know."""
        self.EVENTS[type(event)](self, now_ms, event)
        commands, self._commands = self._commands, []
        return commands

    def apply(self, fact: Any) -> None:
        """Change state by one fact; live, on replay, and in a follower's copy."""
        self.FACTS[type(fact)](self, fact)

    def emit(self, fact: Any) -> None:
        """Within `handle`: apply a fact and ask for it to be journaled."""
        self.apply(fact)
        self._commands.append(Journal(fact))

    def publish(self, fact: Any) -> None:
        """Within `handle`: apply a fact that followers should see and nobody needs to keep."""
        self.apply(fact)
        self._commands.append(Publish(fact))

    def send(self, to: str, message: Any) -> None:
        """Within `handle`: send a message after all that was emitted so far."""
        self._commands.append(Send(to, message))

    def do(self, command: Command) -> None:
        """Within `handle`: ask the shell for anything else."""
        self._commands.append(command)

    @property
    def wake_ms(self) -> int | None:
        """When this machine wants a `Tick`, in ms of the host's clock; None for not at all."""
        return None

    def started(self, now_ms: int) -> list[Command]:
        """Called once after a restore and replay, before the first event: rebuild what is derived, say hello."""
        commands, self._commands = self._commands, []
        return commands

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """All durable state as plain data and columns; with `soft`, also what followers are shown."""
        raise AssertionError(f"{self.name} keeps nothing")

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `snapshot` gave."""
        raise AssertionError(f"{self.name} keeps nothing")

    def check(self) -> None:
        """Assert every invariant. Called by the simulator and the tests, not in production."""

    def story(self, thing: int | str) -> list[dict[str, Any]]:
        """What happened to one thing, oldest first: `[{at_ms, what, why, ...}]`. Bounded: the oldest is forgotten."""
        return self.story_book.of(thing)
