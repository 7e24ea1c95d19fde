"""The node: all of one supervisor but its main program. It hosts the agents of one machine and their processes."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import resource
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from orch.agent.agent import Agent
from orch.agent.commands import Stop
from orch.agent.events import Connected, ContainerChanged, JobsChanged, Leaving
from orch.agent.events import Usage as UsageSeen
from orch.model.reasons import Reason
from orch.model.resources import CPUS, DISK, GPUS, MEM, PORTS, R
from orch.model.states import FIRST_TERMINAL, State
from orch.node import environment, exits, memory
from orch.node.blobs import Blobs
from orch.node.cgroups import Cgroups
from orch.node.door import Door
from orch.node.factlog import FactLog
from orch.node.folders import Folders
from orch.node.instances import Instances
from orch.node.jobs import Jobs, Lane
from orch.node.line import Line
from orch.node.operations import Operations
from orch.node.reading import Reader
from orch.node.retention import Retention, Rules
from orch.node.shell import Clock, Hands, Shell
from orch.node.stops import Stops
from orch.node.strays import Strays, become_reaper, clear_jobs
from orch.node.usage import Usage
from orch.node.users import Tenancy, Users

log = structlog.get_logger("orch.node")

_SWEEP_S, _USAGE_S, _RETENTION_S = 1.0, 5.0, 10.0
_STOP_S = 15.0
"""How long after the last grace a process may take to be gone; one that hangs in the kernel is left behind."""
_GATHER_STEP_S = 0.003


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """One agent: what it has to give, and its ports first..last."""

    name: str
    cpus_milli: int
    mem_mib: int
    disk_mib: int
    gpus_milli: int
    ports: tuple[int, int]
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node is to be.

    folder: of the agents' files. Sandboxes lie there too, so with tenancy groups other uids must be able to get there.
    socket: where the postmen come (a path of at most 107 bytes). url: of the gateway, "" for none. workers: threads
    that launch jobs.
    """

    cluster: str
    name: str
    folder: Path
    socket: Path
    agents: tuple[AgentPlan, ...]
    tenancy: Tenancy
    url: str = ""
    token: str = ""
    host: str = "127.0.0.1"
    workers: int = 2
    rules: Rules = field(default_factory=Rules)


@dataclass(slots=True)
class Seat:
    """One agent and what belongs to it."""

    plan: AgentPlan
    folders: Folders
    shell: Shell
    instances: Instances
    cgroups: Cgroups
    retention: Retention
    ending: bool = False


