"""Why something is not running, as data and as a sentence."""

from __future__ import annotations

from typing import Any


class Why:
    """What `why()` gives: `str(why)` is the sentence, `why.to_dict()` all of it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    @property
    def id(self) -> str | int | None:
        """What was asked about."""
        return self._data.get("id")

    @property
    def agents(self) -> int:
        """Agents of the cluster."""
        return int(self._data.get("agents", 0))

    @property
    def feasible(self) -> int:
        """Agents that could hold one such pod now."""
        return int(self._data.get("feasible", 0))

    @property
    def ruled_out(self) -> list[dict[str, Any]]:
        """`[{"predicate", "agents"}]`: how many agents are ruled out by what first; each agent is counted once."""
        found: list[dict[str, Any]] = self._data.get("ruled_out", [])
        return found

    @property
    def nearest(self) -> dict[str, Any] | None:
        """`{"agent", "resource", "asked", "free"}` of the agent that came nearest."""
        found: dict[str, Any] | None = self._data.get("nearest")
        return found

    @property
    def never(self) -> bool:
        """No agent could ever hold it, even if nothing else ran there."""
        return bool(self._data.get("never", False))

    @property
    def change(self) -> dict[str, Any] | None:
        """`{"predicate", "agent", "less"}`: the smallest one change that would let it fit, if there is one."""
        found: dict[str, Any] | None = self._data.get("change")
        return found

    @property
    def waiting(self) -> str | None:
        """What it waits for: `resources`, `backoff`, `agents`, ...; None when nothing of it waits."""
        found: str | None = self._data.get("waiting")
        return found

    @property
    def sentence(self) -> str:
        """All of it for people."""
        return str(self._data.get("sentence", ""))

    def to_dict(self) -> dict[str, Any]:
        """Everything that the cluster said."""
        return self._data

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        return f"<Why {self.sentence}>"
