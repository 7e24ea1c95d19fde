"""The progress bar of a job, on stderr. rich is loaded when a bar is shown."""

from __future__ import annotations

from typing import Any

from orch.client.flows.jobs import Progress
from orch.model.states import TERMINAL, State


class Bar:
    """A context that gives a function to be told of each new status, or None where no bar is wanted."""

    def __init__(self, title: str, count: int, wanted: bool) -> None:
        self._title, self._count, self._wanted = title, count, wanted
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress | None:
        if not self._wanted:
            return None
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True))
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=self._count, note="")
        return self.show

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Move the bar to what a job's status says."""
        states: dict[str, int] = status["states"]
        ended = sum(states.get(state.name, 0) for state in TERMINAL)
        self._bar.update(self._task, completed=ended, total=status["count"], note=note_of(states, ended))


def note_of(states: dict[str, int], ended: int) -> str:
    """`3 running, 2 not ok`."""
    parts = []
    if running := states.get(State.RUNNING.name, 0):
        parts.append(f"{running} running")
    if wrong := ended - states.get(State.FINISHED.name, 0):
        parts.append(f"{wrong} not ok")
    return ", ".join(parts)