class Node:
    """Create it on a running event loop; `start`, and `stop` (the pods end) or `release` (services live on)."""

    def __init__(self, plan: NodePlan) -> None:
        self._plan = plan
        self._seats: dict[str, Seat] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()
        self._reported = 0.0
        self._closed = False

    async def start(self) -> None:
        """Adopt what lives, let the postmen in, dial the gateway."""
        become_reaper()
        _raise_open_files()
        plan = self._plan
        plan.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        plan.folder.chmod(0o711)
        self._clock = Clock()
        self._users = Users(plan.tenancy, plan.folder / "uids.json")
        self._door = Door(plan.socket, self._take, self._opened)
        journal = plan.folder / "exits"
        ended = exits.read(journal)
        readers = [Reader(self._folders(agent)) for agent in plan.agents]
        operations = Operations(readers, self._is_live)
        hello = {"node": plan.name, "agents": [agent.name for agent in plan.agents], "token": plan.token}
        self._line = Line(plan.url, hello, operations.all()) if plan.url else None
        self._blobs = Blobs(plan.folder / "blobs", self._blob)
        self._jobs = Jobs(self._users, journal, plan.workers, self._blobs, _explain)
        self._stops = Stops(plan.cluster, self._jobs)
        self._strays = Strays(plan.cluster, self._is_live)
        for number, agent in enumerate(plan.agents):
            seat = self._seats[agent.name] = self._seat(number, agent)
            hands = Hands(number, self._jobs, seat.instances, self._stops, self._clear(seat), seat.retention.ended)
            seat.shell.start(hands, ended[ended["user"] == number])
            seat.retention.find()
        self._loop.add_reader(self._jobs.fileno(), self._report_soon)
        await self._door.open()
        self._tasks = [self._loop.create_task(task) for task in (self._sweep(), self._look(), self._keep())]
        if self._line is not None:
            self._tasks.append(self._loop.create_task(self._line.run()))

    async def stop(self, grace_ms: int | None = None) -> None:
        """The cluster goes down: say goodbye to the master and cut the line, stop every pod, remember how each ended.

        grace_ms: instead of each pod's own.
        """
        for seat in self._seats.values():
            seat.shell.tell(Leaving())
            seat.shell.drain()
            seat.ending = True
            seat.shell.mute()
        await self._door.close()
        for number, seat in enumerate(self._seats.values()):
            seat.shell.drain()
            self._stop_all(number, seat, grace_ms)
        patience = self._loop.time() + _STOP_S + max([self._longest_grace_ms(), grace_ms or 0]) / 1000
        while self._loop.time() < patience and self._is_busy():
            self._report()
            await asyncio.sleep(0.01)
        self._report()
        await asyncio.sleep(0)
        for seat in self._seats.values():
            seat.shell.drain()
            clear_jobs(self._plan.cluster, seat.plan.name, ())
        await self._close()

    async def release(self) -> None:
        """Let go: services live on under their stubs, jobs end with us."""
        await self._door.close()
        for seat in self._seats.values():
            seat.shell.mute()
            seat.instances.release()
        await self._close()

    # ---- parts -------------------------------------------------------------------------------------------------

    def _folders(self, agent: AgentPlan) -> Folders:
        return Folders(self._plan.folder / agent.name)

    def _seat(self, number: int, agent: AgentPlan) -> Seat:
        plan = self._plan
        folders = self._folders(agent)
        folders.make()
        shared = plan.tenancy == "groups"
        where = environment.place(plan.cluster, agent.name, plan.host, shared=shared)
        cgroups = Cgroups(f"orch-{plan.cluster[:8]}-{agent.name}")
        attributes = _attributes(plan, agent, cgroups.version)
        total = _total(agent)

        def make() -> Agent:
            return Agent(agent.name, secrets.token_hex(8), total, attributes, agent.ports)

        shell = Shell(make, FactLog(folders.root), self._clock, lambda message: self._door.send(agent.name, message))
        tell = self._teller(agent.name, shell)
        instances = Instances(folders, where, self._users, cgroups, tell)
        self._jobs.add(Lane(number, folders, where, tell))
        retention = Retention(folders, plan.rules, lambda: self._live_keys(agent.name))
        return Seat(agent, folders, shell, instances, cgroups, retention)

    def _teller(self, name: str, shell: Shell) -> Callable[[Any], None]:
        """Passes events to the agent's machine; ends that are our own doing, because we go down, say so."""

        def tell(event: Any) -> None:
            if self._seats[name].ending:
                event = _shut_down(event)
            shell.tell(event)

        return tell

    def _clear(self, seat: Seat) -> Callable[[], None]:
        def clear() -> None:
            table = seat.shell.machine.instances
            rows = table.rows()
            rows = rows[table["several"][rows] & table.alive(rows)]
            keep = set(zip(table["id"][rows].tolist(), table["attempt"][rows].tolist(), strict=True))
            clear_jobs(self._plan.cluster, seat.plan.name, keep)

        return clear

    def _live_keys(self, name: str) -> set[tuple[int, int]]:
        """(id, attempt) of everything that the agent's machine knows: it runs, or the master does not know its end."""
        table = self._seats[name].shell.machine.instances
        rows = table.rows()
        return set(zip(table["id"][rows].tolist(), table["attempt"][rows].tolist(), strict=True))

    def _is_live(self, id: int, attempt: int) -> bool:
        """Whether an instance (attempt -1: any) may still run here."""
        for seat in self._seats.values():
            table = seat.shell.machine.instances
            if attempt < 0:
                rows = table.rows()
                rows = rows[table["id"][rows] == id]
            else:
                rows = table.find(np.array([id], np.int64), np.array([attempt], np.int32))
                rows = rows[rows >= 0]
            if len(rows) and np.any(table.alive(rows)):
                return True
        return False

    def _stop_all(self, number: int, seat: Seat, grace_ms: int | None) -> None:
        table = seat.shell.machine.instances
        rows = table.rows()
        rows = rows[table.alive(rows)]
        grace = table["grace_ms"][rows].copy()
        if grace_ms is not None:
            grace[:] = grace_ms
        if len(rows):
            stop = Stop(table["id"][rows].copy(), table["attempt"][rows].copy(), grace)
            self._stops.stop(number, stop, seat.instances)

    def _is_busy(self) -> bool:
        return self._jobs.live > 0 or any(seat.instances.is_busy for seat in self._seats.values())

    def _longest_grace_ms(self) -> int:
        tables = [seat.shell.machine.instances for seat in self._seats.values()]
        return max((int(table["grace_ms"][table.rows()].max(initial=0)) for table in tables), default=0)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._closed = True
        self._loop.remove_reader(self._jobs.fileno())
        self._stops.close()
        self._jobs.close()
        for seat in self._seats.values():
            seat.shell.close()
            seat.cgroups.close()

    # ---- messages and events -----------------------------------------------------------------------------------

    def _take(self, agent: str, message: Any) -> None:
        self._seats[agent].shell.tell(message)

    def _opened(self, agent: str) -> bool:
        if agent not in self._seats:
            return False
        self._seats[agent].shell.tell(Connected())
        return True

    def _report_soon(self) -> None:
        """The engine has events. They are told at once if the last report is some time ago."""
        self._loop.remove_reader(self._jobs.fileno())
        self._report_when_due()

    def _report_when_due(self) -> None:
        wait = self._reported + self._jobs.patience_s() - self._loop.time()
        if wait > 0:
            self._loop.call_later(min(_GATHER_STEP_S, wait), self._report_when_due)
            return
        self._report()
        if not self._closed:
            self._loop.add_reader(self._jobs.fileno(), self._report_soon)

    def _report(self) -> None:
        self._reported = self._loop.time()
        if not self._closed:
            self._jobs.report()

    async def _blob(self, sha256: str) -> Any:
        if self._line is None:
            raise OSError("this node has no line to a gateway")
        async for chunk in self._line.blob(sha256):
            yield chunk

    # ---- now and then ------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            stubs = {stub.pid for seat in self._seats.values() for stub in seat.instances.stubs.running}
            self._strays.sweep(self._jobs.pids() | stubs)
            await memory.watch(self._jobs)

    async def _look(self) -> None:
        usage = Usage(self._plan.folder)
        while True:
            await asyncio.sleep(_USAGE_S)
            seen = usage.look()
            for seat in self._seats.values():
                seat.shell.tell(UsageSeen(seen))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_RETENTION_S)
            self._blobs.tidy()
            for seat in self._seats.values():
                await seat.retention.run()


