"""The machine of the batch framework: which event and which fact is handled where.

What it knows for good is in `Ledger`, changed by facts only. What waits, what is on its way, what is to be stopped and
when attempts time out is derived (`Launcher`, `Stops`, `Deadlines`) and built anew at each start, once the master has
said what it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from orch.batch import launches, requests, updates
from orch.batch.deadlines import Deadlines
from orch.batch.launcher import Launcher
from orch.batch.ledger import Ledger
from orch.batch.stops import SLICE_PODS, Stops
from orch.machine.commands import Command, Reply
from orch.machine.keys import is_answer
from orch.machine.machine import Machine, Tick
from orch.model import facts_batch as facts
from orch.model.errors import OrchError
from orch.model.messages import AcceptResult, InstanceUpdates, OfferBatch, ResendRequest, Subscribe, Subscribed
from orch.model.requests import ForgetJob, StopJob, StopPods, SubmitJob, TellStory

KEPT_JOBS = 50_000
KEPT_PODS = 5_000_000


class Batch(Machine):
    """Jobs. kept_jobs, kept_pods: how many finished jobs, and pods of them, stay in the tables.

    The oldest go first, and the last one that finished stays, however large it is. stop_pods: how many pods are stopped
    in one event. policy: of jobs that name none.
    """

    name = "batch"
    EVENTS: ClassVar[dict[type, Callable[..., None]]] = {
        SubmitJob: requests.submit,
        StopJob: requests.stop,
        StopPods: requests.stop_pods,
        ForgetJob: requests.forget,
        TellStory: requests.tell_story,
        Subscribed: updates.subscribed,
        OfferBatch: launches.offered,
        AcceptResult: launches.answered,
        ResendRequest: launches.resend,
        InstanceUpdates: updates.updated,
        Tick: updates.ticked,
    }
    FACTS: ClassVar[dict[type, Callable[..., None]]] = {
        facts.JobSubmitted: lambda self, fact: self.ledger.submitted(fact),
        facts.PodsLaunched: lambda self, fact: self.ledger.launched(fact),
        facts.PodsUpdated: lambda self, fact: self.ledger.updated(fact),
        facts.PodsDropped: lambda self, fact: self.ledger.dropped(fact),
        facts.JobStopped: lambda self, fact: self.ledger.stopped(fact),
        facts.PodsStopped: lambda self, fact: self.ledger.pods_stopped(fact),
        facts.JobFinished: lambda self, fact: self.ledger.finished_job(fact),
        facts.JobsForgotten: lambda self, fact: self.ledger.forgotten(fact),
        facts.JobRequestAnswered: lambda self, fact: self.ledger.answered(fact),
    }

    def __init__(
        self,
        kept_jobs: int = KEPT_JOBS,
        kept_pods: int = KEPT_PODS,
        stop_pods: int = SLICE_PODS,
        policy: str = "best-fit",
    ) -> None:
        super().__init__()
        self.kept_jobs, self.kept_pods = kept_jobs, kept_pods
        self.ledger = Ledger()
        self.launcher = Launcher(self.ledger, self.name, policy)
        self.deadlines = Deadlines(self.ledger)
        self.stops = Stops(self.ledger, stop_pods)
        self.number = 0
        """The framework's number at the master; 0 until it is subscribed."""

    @property
    def wake_ms(self) -> int | None:
        """When the first attempt may time out, or the next piece of a large job is to be stopped."""
        due = [due_ms for due_ms in (self.deadlines.wake_ms, self.stops.wake_ms) if due_ms is not None]
        return min(due, default=None)

    def started(self, now_ms: int) -> list[Command]:
        """Ask the master what it holds; its answer starts the rest."""
        self.send("master", Subscribe(self.name))
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """The ledger; there is nothing soft that followers are shown."""
        return self.ledger.to_dict()

    def restore(self, image: dict[str, Any]) -> None:
        """Become what `snapshot` gave."""
        self.ledger.restore(image)

    def check(self) -> None:
        """Assert the invariants of the ledger, and that exactly what is SCHEDULED waits or is on its way."""
        self.ledger.check()
        if self.number:
            self.launcher.check()

    def answered_before(self, event: requests.Request) -> bool:
        """Whether the key of a request had an answer; then that is given once more."""
        reply = self.ledger.keys.again(event.request, event.user, event.key)
        if reply is not None:
            self.do(reply)
        return reply is not None

    def refuse(self, now_ms: int, event: requests.Request, error: OrchError) -> None:
        """Answer a request with an error."""
        body = error.to_dict()
        if event.key and is_answer(error):
            self.emit(facts.JobRequestAnswered(now_ms, event.user, event.key, None, body))
        self.do(Reply(event.request, error=body))

    def answer(self, now_ms: int, event: requests.Request, body: dict[str, Any]) -> None:
        """Answer a request; no other fact carries its key."""
        if event.key:
            self.emit(facts.JobRequestAnswered(now_ms, event.user, event.key, body, None))
        self.do(Reply(event.request, body))

    def ask(self) -> None:
        """Tell the master what waits now, if that has changed."""
        news = self.launcher.news() if self.number else None
        if news is not None:
            self.send("master", news)
