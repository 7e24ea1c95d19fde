"""One seed, one run: build the world, let it go wrong for a while, let it calm down, and judge."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orch.machine.commands import Reply
from orch.machine.host import EventError
from orch.sim.checks import Ledger, judge
from orch.sim.disk import Disk
from orch.sim.faults import draw
from orch.sim.head import Head
from orch.sim.network import Network
from orch.sim.node import Node
from orch.sim.users import Users
from orch.sim.world import World

CHAOS_MS, CALM_MS = 30_000, 240_000
"""How long things go wrong, and how long at most it may take until all is as it should be."""
SETTLED_MS = 6_000
"""How long all must stay as it should be."""
MAX_EVENTS = 100_000
"""Far more than any run needs: somebody wakes himself again and again."""
AGENTS = 4
REQUESTS = 14
TOTAL = np.array([2000, 1024, 10_000, 0, 100], dtype=np.int32)


@dataclass
class Result:
    """What one seed gave; no violations is what everyone hopes for."""

    seed: int
    events: int
    violations: list[str] = field(default_factory=list)
    digest: str = ""
    trace: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The line that the command prints."""
        return {"seed": self.seed, "events": self.events, "violations": self.violations, "digest": self.digest}


class Scene:
    """The whole simulated cluster of one seed."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)
        self.faults = draw(self.world)
        self.network = Network(self.world, self.faults)
        self.ledger = Ledger(self.world, self.faults)
        self.users = Users(self.world, self._from_user)
        self.head = Head(self.world, Disk(self.world, self.faults.fsync_ms), self._from_master, self._to_user)
        self.nodes = {
            name: Node(self.world, name, TOTAL, self._from_agent, self.ledger.started)
            for name in (f"a{number}" for number in range(AGENTS))
        }
        self.calm = False
        self.users.plan(REQUESTS, CHAOS_MS)
        self.world.at(1_000, self._misfortune)

    def _from_user(self, to: str, request: Any) -> None:
        self.network.send("user", "master", request, lambda copy: self.head.take(to, copy))

    def _to_user(self, reply: Reply) -> None:
        body = [reply.request, reply.body, reply.error]
        self.network.send("master", "user", body, lambda copy: self.users.answered(Reply(*copy)))

    def _from_master(self, to: str, message: Any) -> None:
        name = to.removeprefix("agent/")
        node = self.nodes[name]
        self.network.send("master", name, message, lambda copy: node.take(copy))

    def _from_agent(self, name: str, message: Any) -> None:
        self.network.send(name, "master", message, lambda copy: self.head.take("master", copy))

    def _misfortune(self) -> None:
        """Once a second: throw the dice for what may go wrong."""
        world, faults = self.world, self.faults
        if world.now_ms >= CHAOS_MS:
            self.calm = True
            self.network.calm()
            return
        world.after(1_000, self._misfortune)
        if world.chance(faults.master_crash):
            self.head.crash()
        for name, node in self.nodes.items():
            if world.chance(faults.supervisor_kill):
                self.ledger.hit(node.known())
                node.kill_supervisor()
            if world.chance(faults.power_cut):
                self.ledger.hit(node.known())
                node.cut_power()
            if world.chance(faults.take_down):
                self.ledger.hit(node.known())
                node.take_down()
            if world.chance(faults.partition):
                ways = world.dice.choice(
                    [((name, "master"),), (("master", name),), ((name, "master"), ("master", name))]
                )
                for source, target in ways:
                    self.network.cut(source, target, world.dice.randrange(500, 15_000))

    def play(self) -> list[str]:
        """Let it run until all is right and stays so, or until time is up; what is wrong then."""
        right_since = None
        look_ms = CHAOS_MS + 1_000
        while True:
            while self.world.step(look_ms):
                assert self.world.events < MAX_EVENTS, "it goes on for ever"
            wrong = judge(self.users, self.head, list(self.nodes.values()), self.ledger)
            right_since = None if wrong else look_ms if right_since is None else right_since
            if wrong and look_ms >= CHAOS_MS + CALM_MS:
                return wrong
            if right_since is not None and look_ms - right_since >= SETTLED_MS:
                return []
            look_ms += 2_000


def run(seed: int, trace: bool = False) -> Result:
    """Run one seed to its end."""
    result = Result(seed, 0)
    scene = None
    try:
        scene = Scene(seed)
        if trace:
            scene.world.trace = result.trace
        result.violations += scene.play()
    except (AssertionError, EventError) as error:
        at = scene.world.now_ms if scene else 0
        cause = error.__cause__ or error
        last = traceback.extract_tb(cause.__traceback__)[-1]
        result.violations.append(f"at {at} ms: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})")
    if scene is not None:
        result.events, result.digest = scene.world.events, scene.world.digest()
    return result
