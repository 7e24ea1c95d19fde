"""Simulated users: they submit, scale, stop and kill, over a network that loses, and retry with the same key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from orch.machine.commands import Reply
from orch.model import requests as ask
from orch.model.messages import EMPTY_I64
from orch.model.specs.template import ContainerTemplate, EndpointTemplate, HealthTemplate, Template, UnreachableTemplate
from orch.sim.world import World

RETRY_MS = 3_000
UNREACHABLE = [UnreachableTemplate(), UnreachableTemplate(2_000, 8_000)]


@dataclass
class Wish:
    """One request, and its answer once there is one."""

    to: str
    request: Any
    reply: Reply | None = None


class Users:
    """Draws requests from the world's dice and keeps asking until each is answered."""

    def __init__(self, world: World, send: Callable[[str, Any], None]) -> None:
        self._world, self._send = world, send
        self.wishes: dict[str, Wish] = {}
        self._paths: list[str] = []

    def plan(self, count: int, until_ms: int) -> None:
        """Schedule so many requests over a time."""
        for _ in range(count):
            self._world.at(self._world.dice.randrange(until_ms), self._act)

    def answered(self, reply: Reply) -> None:
        """A reply arrived (perhaps again)."""
        wish = self.wishes[reply.request]
        if wish.reply is not None:
            assert (wish.reply.error is None) == (reply.error is None), (
                f"two answers to {wish.request}: {wish.reply}, {reply}"
            )
            return
        self._world.record("user", f"answer {reply.request} {'error' if reply.error else 'ok'}")
        wish.reply = reply

    def accepted(self, kind: type) -> list[Wish]:
        """The requests of a kind that were answered without an error, in the order they were made."""
        return [
            wish
            for wish in self.wishes.values()
            if isinstance(wish.request, kind) and wish.reply is not None and wish.reply.error is None
        ]

    def _act(self) -> None:
        dice = self._world.dice
        acts = [self._job, self._job, self._job, self._service, self._scale, self._delete, self._kill, self._stop]
        dice.choice(acts)()

    def _ask(self, to: str, make: Callable[[str, str, int], Any]) -> None:
        number = f"r{len(self.wishes)}"
        wish = Wish(to, make(number, f"k{number}", self._world.now_ms))
        self.wishes[number] = wish
        self._world.record("user", f"asks {type(wish.request).__name__} {number}")
        self._try(wish)

    def _try(self, wish: Wish) -> None:
        if wish.reply is None:
            self._send(wish.to, wish.request)
            self._world.after(RETRY_MS, lambda: self._try(wish))

    def _job(self) -> None:
        dice = self._world.dice
        count, attempts = dice.choice([1, 3, 20, 40]), dice.choice([1, 3])
        gang = dice.choice([0, 0, 2]) if count > 1 else 0
        count -= count % gang if gang else 0
        command = (
            f"sim run={dice.choice([1, 50, 400, 1500])} code=%{dice.choice([1, 5])} flaky={dice.choice([0, 0, 1])}"
        )
        if dice.random() < 0.1:
            command += " stubborn"
        path = f"/jobs/j{len(self.wishes)}"
        template = Template(
            path, "job", (ContainerTemplate("main", shell=command, cpus_milli=100, mem_mib=16, grace_ms=200),),
            group="/jobs", request=(dice.choice([100, 500, 1000]), 16, 0, 0, 0), max_attempts=attempts,
        )  # fmt: skip
        priority = dice.choice([0, 0, 5])
        self._ask(
            "batch",
            lambda number, key, at_ms: ask.SubmitJob(
                number, key, "user", at_ms, template.to_wire(), {}, count, EMPTY_I64, b"", gang, priority, attempts
            ),
        )

    def _service(self) -> None:
        dice = self._world.dice
        path = dice.choice(["/web/a", "/web/b", "/web/c"])
        self._paths.append(path)
        crash = dice.random() < 0.2
        command = f"sim run={2000 if crash else 0} code=3"
        checks = (HealthTemplate("tcp", 0, grace_ms=2_000, interval_ms=1_000, delay_ms=100),)
        containers = (
            ContainerTemplate(
                "app", shell=command, cpus_milli=200, mem_mib=32, endpoints=(EndpointTemplate("http"),), grace_ms=200,
                health=checks if dice.random() < 0.5 else (),
            ),
            ContainerTemplate("side", shell="sim run=0", cpus_milli=100, mem_mib=16, grace_ms=200),
        )[: dice.choice([1, 2])]  # fmt: skip
        template = Template(
            path, "pod", containers, group="/web", request=(300, 48, 0, 0, 1), backoff_ms=200,
            max_launch_delay_ms=5_000, unreachable=dice.choice(UNREACHABLE), priority=3 if path == "/web/c" else 0,
        )  # fmt: skip
        instances, replace = dice.choice([1, 2, 4]), dice.random() < 0.5
        self._ask(
            "services",
            lambda number, key, at_ms: ask.PutService(
                number, key, "user", at_ms, template.to_wire(), {"id": path}, instances, replace
            ),
        )

    def _scale(self) -> None:
        if self._paths:
            path, instances = self._world.dice.choice(self._paths), self._world.dice.randrange(6)
            self._ask("services", lambda n, key, at_ms: ask.ScaleService(n, key, "user", at_ms, path, instances))

    def _delete(self) -> None:
        if self._paths and self._world.dice.random() < 0.5:
            path = self._world.dice.choice(self._paths)
            self._ask("services", lambda n, key, at_ms: ask.DeleteService(n, key, "user", at_ms, path))

    def _kill(self) -> None:
        if self._paths:
            path, scale = self._world.dice.choice(self._paths), self._world.dice.random() < 0.3
            ids = np.array([(1 << 44) + self._world.dice.randrange(10)], dtype=np.int64)
            self._ask("services", lambda n, key, at_ms: ask.KillInstances(n, key, "user", at_ms, path, ids, scale))

    def _stop(self) -> None:
        done = self.accepted(ask.SubmitJob)
        if done:
            reply = self._world.dice.choice(done).reply
            assert reply is not None
            job = reply.body["job"]
            if self._world.dice.random() < 0.5:
                self._ask("batch", lambda n, key, at_ms: ask.StopJob(n, key, "user", at_ms, job))
                return
            one = np.array([self._world.dice.randrange(reply.body["count"])], dtype=np.int64)
            self._ask("batch", lambda n, key, at_ms: ask.StopPods(n, key, "user", at_ms, job, one))
