"""One job: what was submitted. What became of its pods is in the columns of the ledger."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from orch.model.messages import EMPTY_I64, I64
from orch.placement.constraints import NO_TERMS, Terms


@dataclass(slots=True)
class Job:
    """A submitted job. template: its number in the ledger's templates, -1 once the job has finished.

    request: what one pod takes, by resource column. needs: what its pods ask of an agent beyond plain processes.
    terms: what they ask of where they lie. body: the spec as it was sent, encoded. env_off int64[count + 1] or empty,
    env_blob: the pods' own environments, dropped at the end.
    """

    number: int
    path: str
    user: str
    template: int
    request: tuple[int, ...]
    needs: tuple[str, ...]
    body: bytes
    gang: int
    priority: int
    env_off: I64
    env_blob: bytes
    policy: str = ""
    terms: Terms = NO_TERMS

    def drop_payload(self) -> None:
        """The job has ended: nothing of it will be launched again."""
        self.template = -1
        self.terms = NO_TERMS
        self.env_off = EMPTY_I64
        self.env_blob = b""

    def to_list(self) -> list[Any]:
        """For a snapshot."""
        return [*(getattr(self, field.name) for field in fields(self)[:-1]), self.terms.to_list()]

    @staticmethod
    def from_list(image: list[Any]) -> Job:
        """The job of `to_list`."""
        job = Job(*image)
        job.terms = NO_TERMS if job.terms is NO_TERMS else Terms.from_list(image[-1])
        job.request, job.needs = tuple(job.request), tuple(job.needs)
        job.env_off = np.asarray(job.env_off, dtype=np.int64)
        return job
