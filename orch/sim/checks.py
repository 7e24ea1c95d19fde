"""What must be true, whatever went wrong: watched while it runs, and judged when all is calm again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from orch.model import requests as ask
from orch.model.reasons import Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.sim import behaviour
from orch.sim.faults import Faults
from orch.sim.world import World

if TYPE_CHECKING:
    from orch.master import Master
    from orch.model.facts_master import Preempted
    from orch.services import Services
    from orch.sim.head import Head
    from orch.sim.node import Key, Node
    from orch.sim.users import Users, Wish


class Ledger:
    """Who was started where, as the machines cannot know: the truth to judge them by."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self.agents_may_be_lost = faults.partition > 0 or faults.loss >= 0.2
        """Whether an agent may be silent for so long that its instances are given up."""
        self.starts: dict[Key, str] = {}
        self._excused: set[tuple[int, int]] = set()

    def started(self, node: str, key: Key) -> None:
        """A process starts. An attempt starts once in all the world (a fault that hit it may excuse a second time)."""
        self._world.record(node, f"process {key}")
        before = self.starts.get(key)
        assert before is None or key[:2] in self._excused, f"{key} is started on {node}, and was on {before}"
        self.starts[key] = node

    def hit(self, known: list[tuple[int, int]]) -> None:
        """A fault takes these (instance, attempt), or the record of them: LOST is right, and so is a second launch."""
        self._excused.update(known)

    def excused(self, instance: int) -> bool:
        """Whether a fault hit any attempt of this instance."""
        return any(one == instance for one, _ in self._excused)


def guarantees_hold(master: Master, fact: Preempted, guarantees: Mapping[str, tuple[int, ...]]) -> None:
    """Whom a pod of another group drove out was above its group's guarantee, and of a lower priority."""
    table = master.instances
    for number, by in zip(fact.ids.tolist(), fact.by.tolist(), strict=True):
        victim, taker = table.index.find(np.array([number, by], dtype=np.int64)).tolist()
        if min(victim, taker) < 0:  # one that was never started, and has ended and is forgotten by now
            continue
        assert table["priority"][victim] < table["priority"][taker], (
            f"{by} took the place of {number}: no lower priority"
        )
        for path, sure in guarantees.items():
            group = master.tree.number(path)
            lines = [master.tree.lineage(int(table["group"][row])) for row in (victim, taker)]
            if group not in lines[0] or group in lines[1]:
                continue
            rows = [row for row in table.holding().tolist() if not table["stopping"][row]]
            kept = [table["request"][row] for row in rows if group in master.tree.lineage(int(table["group"][row]))]
            left = np.sum(kept, axis=0, dtype=np.int64) if kept else np.zeros(len(sure), dtype=np.int64)
            assert np.all(left >= sure), f"{by} took the place of {number}, and left {path} {left.tolist()} of {sure}"


def judge(users: Users, head: Head, nodes: list[Node], ledger: Ledger) -> list[str]:
    """All that is wrong at the end, in sentences."""
    if head.host is None:
        return ["the master is not there"]
    wrong = [f"no answer to {name}: {wish.request}"[:200] for name, wish in users.wishes.items() if wish.reply is None]
    wrong += _jobs(users, head, ledger)
    wrong += _services(head, nodes)
    wrong += _agents(head, nodes)
    return wrong


def _jobs(users: Users, head: Head, ledger: Ledger) -> list[str]:
    from orch.batch import views

    batch = head.batch
    wrong = []
    stopped = {wish.request.job for wish in users.accepted(ask.StopJob)}
    pods: dict[int, list[int]] = {}
    for wish in users.accepted(ask.StopPods):
        pods.setdefault(wish.request.job, []).extend(wish.request.indexes.tolist())
    numbers = [wish.reply.body["job"] for wish in users.accepted(ask.SubmitJob) if wish.reply is not None]
    if len(set(numbers)) != len(numbers):
        wrong.append(f"two submissions got one job: {sorted(numbers)}")
    known = {job["job"] for job in views.jobs(batch)}
    for wish in users.accepted(ask.SubmitJob):
        assert wish.reply is not None
        number = wish.reply.body["job"]
        if number not in known:
            wrong.append(f"job {number} was accepted and is gone")
        elif number not in stopped:
            spared = batch.ledger.pods["spared"][batch.ledger.rows(batch.ledger.jobs.at(number))]
            wrong += _job(wish, views.columns(batch, number), spared.tolist(), ledger, pods.get(number, []))
    return wrong