def plan_of(config: dict[str, Any], token: str = "") -> NodePlan:
    """The plan in a supervisor's configuration (`{cluster, node, node_dir, socket, url, tenancy, agents, ...}`)."""
    agents = tuple(
        AgentPlan(
            one["name"], one["cpus_milli"], one["mem_mib"], one["disk_mib"], one["gpus_milli"],
            (one["ports"][0], one["ports"][1]), dict(one["attributes"]),
        )
        for one in config["agents"]
    )  # fmt: skip
    return NodePlan(
        cluster=config["cluster"],
        name=config["node"],
        folder=Path(config["node_dir"]),
        socket=Path(config["socket"]),
        agents=agents,
        tenancy=config["tenancy"],
        url=config.get("url", ""),
        token=token,
        host=config.get("pod_host") or "127.0.0.1",
        rules=Rules(**config.get("retention", {})),
    )


def _total(agent: AgentPlan) -> Any:
    total = np.zeros(R, dtype=np.int32)
    total[CPUS], total[MEM], total[DISK], total[GPUS] = (
        agent.cpus_milli, agent.mem_mib, min(agent.disk_mib, 2**31 - 1), agent.gpus_milli,
    )  # fmt: skip
    total[PORTS] = agent.ports[1] - agent.ports[0] + 1
    return total


def _attributes(plan: NodePlan, agent: AgentPlan, cgroups: str) -> dict[str, str]:
    """What placement may look at: the plan's own, and what was found on this machine."""
    return {
        "tier": "process",
        "tenancy": plan.tenancy,
        "limits": cgroups,
        "os": platform.system().lower(),
        "arch": platform.machine(),
        "kernel": platform.release(),
        **agent.attributes,
    }


def _shut_down(event: Any) -> Any:
    """An end that is our own doing: KILLED, reason SHUTDOWN."""
    if isinstance(event, ContainerChanged) and event.state >= FIRST_TERMINAL:
        return ContainerChanged(
            event.id, event.attempt, event.container, int(State.KILLED), event.exit_code, int(Reason.SHUTDOWN),
            event.at_ms, event.round, "the cluster was shut down",
        )  # fmt: skip
    if isinstance(event, JobsChanged):
        ended = event.states >= FIRST_TERMINAL
        stopped = ended & (event.states != State.FINISHED)
        states = np.where(stopped, State.KILLED, event.states).astype(np.uint8)
        reasons = np.where(stopped, Reason.SHUTDOWN, event.reasons).astype(np.uint8)
        return JobsChanged(
            event.ids, event.attempts, states, event.exit_codes, reasons, event.started_ms, event.changed_ms
        )  # fmt: skip
    return event


def _explain(instance: int, text: str) -> None:
    log.warning("jobs can't be launched", first=instance, message=text)


def _raise_open_files() -> None:
    """Each running job holds three descriptors, and five while it writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20), hard)
        )
