"""Which jobs' pods ask where others are, and what a match of waiting pods must keep to because of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from orch.batch.job import Job
from orch.batch.ledger import Ledger
from orch.batch.queue import joined
from orch.model.messages import EMPTY_I64, I64
from orch.model.specs.template import Template
from orch.placement.attributes import Agents
from orch.placement.constraints import Limiter, Limits, Terms
from orch.placement.rules import RULES_MOST

CELLS = 4_000_000
"""Counters of one match, at most, times agents: 16 MB."""

Flying = Callable[[int], list[I64]]
"""Job -> agents, int64[k] each, of pods of it that the master has not answered for yet, or will be asked for next."""


class Relations:
    """Paths that the affinity of jobs points to that have not finished: pods there are counted, so whose they are
    matters. Derived from the ledger."""

    def __init__(self) -> None:
        self._at: dict[str, dict[str, list[int]]] = {}
        """Path -> attribute -> the jobs that point there by it, ascending."""
        self._of: dict[int, Terms] = {}

    def add(self, job: Job) -> list[str]:
        """A job that has not finished; returns the paths that were not pointed to before."""
        if not job.terms.affinity or job.number in self._of:
            return []
        self._of[job.number] = job.terms
        paths = []
        for one in job.terms.affinity:
            if one.to and one.to not in self._at:
                paths.append(one.to)
            if one.to:
                self._at.setdefault(one.to, {}).setdefault(one.field, []).append(job.number)
        return paths

    def drop(self, number: int) -> list[str]:
        """A job that has finished; returns the paths that nobody points to any more."""
        terms = self._of.pop(number, None)
        paths = []
        for one in terms.affinity if terms is not None else ():
            if not one.to:
                continue
            fields = self._at[one.to]
            fields[one.field].remove(number)
            if not fields[one.field]:
                del fields[one.field]
            if not fields:
                del self._at[one.to]
                paths.append(one.to)
        return paths

    def alone(self, job: Job) -> bool:
        """Whether it matters where the pods of this very job lie."""
        return job.terms.alone or job.path in self._at

    def cells(self, job: Job | None, terms: Terms, agents: int) -> int:
        """What a queue costs a match, in counters times agents. job: the only one of the queue."""
        fields = len(self._at.get(job.path, ())) if job is not None else 0
        if fields and fields + terms.counters > RULES_MOST:
            return CELLS
        return (terms.counters + fields) * agents + agents // 4

    def pointing(self, path: str) -> list[int]:
        """Jobs whose affinity points to a path."""
        return sorted({number for numbers in self._at.get(path, {}).values() for number in numbers})


def unborn_limits(ledger: Ledger, template: Template, agents: Agents) -> Limits:
    """Of one pod of a job that is not there yet."""
    limiter = Limiter(agents, 1)
    kept_off = _kept_off(ledger, template.path, pointing(ledger, template.path), nothing_flies)
    limiter.add(0, Terms.of(template), 0, template.path, lambda: EMPTY_I64, lambda path: _at(ledger, path), kept_off)
    return limiter.limits()


def nothing_flies(number: int) -> list[I64]:
    """Nothing is on its way to the master, as far as the ledger knows."""
    return []


def pointing(ledger: Ledger, path: str) -> list[int]:
    """As `Relations.pointing`, by a look at all jobs."""
    jobs = ledger.by_number.values()
    return [job.number for job in jobs if any(one.to == path for one in job.terms.affinity)]


def _kept_off(ledger: Ledger, path: str, numbers: list[int], flying: Flying) -> dict[str, Callable[[], I64]]:
    """By attribute, the agents of jobs of these that are to be apart from what is at a path, and lie elsewhere."""
    found: dict[str, list[int]] = {}
    for number in numbers:
        job = ledger.by_number[number]
        for one in job.terms.affinity:
            if one.to == path and one.required and not one.near and job.path != path:
                found.setdefault(one.field, []).append(number)
    return {field: partial(_of_all, ledger, these, flying) for field, these in found.items()}


def _of_all(ledger: Ledger, numbers: list[int], flying: Flying) -> I64:
    return joined([_of(ledger, number, flying) for number in numbers])


def _at(ledger: Ledger, path: str, flying: Flying = nothing_flies) -> I64:
    """The agents of all pods of jobs at a path."""
    return _of_all(ledger, [number for number in ledger.by_path.get(path, ()) if number not in ledger.finished], flying)


def _of(ledger: Ledger, number: int, flying: Flying) -> I64:
    return joined([ledger.agents_of(number).astype(np.int64), *flying(number)])


def limits(
    ledger: Ledger,
    rows: Sequence[tuple[Terms, int]],
    agents: Agents,
    flying: Flying,
    pointing: Callable[[str], list[int]],
) -> Limits:
    """Of the shapes of a match, each with its terms and the number of its only job, or 0.

    pointing: the jobs whose affinity points to a path.
    """
    limiter = Limiter(agents, len(rows))
    for shape, (terms, number) in enumerate(rows):
        path = ledger.by_number[number].path if number else ""
        if terms or number:
            of = partial(_of, ledger, number, flying)
            kept_off = _kept_off(ledger, path, pointing(path), flying) if number else None
            limiter.add(shape, terms, number, path, of, lambda path: _at(ledger, path, flying), kept_off)
    return limiter.limits()