def _job(wish: Wish, columns: Any, spared: list[int], ledger: Ledger, stopped: list[int]) -> list[str]:
    """Each pod must have ended as its last attempt's command says; failures only when its attempts were used up.

    spared: attempts of each that gave way to another pod, and do not count. stopped: indexes of those that a user
    stopped, which may end in any way.
    """
    request: ask.SubmitJob = wish.request
    assert wish.reply is not None
    first = wish.reply.body["first_id"]
    command = Template.from_wire(request.template).containers[0].shell
    wrong = []
    for index in range(request.count):
        state, code = int(columns.states[index]), int(columns.exit_codes[index])
        attempt = int(columns.attempts[index])
        right = behaviour.of(command, index, attempt).exit_code
        expected = State.FINISHED if right == 0 else State.FAILED
        enough = expected == State.FINISHED or attempt - spared[index] >= request.attempts
        lost = state in (State.LOST, State.GONE) and _unlucky(ledger, first + index)
        lost |= int(columns.reasons[index]) == Reason.SHUTDOWN and ledger.excused(first + index)
        if index not in stopped and not lost and not (enough and (state, code) == (expected, right)):
            name = f"job {wish.reply.body['job']} pod {index} (attempt {attempt} of {request.attempts})"
            wrong.append(f"{name}: {State(state).name} {code}, expected {expected.name} {right}")
    return wrong[:3]


def _unlucky(ledger: Ledger, instance: int) -> bool:
    return ledger.agents_may_be_lost or ledger.excused(instance)


def _services(head: Head, nodes: list[Node]) -> list[str]:
    from orch.services import views

    services = head.services
    running = {one[0] for node in nodes for one in node.running()}
    wrong = []
    wanted: set[int] = set()
    for service in views.services(services):
        path = service["id"]
        alive = [
            one
            for one in views.instances(services, path)
            if one["state"] in ("RUNNING", "STAGING", "STARTING", "KILLING")
        ]
        wanted.update(one["id"] for one in alive)
        steady = [one for one in alive if one["state"] == "RUNNING"]
        if _steady(services, path) and len(steady) != service["instances"]:
            wrong.append(f"service {path}: {len(steady)} of {service['instances']} running: {service}"[:400])
        missing = [one["id"] for one in steady if one["id"] not in running]
        if missing and _steady(services, path):
            wrong.append(f"service {path}: instances {missing} are RUNNING and have no process")
    extra = sorted(one for one in running if one >> 44 == 1 and one not in wanted)
    if extra:
        wrong.append(f"processes of instances {extra} run, and no service has them")
    return wrong


def _steady(services: Services, path: str) -> bool:
    """Whether the service's command goes on for ever, so that all copies must run in the end."""
    from orch.services import views

    wire = views.template(services, path)
    return wire is not None and all("run=0" in container.shell for container in Template.from_wire(wire).containers)


def _agents(head: Head, nodes: list[Node]) -> list[str]:
    from orch.master import views

    master = head.master
    wrong = []
    for agent in views.agents(master):
        if agent["state"] != "READY":
            wrong.append(f"agent {agent['name']} is {agent['state']}")
    for node in nodes:
        left = [one for one in node.running() if one[0] >> 44 == 2 and _over(head, one[0])]
        if left:
            wrong.append(f"{node.name}: processes {left} run, and their pods are over")
    return wrong


def _over(head: Head, instance: int) -> bool:
    from orch.batch import views

    found = views.instance(head.batch, instance)
    return found is None or State[found["state"]] >= State.FINISHED
