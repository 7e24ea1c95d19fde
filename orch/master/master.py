"""The master's machine: which event and which fact goes where. What it does is in the files of the nouns beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from orch.allocator import Tree
from orch.machine.commands import Command
from orch.machine.machine import Machine, Tick
from orch.master import (
    accepts,
    administration,
    agents,
    fleets,
    frameworks,
    holds,
    instances,
    links,
    preemption,
    reconcile,
    registration,
    reports,
    silence,
)
from orch.master.ledger import Ledger
from orch.master.offers import Offers
from orch.model import facts_master as facts
from orch.model import messages, requests
from orch.model.states import FIRST_TERMINAL, AgentState, State


class Master(Machine):
    """Tables of agents, instances and frameworks, the tree of groups, and the cycle of offers.

    Times are in ms. unreachable_ms: without a word for so long, an agent and what it runs is UNREACHABLE; gone_ms later
    its instances are LOST; remove_ms later the agent is forgotten. offer_ms: how long a framework may think about an
    offer. hosted: frameworks in this process.
    """

    name = "master"

    EVENTS: ClassVar[dict[type, Callable[..., None]]] = {
        Tick: silence.tick,
        messages.Register: registration.register,
        messages.FleetRegister: registration.register_fleet,
        messages.Image: reconcile.image,
        messages.UpdateBatch: reports.update,
        messages.Heartbeat: links.heartbeat,
        messages.Goodbye: silence.goodbye,
        messages.Subscribe: frameworks.subscribe,
        messages.Demand: frameworks.demand,
        messages.Decline: frameworks.decline,
        messages.Suppress: frameworks.suppress,
        messages.Revive: frameworks.revive,
        messages.Accept: accepts.accept,
        messages.Relaunch: accepts.relaunch,
        messages.Kill: reports.kill,
        messages.Acknowledge: reports.acknowledge,
        requests.DrainAgent: administration.drain,
        requests.RemoveAgent: administration.remove,
        requests.TellStory: administration.story,
    }

    def __init__(
        self,
        unreachable_ms: int = 15_000,
        gone_ms: int = 600_000,
        remove_ms: int = 86_400_000,
        offer_ms: int = 5_000,
        hosted: tuple[str, ...] = ("services", "batch"),
    ) -> None:
        super().__init__()
        assert unreachable_ms > 0 and 0 <= gone_ms <= remove_ms, (unreachable_ms, gone_ms, remove_ms)
        self.unreachable_ms, self.gone_ms, self.remove_ms = unreachable_ms, gone_ms, remove_ms
        self.epoch = 0
        self.agents = agents.Agents()
        self.fleets = fleets.Fleets()
        self.instances = instances.Instances()
        self.frameworks = frameworks.Frameworks(hosted)
        self.tree = Tree()
        self.ledger = Ledger(self.agents, self.tree)
        self.offers = Offers(offer_ms)
        self.preemptions = preemption.Preemptions()
        self.holds = holds.Holds()
        self.committed: facts.Launched | None = None
        """A fact whose rows the commit of this event has charged already."""
        self.next_wake_ms: int | None = None

    def handle(self, now_ms: int, event: Any) -> list[Command]:
        """One event, and what follows for offers. Raises ValueError for a message that makes no sense."""
        if self.offers.early:  # whoever says more goes on from its accept: that comes first
            accepts.commit_early(self, now_ms, getattr(event, "framework", ""))
        self.EVENTS[type(event)](self, now_ms, event)
        accepts.settle(self, now_ms)
        preemption.settle(self, now_ms)
        self.offers.run(self, now_ms)
        commands, self._commands = self._commands, []
        return commands

    @property
    def wake_ms(self) -> int | None:
        """The earliest deadline, or something before it."""
        return self.next_wake_ms

    def wake_by(self, at_ms: int) -> None:
        """Be awake at this time."""
        if self.next_wake_ms is None or at_ms < self.next_wake_ms:
            self.next_wake_ms = at_ms

    def started(self, now_ms: int) -> list[Command]:
        """A new epoch; all agents are to be heard of again before they are offered."""
        self.emit(facts.EpochBegan(self.epoch + 1))
        self.agents["heard_ms"][:] = now_ms
        self.preemptions.moved = True
        silence.plan(self, now_ms)
        return super().started(now_ms)

    def snapshot(self, soft: bool = False) -> dict[str, Any]:
        """The tables; what is derived of them is left out. With `soft`, also what agents showed of themselves."""
        return {
            "epoch": self.epoch,
            "frameworks": list(self.frameworks.by_name),
            "agents": self.agents.snapshot(soft),
            "instances": self.instances.snapshot(soft, self.tree.paths),
            "preemptions": self.preemptions.snapshot(),
            **({"holds": self.holds.snapshot()} if soft else {}),
        }

    def restore(self, image: dict[str, Any]) -> None:
        """Become a snapshot, and derive the books from it."""
        self.epoch = int(image["epoch"])
        for number, name in enumerate(image["frameworks"], 1):
            self.frameworks.add(name, number)
        self.agents.restore(image["agents"])
        self.instances.restore(image["instances"], self)
        if "preemptions" in image:  # not of a master that knew of none
            self.preemptions.restore(image["preemptions"])
        if "holds" in image:
            self.holds.restore(image["holds"])
        held = self.instances.holding()
        table = self.instances
        self.ledger.rebuild(table["agent"][held], table["request"][held], table["group"][held])
        rows = table.table.rows()
        np.add.at(self.agents["instances"], table["agent"][rows], 1)

    def check(self) -> None:
        """Assert that the books add up and that every table is as it should be."""
        table, ours = self.instances, self.agents
        held, rows = table.holding(), table.table.rows()
        self.ledger.check(table["agent"][held], table["request"][held], table["group"][held])
        ids = np.sort(table["id"][rows], kind="stable")
        assert np.array_equal(ids, table.index.ids()), "the index does not hold the ids of the table"
        assert np.array_equal(table.index.find(table["id"][rows]), rows), "the index leads to other rows"
        assert np.all(table["state"][rows] != State.SCHEDULED), "the table holds an instance that was not launched"
        assert not np.any(table["starting"][rows] > 1), "starting is yes or no"
        counts = np.bincount(table["agent"][rows], minlength=ours.table.length)
        assert np.array_equal(counts, ours["instances"]), "an agent's count of instances is not that of its rows"
        here = ours.present()
        assert [ours.by_name[ours.names[row]] for row in here.tolist()] == here.tolist(), "a name leads to another row"
        assert len(here) == len(ours.by_name)
        assert np.all(ours["session"][here] > 0) and np.all(ours["state"] <= AgentState.REMOVED)
        assert np.array_equal(ours["usable"], agents.usable(ours["state"]))
        lost = ours["removed"] == 1
        assert not np.any(lost[table["agent"][held]]), "an instance runs on an agent that is gone"
        ended = table["state"][rows] >= FIRST_TERMINAL
        assert len(rows) == len(held) + int(ended.sum())
        preemption.check(self)

    def _epoch_began(self, fact: facts.EpochBegan) -> None:
        assert fact.epoch > self.epoch, f"epoch {fact.epoch} after {self.epoch}"
        self.epoch = fact.epoch
        self.agents.forget_states()
        self.instances["starting"][:] = 0
        self.holds = holds.Holds()
        self.instances.details.clear()

    FACTS: ClassVar[dict[type, Callable[..., None]]] = {
        facts.EpochBegan: _epoch_began,
        facts.FrameworkAdded: frameworks.added,
        facts.AgentRegistered: agents.registered,
        facts.FleetRegistered: fleets.registered,
        facts.AgentDrained: agents.drained,
        facts.AgentRemoved: agents.removed,
        facts.Launched: instances.launched,
        facts.StatesChanged: instances.changed,
        facts.StopWanted: instances.stop_wanted,
        facts.Forgotten: instances.forgotten,
        facts.Preempted: preemption.preempted,
        facts.Unheld: preemption.unheld,
        facts.StartingSeen: instances.starting_seen,
        facts.DetailsSeen: instances.details_seen,
        facts.HoldsSeen: holds.seen,
        facts.AgentStatesSeen: agents.states_seen,
        facts.UsageSeen: agents.usage_seen,
    }
