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

CELLS = 4_000_000
"""Counters of one match, at most, times agents: 16 MB."""
FIELDS_MOST = 16
"""Attributes by which others ask where the pods at a path are. With more, their jobs are matched one by one."""

Flying = Callable[[int], list[I64]]
"""Job -> agents, int64[k] each, of pods of it that the master has not answered for yet, or will be asked for next."""


class Relations:
    """Paths that the affinity of jobs points to, which have not ended: pods there are counted, so whose they are
    matters."""

    def __init__(self) -> None:
        self._at: dict[str, dict[str, int]] = {}
        self._of: dict[int, Terms] = {}

    def add(self, job: Job) -> list[str]:
        """A job that waits; returns the paths that were not pointed to before."""
        if not job.terms.affinity or job.number in self._of:
            return []
        self._of[job.number] = job.terms
        paths = []
        for one in job.terms.affinity:
            if one.to and one.to not in self._at:
                paths.append(one.to)
            if one.to:
                fields = self._at.setdefault(one.to, {})
                fields[one.field] = fields.get(one.field, 0) + 1
        return paths

    def drop(self, number: int) -> list[str]:
        """A job that launches nothing more; returns the paths that nobody points to any more."""
        terms = self._of.pop(number, None)
        paths = []
        for one in terms.affinity if terms is not None else ():
            if not one.to:
                continue
            fields = self._at[one.to]
            fields[one.field] -= 1
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
        if job is not None and len(self._at.get(job.path, ())) > FIELDS_MOST:
            return CELLS
        return terms.counters * agents + agents // 4


def unborn_limits(ledger: Ledger, template: Template, agents: Agents) -> Limits:
    """Of one pod of a job that is not there yet."""
    limiter = Limiter(agents, 1)
    limiter.add(0, Terms.of(template), 0, template.path, lambda: EMPTY_I64, lambda path: _at(ledger, path))
    return limiter.limits()


def _at(ledger: Ledger, path: str, flying: Flying = lambda _: []) -> I64:
    """The agents of all pods of jobs at a path."""
    numbers = [number for number in ledger.by_path.get(path, ()) if number not in ledger.finished]
    return joined([_of(ledger, number, flying) for number in numbers])


def _of(ledger: Ledger, number: int, flying: Flying) -> I64:
    return joined([ledger.agents_of(number).astype(np.int64), *flying(number)])


def limits(ledger: Ledger, rows: Sequence[tuple[Terms, int]], agents: Agents, flying: Flying = lambda _: []) -> Limits:
    """Of the shapes of a match, each with its terms and the number of its only job, or 0."""
    limiter = Limiter(agents, len(rows))
    for shape, (terms, number) in enumerate(rows):
        path = ledger.by_number[number].path if number else ""
        if terms or number:
            of = partial(_of, ledger, number, flying)
            limiter.add(shape, terms, number, path, of, lambda path: _at(ledger, path, flying))
    return limiter.limits()
