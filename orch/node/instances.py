"""Instances of services: from one `StartInstance` to a sandbox, inputs, and a stub for each container.

Whatever goes wrong before the stubs run is told for every container, so that an instance never stays half reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from orch.agent.commands import Probe, Recover, StartInstance
from orch.agent.events import ContainerChanged, Probed
from orch.model.ids import instance_name
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import Template
from orch.model.states import State
from orch.node import artifacts, environment, hostports, probes, reasons, sandbox
from orch.node.artifacts import ArtifactError
from orch.node.cgroups import Cgroups
from orch.node.environment import Place
from orch.node.folders import Folders
from orch.node.launchable import Launchable, NotLaunchableError, prepare
from orch.node.stubs import Container, Stubs, StubSpec
from orch.node.users import Users

log = structlog.get_logger("orch.node")

Tell = Callable[[ContainerChanged | Probed], None]


@dataclass(slots=True)
class Run:
    """One start of one instance. ready: per container, empty where the agent can't run it."""

    command: StartInstance
    template: Template
    ready: list[Launchable] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Instances:
    """The service instances of one agent. Needs a running event loop. `tell` is called at any time, also at once."""

    def __init__(self, folders: Folders, where: Place, users: Users, cgroups: Cgroups, tell: Tell) -> None:
        self._folders, self._where, self._users, self._cgroups, self._tell = folders, where, users, cgroups, tell
        self._runs: dict[tuple[int, int], Run] = {}
        self.stubs = Stubs(where.cluster, self._container_changed)

    def start(self, command: StartInstance) -> None:
        """Start all containers, or none."""
        run = self._run_of(command)
        run.task = asyncio.get_running_loop().create_task(self._start(run))

    def recover(self, command: Recover) -> None:
        """After a restart of the supervisor: adopt or report each container."""
        run = self._run_of(command.start)
        with contextlib.suppress(NotLaunchableError):
            run.ready = self._prepare(run)
        run.task = asyncio.get_running_loop().create_task(self._recover(run))

    def stop(self, id: int, attempt: int, grace_ms: int) -> bool:
        """Stop all containers; False if the instance is not one of these."""
        run = self._runs.get((id, attempt))
        if run is None:
            return False
        if not self.stubs.stop(id, attempt, grace_ms) and run.task is not None and not run.task.done():
            run.task.cancel()  # it is still fetching its inputs; `_start` reports
        return True

    def kill(self, id: int, attempt: int) -> None:
        """SIGKILL to what is left of an instance, without any grace."""
        for stub in self.stubs.running:
            if (stub.container.id, stub.container.attempt) == (id, attempt):
                stub.kill()

    def probe(self, command: Probe) -> None:
        """Run one health check; the answer comes as `Probed`, also where nothing could be asked."""
        asyncio.get_running_loop().create_task(self._probe(command))

    def ended(self, id: int, attempt: int) -> None:
        """The instance is over and the master knows: its records can go."""
        self._runs.pop((id, attempt), None)
        sandbox.remove(self._folders.stub(id, attempt))

    @property
    def keys(self) -> list[tuple[int, int]]:
        """(id, attempt) of those that are not over, or whose end the master does not know yet."""
        return list(self._runs)

    @property
    def is_busy(self) -> bool:
        """Whether any container runs, or is about to."""
        starting = any(run.task is not None and not run.task.done() for run in self._runs.values())
        return starting or bool(self.stubs.running)

    def release(self) -> None:
        """Let go of everything; the stubs live on."""
        for run in self._runs.values():
            if run.task is not None:
                run.task.cancel()
        self.stubs.release()

    @property
    def sandboxes(self) -> Path:
        """The folder of all sandboxes."""
        return self._folders.sandboxes

    # ---- one instance ------------------------------------------------------------------------------------------

    def _run_of(self, command: StartInstance) -> Run:
        run = self._runs[command.id, command.attempt] = Run(command, Template.from_wire(command.template))
        return run

    def _prepare(self, run: Run) -> list[Launchable]:
        return [prepare(self._where, self._users, run.template, container) for container in run.template.containers]

    async def _start(self, run: Run) -> None:
        command = run.command
        try:
            run.ready = self._prepare(run)
            if self._ports_taken(run):
                return
            owners = {c.name: r.user for c, r in zip(run.template.containers, run.ready, strict=True)}
            place = self._folders.sandbox(command.id, command.attempt)
            sandbox.make(place, run.template, owners)
            for container, ready in zip(run.template.containers, run.ready, strict=True):
                await artifacts.fetch(container.artifacts, place / container.name, ready.user)
        except NotLaunchableError as error:
            self._refuse(run, State.ERROR, error.reason, str(error))
        except ArtifactError as error:
            self._refuse(run, State.FAILED, Reason.ARTIFACT_FAILED, str(error))
        except OSError as error:
            state, reason = reasons.not_started(reasons.Stage.SANDBOX, error.errno or 0)
            self._refuse(run, state, reason, f"its sandbox could not be made: {error}")
        except asyncio.CancelledError:
            self._refuse(run, State.FAILED, Reason.SIGNALED, "stopped before it was started", -signal.SIGTERM)
        else:
            for at in range(len(run.ready)):
                self.stubs.start(self._spec(run, at))

    def _ports_taken(self, run: Run) -> bool:
        command = run.command
        asked = [
            (port, endpoint.protocols)
            for container, ports in zip(run.template.containers, command.ports, strict=True)
            for endpoint, port in zip(container.endpoints, ports, strict=True)
        ]
        taken = hostports.taken(asked)
        if taken:
            names = ", ".join(map(str, taken))
            self._tell(
                ContainerChanged(
                    command.id, command.attempt, 0, int(State.ERROR), NO_EXIT_CODE, int(Reason.PORT_TAKEN), _now_ms(),
                    command.round, f"port {names} is in use by another process of this machine", taken,
                )
            )  # fmt: skip
        return bool(taken)

    def _refuse(self, run: Run, state: State, reason: Reason, text: str, code: int = NO_EXIT_CODE) -> None:
        """None of its containers was started. The first report is what the instance fails of."""
        log.info("an instance could not be started", instance=run.command.id, reason=reason.name, message=text)
        for at in range(len(run.template.containers)):
            self._tell(
                ContainerChanged(
                    run.command.id, run.command.attempt, at, int(state), code, int(reason), _now_ms(),
                    run.command.round, text,
                )
            )  # fmt: skip

    def _container(self, run: Run, at: int) -> Container:
        container = run.template.containers[at]
        words = container.shell or (container.argv[0] if container.argv else "")
        return Container(run.command.id, run.command.attempt, at, run.command.round, container.name, words)

    def _spec(self, run: Run, at: int) -> StubSpec:
        command, container = run.command, run.template.containers[at]
        key = (command.id, command.attempt, container.name)
        return StubSpec(
            container=self._container(run, at),
            ready=run.ready[at],
            env=self._environment(run, at),
            folder=self._folders.stub(*key),
            sandbox=self._folders.sandbox(*key),
            logs=self._folders.log(*key),
            grace_ms=container.grace_ms,
            marks={
                "ORCH_CLUSTER": self._where.cluster,
                "ORCH_AGENT": self._where.agent,
                "ORCH_ROLE": "stub",
            },
            cgroups=self._cgroups.make(f"{command.id}-{command.attempt}.{container.name}", container),
        )

    def _environment(self, run: Run, at: int) -> dict[str, str]:
        command, template = run.command, run.template
        place = self._folders.sandbox(command.id, command.attempt, template.containers[at].name)
        name = instance_name(template.path, command.index, command.job if command.job >= 0 else None)
        env = environment.endpoints(template, command.ports, at) | run.ready[at].env | command.env
        env.setdefault("HOME", str(place))
        task = template.containers[at].name if template.kind == "pod" else ""
        return env | environment.instance(name, command.id, command.attempt, command.index, place, task)

    async def _recover(self, run: Run) -> None:
        command = run.command
        for at, container in enumerate(run.template.containers):
            folder = self._folders.stub(command.id, command.attempt, container.name)
            await self.stubs.recover(self._container(run, at), folder)

    def _container_changed(self, event: ContainerChanged) -> None:
        run = self._runs.get((event.id, event.attempt))
        if run is not None and event.state >= State.FINISHED:
            name = f"{event.id}-{event.attempt}.{run.template.containers[event.container].name}"
            if self._cgroups.finish(name) and event.state == State.FAILED:
                event = _out_of_memory(event)
        self._tell(event)

    # ---- probes ------------------------------------------------------------------------------------------------

    async def _probe(self, command: Probe) -> None:
        run = self._runs.get((command.id, command.attempt))
        ok, message = False, "the agent does not run it"
        if run is not None and run.ready:
            check = run.template.containers[command.container].health[command.check]
            if check.kind == "command":
                place = self._folders.sandbox(
                    command.id, command.attempt, run.template.containers[command.container].name
                )
                env = self._environment(run, command.container)
                ok, message = await probes.run_command(check, run.ready[command.container], env, place)
            else:
                port = command.ports[check.endpoint] if check.endpoint >= 0 else check.port
                ok, message = await probes.probe(check, port)
        self._tell(Probed(command.id, command.attempt, command.container, command.check, ok, message))


def _out_of_memory(event: ContainerChanged) -> ContainerChanged:
    return ContainerChanged(
        event.id, event.attempt, event.container, event.state, event.exit_code, int(Reason.MEMORY_LIMIT), event.at_ms,
        event.round, "it used more memory than it asked for",
    )  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
