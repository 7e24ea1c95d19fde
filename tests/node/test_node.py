"""A whole node, driven from the master's end of its agents' lines: real processes, sockets and files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orch.model.ids import first_id
from orch.model.reasons import NO_EXIT_CODE, Reason
from orch.model.specs.template import (
    ArtifactTemplate,
    ContainerTemplate,
    EndpointTemplate,
    HealthTemplate,
    Template,
)
from orch.model.states import State
from orch.node.folders import Folders
from orch.node.operations import Operations
from orch.node.procfs import marked
from orch.node.reading import Reader
from tests.node.driving import FIRST_PORT, Driver, job, plan, run, running, short_folder, until

SERVICE = first_id(1)
JOB = first_id(2)
ROOT = Path(__file__).resolve().parents[2]

PYTHON = shlex.quote(sys.executable)
"""For a shell: the checkout may lie in a folder with spaces."""


def container(name: str, shell: str, **options: Any) -> ContainerTemplate:
    """A container with a short grace."""
    return ContainerTemplate(name, shell=shell, grace_ms=options.pop("grace_ms", 1000), **options)


def pod(*containers: ContainerTemplate, **options: Any) -> Template:
    """A pod as a service has it."""
    return Template("/test/pod", "pod", containers, group="/test", **options)


def sandbox(folder: Path, id: int, name: str = "") -> Path:
    """A sandbox of the first agent."""
    return Folders(folder / "node" / "a1").sandbox(id, 1, name)


def pids_of(folder: Path) -> list[int]:
    """Processes of pods that run."""
    return sorted(marked("testcluster"))


def pids_of_instance(number: int) -> list[int]:
    """Processes of one instance."""
    return sorted(pid for pid, (one, _) in marked("testcluster").items() if one == number)


# ---- jobs ------------------------------------------------------------------------------------------------------


def test_a_batch_of_jobs_ends_with_all_codes_and_outputs() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                ids = list(range(JOB, JOB + 300))
                each = [{"FILE": f"f{row}"} for row in range(300)]
                driver.launch(ids, job("echo $FILE; exit $((ORCH_INDEX % 7))"), each)
                await until("all ends", lambda: len(driver.states) == 300 and min(driver.states.values())[0] > 5)
                for row, one in enumerate(ids):
                    ended = State.FINISHED if row % 7 == 0 else State.FAILED
                    assert driver.state(one) == (ended, row % 7, Reason.EXITED)
                reads = Operations([Reader(Folders(folder / "node" / "a1"))], lambda id, attempt: False)
                found = {}
                async for some, sizes, blob in reads.outputs({"ids": ids, "file": "stdout", "limit": 100}):
                    at = 0
                    for one, size in zip(some.tolist(), sizes.tolist(), strict=True):
                        found[one] = blob[at : at + size].decode()
                        at += size
                assert found == {one: f"f{row}\n" for row, one in enumerate(ids)}

    run(body())


@pytest.mark.parametrize(
    ("template", "state", "code", "reason"),
    [
        (job(argv=["no-such-command"]), State.ERROR, NO_EXIT_CODE, Reason.COMMAND_NOT_FOUND),
        (job(argv=["/etc/passwd"]), State.ERROR, NO_EXIT_CODE, Reason.COMMAND_NOT_EXECUTABLE),
        (job("kill -SEGV $$"), State.FAILED, -signal.SIGSEGV, Reason.CRASHED),
        (job("kill -KILL $$"), State.FAILED, -signal.SIGKILL, Reason.SIGNALED),
        (job("true", user="nobody-of-that-name"), State.ERROR, NO_EXIT_CODE, Reason.USER_UNKNOWN),
        (job("true", needs=("image",)), State.ERROR, NO_EXIT_CODE, Reason.NOT_SUPPORTED),
        (job("true", env=(("ORCH_BLOB", "x"),)), State.ERROR, NO_EXIT_CODE, Reason.ARTIFACT_FAILED),
        (job("true", env=(("ORCH_BLOB", "0" * 64),)), State.FAILED, NO_EXIT_CODE, Reason.ARTIFACT_FAILED),
    ],
)
def test_a_job_that_fails_says_how(template: Template, state: State, code: int, reason: Reason) -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([JOB], template)
                assert await driver.reaches(JOB, state) == (state, code, reason)

    run(body())


def test_stopped_jobs_end_killed_also_those_that_ignore_it_and_those_that_left_their_group() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([JOB], job("sleep 100"))
                driver.launch([JOB + 1], job("trap '' TERM; setsid sleep 100 & sleep 100; sleep 100", grace_ms=100))
                await driver.reaches(JOB, State.RUNNING)
                await driver.reaches(JOB + 1, State.RUNNING)
                await until("the sleeps", lambda: len(pids_of(folder)) >= 4)
                driver.stop([JOB, JOB + 1])
                assert await driver.reaches(JOB, State.KILLED) == (State.KILLED, -15, Reason.STOPPED_BY_USER)
                assert await driver.reaches(JOB + 1, State.KILLED) == (State.KILLED, -9, Reason.STOPPED_BY_USER)
                assert driver.history[JOB + 1, 1][-2:] == [State.KILLING, State.KILLED]
                await until("no process", lambda: not pids_of(folder))

    run(body())


def test_what_a_job_leaves_behind_is_ended() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([JOB], job("(setsid sleep 100 &) ; sleep 0.05; exit 0"))
                await driver.reaches(JOB, State.FINISHED)
                await until("no process", lambda: not pids_of(folder))

    run(body())


def test_a_launch_that_comes_twice_runs_once_and_the_next_attempt_runs_again() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                shell = job(f"echo x >> {folder}/ran; sleep 0.2; exit 1")
                driver.launch([JOB], shell)
                await driver.reaches(JOB, State.RUNNING)
                driver.launch([JOB], shell)
                driver.launch([JOB], shell, attempt=2)
                await driver.reaches(JOB, State.FAILED)
                await driver.reaches(JOB, State.FAILED, attempt=2)
                assert (folder / "ran").read_text() == "x\nx\n"

    run(body())


# ---- services --------------------------------------------------------------------------------------------------


def test_a_pod_serves_on_its_port_with_its_sidecar_and_its_health_is_told() -> None:
    server = "exec " + PYTHON + " -m http.server $ENDPOINT_HTTP --bind 127.0.0.1 --directory $MESOS_SANDBOX/shared"
    check = HealthTemplate("http", endpoint=0, delay_ms=50, interval_ms=50, timeout_ms=2000)
    command = HealthTemplate("command", shell="test -e shared/now", delay_ms=10, interval_ms=50, timeout_ms=2000)

    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                app = container("app", server, endpoints=(EndpointTemplate("http"),), health=(check,))
                side = container("side", "date > shared/now; exec sleep 100", health=(command,))
                driver.launch([SERVICE], pod(app, side))
                await driver.reaches(SERVICE, State.RUNNING)
                await until("health", lambda: driver.details.get(SERVICE, {}).get("healthy"))
                told = driver.details[SERVICE]
                assert [one["name"] for one in told["containers"]] == ["app", "side"]
                (endpoint,) = told["endpoints"]
                assert endpoint["name"] == "http" and FIRST_PORT <= endpoint["port"] < FIRST_PORT + 100
                page = await asyncio.to_thread(_get, f"http://127.0.0.1:{endpoint['port']}/now")
                assert page == (sandbox(folder, SERVICE, "side") / "shared" / "now").read_text()
                driver.stop([SERVICE])
                assert (await driver.reaches(SERVICE, State.KILLED))[2] == Reason.STOPPED_BY_USER
                await until("no process", lambda: not pids_of(folder))

    run(body())


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_a_container_that_fails_takes_its_instance_down_and_one_that_ends_well_does_not() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([SERVICE], pod(container("a", "exit 0"), container("b", "sleep 0.3; exit 4")))
                driver.launch([SERVICE + 1], pod(container("a", "exec sleep 100"), container("b", "exit 5")))
                driver.launch([SERVICE + 2], pod(container("a", "exit 0"), container("b", "exit 0")))
                assert await driver.reaches(SERVICE, State.FAILED) == (State.FAILED, 4, Reason.EXITED)
                assert State.RUNNING in driver.history[SERVICE, 1]
                assert await driver.reaches(SERVICE + 1, State.FAILED) == (State.FAILED, 5, Reason.EXITED)
                assert await driver.reaches(SERVICE + 2, State.FINISHED) == (State.FINISHED, 0, Reason.EXITED)

    run(body())


def test_containers_start_together_or_not_at_all() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                bad = replace(container("b", ""), argv=("no-such-command",))
                driver.launch([SERVICE], pod(container("a", "exec sleep 100"), bad))
                assert (await driver.reaches(SERVICE, State.ERROR))[2] == Reason.COMMAND_NOT_FOUND
                assert "no-such-command" in driver.details[SERVICE]["message"]
                driver.launch([SERVICE + 1], pod(container("a", "touch ran"), container("b", "true", image="x")))
                assert (await driver.reaches(SERVICE + 1, State.ERROR))[2] == Reason.NOT_SUPPORTED
                assert not sandbox(folder, SERVICE + 1).exists()
                await until("no process", lambda: not pids_of(folder))

    run(body())


def test_a_port_that_somebody_holds_is_not_given() -> None:
    async def body() -> None:
        with short_folder() as folder, contextlib.ExitStack() as stack:
            async with running(plan(folder)) as (_, driver):
                held = []
                for port in (FIRST_PORT, FIRST_PORT + 1):
                    other = stack.enter_context(socket.socket())
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    with contextlib.suppress(OSError):
                        other.bind(("127.0.0.1", port))
                        other.listen()
                    held.append(port)
                app = container("app", "echo $PORT0; exec sleep 100", endpoints=(EndpointTemplate("http"),))
                driver.launch([SERVICE], pod(app))
                await driver.reaches(SERVICE, State.RUNNING)
                assert driver.details[SERVICE]["endpoints"][0]["port"] not in held
                fixed = container("app", "exec sleep 100", endpoints=(EndpointTemplate("http", host_port=FIRST_PORT),))
                driver.launch([SERVICE + 1], pod(fixed))
                assert (await driver.reaches(SERVICE + 1, State.ERROR))[2] == Reason.PORT_TAKEN

    run(body())


def test_a_service_that_is_never_healthy_is_stopped_for_it() -> None:
    check = HealthTemplate("tcp", endpoint=0, delay_ms=0, interval_ms=20, timeout_ms=200, grace_ms=0, max_failures=2)

    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                app = container("app", "exec sleep 100", endpoints=(EndpointTemplate("http"),), health=(check,))
                driver.launch([SERVICE], pod(app))
                assert (await driver.reaches(SERVICE, State.FAILED))[2] == Reason.HEALTH_CHECK
                assert "refused" in driver.details[SERVICE]["message"]

    run(body())


def test_inputs_are_fetched_and_one_that_is_missing_is_told() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                (folder / "words.txt").write_text("hello")
                (folder / "words.txt").chmod(0o644)
                good = container(
                    "app", "cat words.txt > shared/copy", artifacts=(ArtifactTemplate(f"file://{folder}/words.txt"),)
                )
                driver.launch([SERVICE], pod(good))
                await driver.reaches(SERVICE, State.FINISHED)
                assert (sandbox(folder, SERVICE) / "shared" / "copy").read_text() == "hello"
                bad = container("app", "true", artifacts=(ArtifactTemplate(f"file://{folder}/nope.txt"),))
                driver.launch([SERVICE + 1], pod(bad))
                assert (await driver.reaches(SERVICE + 1, State.FAILED))[2] == Reason.ARTIFACT_FAILED
                assert "nope.txt" in driver.details[SERVICE + 1]["message"]

    run(body())


def test_a_container_that_takes_too_much_memory_is_ended_where_limits_can_be_set() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                assert driver.register is not None
                greedy = f"exec {PYTHON} -S -c 'x = b\"x\" * (200 << 20); import time; time.sleep(2)'"
                driver.launch([SERVICE], pod(container("app", greedy, mem_mib=48)))
                if driver.register.attributes["limits"] == "none":
                    await driver.reaches(SERVICE, State.FINISHED)
                else:
                    assert (await driver.reaches(SERVICE, State.FAILED)) == (State.FAILED, -9, Reason.MEMORY_LIMIT)

    run(body())


def test_a_job_that_takes_too_much_memory_is_ended_when_it_is_seen() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                for row, mem_mib in enumerate((32, 512)):
                    greedy = f"{PYTHON} -S -c 'x = b\"x\" * (100 << 20); import time; time.sleep(4)'"
                    template = job(greedy)
                    limited = replace(template, containers=(replace(template.containers[0], mem_mib=mem_mib),))
                    driver.launch([JOB + row], limited)
                assert (await driver.reaches(JOB, State.FAILED)) == (State.FAILED, -9, Reason.MEMORY_LIMIT)
                assert driver.state(JOB + 1)[0] == State.RUNNING

    run(body())


# ---- deaths ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def supervisor(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A supervisor as a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.node.supervisor", str(folder)]
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        assert any(line == "ready\n" for line in iter(process.stdout.readline, ""))
        yield process
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


async def _connected(folder: Path, epoch: int) -> Driver:
    driver = Driver(epoch=epoch)
    await driver.connect(folder / "node.sock")
    return driver


def test_a_killed_supervisor_loses_no_service_and_no_exit_code_and_its_jobs_are_lost() -> None:
    async def body() -> None:
        with short_folder() as folder:
            with supervisor(folder) as first:
                driver = await _connected(folder, 1)
                driver.launch([SERVICE], pod(container("app", "echo on; exec sleep 100")))
                driver.launch(
                    [SERVICE + 1], pod(container("app", f"while [ ! -e {folder}/go ]; do sleep 0.01; done; exit 6"))
                )
                driver.launch([JOB], job("sleep 100 & exec sleep 100"))
                for one in (SERVICE, SERVICE + 1, JOB):
                    await driver.reaches(one, State.RUNNING)
                driver.acknowledges = False
                driver.launch([JOB + 1], job("exit 3"))
                await driver.reaches(JOB + 1, State.FAILED)
                before = pids_of_instance(SERVICE)
                first.send_signal(signal.SIGKILL)
                first.wait(10)
                await driver.close()
            (folder / "go").touch()
            record = folder / "node" / "a1" / "stubs" / f"{SERVICE + 1}-1" / "app" / "exit"
            await until("the exit record", record.exists)
            with supervisor(folder):
                driver = await _connected(folder, 2)
                assert await driver.reaches(SERVICE + 1, State.FAILED) == (State.FAILED, 6, Reason.EXITED)
                assert await driver.reaches(JOB, State.LOST) == (State.LOST, NO_EXIT_CODE, Reason.SUPERVISOR_LOST)
                assert driver.state(JOB + 1) == (State.FAILED, 3, Reason.EXITED)
                await driver.reaches(SERVICE, State.RUNNING)
                assert pids_of_instance(SERVICE) == before != []
                await until("no process of jobs", lambda: not pids_of_instance(JOB))
                driver.stop([SERVICE])
                await driver.reaches(SERVICE, State.KILLED)
                await driver.close()
            assert not pids_of(folder)

    run(body())


def test_a_stub_that_is_killed_is_lost_never_finished_and_its_processes_go() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([SERVICE], pod(container("app", "exec sleep 100")))
                await driver.reaches(SERVICE, State.RUNNING)
                record = folder / "node" / "a1" / "stubs" / f"{SERVICE}-1" / "app" / "pid"
                os.kill(int(record.read_text().split()[2]), signal.SIGKILL)
                assert await driver.reaches(SERVICE, State.LOST) == (State.LOST, NO_EXIT_CODE, Reason.NO_EXIT_RECORD)
                await until("no process", lambda: not pids_of(folder))

    run(body())


def test_a_supervisor_that_stops_ends_its_pods_and_says_so_at_its_next_start() -> None:
    async def body() -> None:
        with short_folder() as folder:
            with supervisor(folder):
                driver = await _connected(folder, 1)
                driver.launch([SERVICE], pod(container("app", "exec sleep 100"), container("b", "exec sleep 100")))
                driver.launch([JOB], job("exec sleep 100"))
                await driver.reaches(SERVICE, State.RUNNING)
                await driver.reaches(JOB, State.RUNNING)
                await driver.close()
            assert not pids_of(folder) and not (folder / "node.sock").exists()
            with supervisor(folder):
                driver = await _connected(folder, 2)
                assert driver.state(SERVICE)[::2] == (State.KILLED, Reason.SHUTDOWN)
                assert driver.state(JOB)[::2] == (State.KILLED, Reason.SHUTDOWN)
                await driver.close()

    run(body())


def test_the_line_may_break_and_nothing_is_told_twice_or_not_at_all() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder, agents=2)) as (_, driver):
                driver.launch([JOB], job("sleep 0.2; exit 9"))
                await driver.reaches(JOB, State.RUNNING)
                await driver.close()
                await until("the end of the job", lambda: not pids_of(folder))
                await driver.connect(folder / "node.sock")
                assert (await driver.reaches(JOB, State.FAILED))[1] == 9
                other = Driver("a2")
                await other.connect(folder / "node.sock")
                assert other.image is not None and len(other.image.ids) == 0
                await other.close()

    run(body())


def test_an_event_that_the_machine_cannot_handle_changes_nothing_and_services_run_on() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder)) as (_, driver):
                driver.launch([SERVICE], pod(container("app", "exec sleep 100")))
                await driver.reaches(SERVICE, State.RUNNING)
                before, session = pids_of_instance(SERVICE), driver.session
                broken = replace(job("true"), containers=())
                driver.launch([JOB], broken)
                await until("a new session", lambda: driver.session > session)
                assert (JOB, 1) not in driver.states
                driver.launch([JOB], job("exit 4"))
                assert (await driver.reaches(JOB, State.FAILED))[1] == 4
                assert pids_of_instance(SERVICE) == before != []
                driver.stop([SERVICE])
                await driver.reaches(SERVICE, State.KILLED)

    run(body())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_under_root_each_group_has_a_user_of_its_own_and_cannot_read_another_s_sandbox() -> None:
    async def body() -> None:
        with short_folder() as folder:
            async with running(plan(folder, tenancy="groups")) as (_, driver):
                driver.launch([JOB], job("umask 077; id -u; echo secret > mine"))
                await driver.reaches(JOB, State.FINISHED)
                other = replace(job(f"cat {sandbox(folder, JOB)}/mine; ls {folder}/node; id -u"), group="/other")
                driver.launch([JOB + 1], other)
                driver.launch([JOB + 2], replace(job("id -u; id -un"), user="nobody"))
                app = replace(pod(container("app", "id -u; touch shared/x here; exec sleep 100")), group="/other")
                driver.launch([SERVICE], app)
                await driver.reaches(JOB + 1, State.FINISHED)
                await driver.reaches(JOB + 2, State.FINISHED)
                await driver.reaches(SERVICE, State.RUNNING)
                reader = Reader(Folders(folder / "node" / "a1"))
                texts = [reader.output(JOB + row, 1, "stdout", 100) for row in range(3)]
                uids = [int((text or b"").split()[0]) for text in texts]
                assert 200_000 <= uids[0] < 300_000 and 200_000 <= uids[1] < 300_000 and uids[0] != uids[1]
                assert uids[2] == 65534 and (texts[2] or b"").split()[1] == b"nobody"
                assert b"Permission denied" in (reader.output(JOB + 1, 1, "stderr", 1000) or b"")
                made = sandbox(folder, SERVICE, "app") / "here"
                await until("the file", made.exists)
                assert made.stat().st_uid == uids[1]

    run(body())
