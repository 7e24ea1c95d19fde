"""Commands that change what runs: validate, run, submit, scale, stop."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from orch.cli.common import DEFAULT, Common, Output
from orch.cli.output import counts, say, show_one
from orch.model.errors import TimeoutExceededError, UsageError
from orch.model.words import number_of

if TYPE_CHECKING:
    from orch.client.job import Job

_MAX_SPEC_BYTES = 4 << 20

Policy = Literal["best-fit", "first-fit", "spread"]
SpecFile = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A path, or - for standard input."""


def validate(file: SpecFile, *, output: Output = "table") -> None:
    """Check a pod or app without a cluster; says every mistake with its place.

    For example:
      orch validate web.yaml
      generate-spec | orch validate -

    Parameters
    ----------
    file
        A Marathon pod or app in JSON or YAML; - reads standard input.
    """
    from orch.model.specs import parse

    spec = parse(_body(file))
    thing = {"id": spec.id, "kind": "pod" if hasattr(spec, "containers") else "app", "valid": True}
    show_one(thing, output, f"{thing['kind']} {thing['id']} is valid")


def run(
    file: SpecFile,
    *,
    instances: int | None = None,
    wait: bool = False,
    timeout: float = 300.0,
    now: bool = False,
    replace: bool = False,
    common: Common = DEFAULT,
) -> None:
    """Keep the pod or app of a file running.

    For example:
      orch run web.yaml
      orch run web.json --instances 3 --wait
      orch run web.json --replace         change a service that runs already

    Parameters
    ----------
    file
        A Marathon pod or app in JSON or YAML; - reads standard input.
    instances
        Copies to keep, whatever the file says.
    wait
        Return when all of them are running (and healthy, if they have checks).
    timeout
        Seconds to wait.
    now
        Refuse it if it cannot be placed now.
    replace
        Change the service of that id, if there is one.
    """
    from orch.model.specs import parse

    body = _body(file)
    parse(body)
    with common.connect() as cluster:
        service = cluster.run(body, instances=instances, now=now, replace=replace)
        if wait:
            with _goes_on(f"{service.path} is kept running; orch stop {service.path} ends it"):
                service.wait(timeout=timeout)
        thing = service.status()
    show_one(thing, common.output, f"service {thing['id']}: {_progress(thing)}")


def submit(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    n: Annotated[int, Parameter(name=["-n", "--count"])] = 1,
    name: str = "/jobs/run",
    cpus: float = 0.1,
    mem: float = 32,
    disk: float = 0,
    gpus: int = 0,
    env: Annotated[list[str] | None, Parameter(name=["--env", "-e"], negative="")] = None,
    attempts: int = 1,
    gang: int = 0,
    priority: int = 0,
    policy: Policy | None = None,
    constraint: Annotated[list[str] | None, Parameter(negative="")] = None,
    prefer: Annotated[list[str] | None, Parameter(negative="")] = None,
    affinity: Annotated[list[str] | None, Parameter(negative="")] = None,
    timeout: float = 0,
    user: str | None = None,
    wait: bool = False,
    wait_timeout: float | None = None,
    now: bool = False,
    key: str | None = None,
    common: Common = DEFAULT,
) -> int:
    """Run a command once, or many times; each pod finds its number in ORCH_INDEX.

    One word after `--` goes to the shell, several are run as they are.

    For example:
      orch submit -- 'echo hello from $ORCH_INDEX'
      orch submit -n 10000 --cpus 0.1 --wait -- ./render frame.blend
      orch submit --name /team/train --gang 8 -n 8 --gpus 1 -- python3 train.py

    Parameters
    ----------
    command
        The command, after `--`.
    n
        How many pods.
    name
        The job's path.
    cpus
        CPUs of each pod.
    mem
        MiB of memory of each pod.
    disk
        MiB of disk of each pod: counted when a place is chosen, not enforced while it runs.
    gpus
        GPUs of each pod.
    env
        NAME=VALUE for the pods' environment; may be repeated.
    attempts
        Launches a pod gets before its failure stands.
    gang
        Start pods in blocks of this many, all or none.
    priority
        Higher goes first.
    policy
        How agents are chosen: the fullest that has room, the first, or the emptiest; without it as the cluster does.
    constraint
        ATTRIBUTE:OPERATOR or ATTRIBUTE:OPERATOR:VALUE, with UNIQUE, MAX_PER, GROUP_BY, CLUSTER, LIKE, UNLIKE or IS; may
        be repeated, as in: --constraint hostname:UNIQUE --constraint '@zone:LIKE:eu-.*'
    prefer
        The same with LIKE, UNLIKE or IS: agents that match come first, others when those are full.
    affinity
        near:ATTRIBUTE or apart:ATTRIBUTE, from its own pods, or near:ATTRIBUTE:PATH, from those of another job; with
        prefer-near or prefer-apart agents that match only come first.
    timeout
        Seconds that one attempt may run; 0 for no limit.
    user
        The user to run as (administrators).
    wait
        Show progress and return when all have ended; exit 1 if any failed.
    wait_timeout
        Seconds to wait at most; then exit 7, and the job goes on.
    now
        Refuse the job if nothing of it can be placed now.
    key
        Submitting the same again with the same key does nothing new; something else is a conflict.
    """
    if not command:
        raise UsageError("no command; write it after --, as in: orch submit -n 10 -- echo hello")
    what: dict[str, Any] = {"cmd": command[0]} if len(command) == 1 else {"argv": list(command)}
    pairs = _pairs(env or [])
    with common.connect() as cluster:
        job = cluster.submit(
            name, count=n, cpus=cpus, mem=mem, disk=disk, gpus=gpus, env=pairs, attempts=attempts,
            gang=gang, priority=priority, policy=policy, constraints=_triples("--constraint", constraint),
            preferences=_triples("--prefer", prefer), affinity=_affinity(affinity), timeout=timeout or None, user=user,
            key=key, now=now, **what,
        )  # fmt: skip
        _say_if_never(job)
        if wait:
            say(f"job {job.number} {name}: {number_of(n, 'pod')}")
            with _goes_on(f"job {job.number} goes on; orch stop {job.number} ends it"):
                job.wait(timeout=wait_timeout, progress=sys.stderr.isatty())
        thing = job.status()
    show_one(thing, common.output, f"job {thing['job']} {thing['path']}: {counts(thing['states'])}", name="job")
    failed = thing["count"] - thing["states"].get("FINISHED", 0)
    return 1 if wait and failed else 0


def scale(id: str, instances: int, *, wait: bool = False, timeout: float = 300.0, common: Common = DEFAULT) -> None:
    """Keep another number of copies of a service.

    For example: orch scale /demo/web 5 --wait

    Parameters
    ----------
    id
        The service's path.
    instances
        Copies to keep.
    wait
        Return when they run.
    timeout
        Seconds to wait.
    """
    with common.connect() as cluster:
        service = cluster.service(id)
        service.scale(instances)
        if wait:
            with _goes_on(f"{id} is still to have {instances} instances; orch scale {id} N changes that"):
                service.wait(timeout=timeout)
        thing = service.status()
    show_one(thing, common.output, f"service {thing['id']}: {_progress(thing)}")


def stop(id: str, *, wait: bool = True, timeout: float = 60.0, common: Common = DEFAULT) -> None:
    """Stop a service, a job, or one instance (of a service: another takes its place).

    For example:
      orch stop /demo/web
      orch stop 7                 job 7
      orch stop demo_web.3        one instance
      orch stop digest.j7.12      one pod of a job: it gets no further attempt

    Parameters
    ----------
    id
        A service's path, a job's number or path, or an instance's name.
    wait
        Return when it is gone.
    timeout
        Seconds to wait.
    """
    with common.connect() as cluster:
        thing = cluster.stop(id, wait=wait, timeout=timeout)
    show_one(thing, common.output, f"{thing.get('kind', 'it')} {id} is stopped" if wait else f"{id} is being stopped")


@contextlib.contextmanager
def _goes_on(what: str) -> Iterator[None]:
    """Who stops waiting, by Ctrl-C or after the time, is told what does not stop."""
    try:
        yield
    except (KeyboardInterrupt, TimeoutExceededError):
        say(what)
        raise


def _say_if_never(job: Job) -> None:
    """What no agent could ever hold is said at once, whether somebody waits for it or not."""
    why = job.why()
    if why.never:
        say(f"job {job.number} cannot start: {why.sentence}")


def _progress(thing: dict[str, Any]) -> str:
    return f"{thing.get('running', 0)} of {thing.get('instances', 0)} running"


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--env {text!r} is not NAME=VALUE; write, for example, --env LEVEL=3")
        pairs[key] = value
    return pairs


def _triples(option: str, texts: list[str] | None) -> list[list[str]] | None:
    """ATTRIBUTE:OPERATOR[:VALUE]; a value may hold colons."""
    for text in texts or []:
        if ":" not in text:
            raise UsageError(
                f"{option} {text!r} is not ATTRIBUTE:OPERATOR; write, for example, {option} rack:LIKE:r[12]"
            )
    return [text.split(":", 2) for text in texts] if texts else None


def _affinity(texts: list[str] | None) -> list[dict[str, Any]] | None:
    found = []
    for text in texts or []:
        operator, colon, rest = text.partition(":")
        on, _, to = rest.partition(":")
        if not colon or not on:
            raise UsageError(
                f"--affinity {text!r} is not near:ATTRIBUTE; write, for example, --affinity apart:hostname"
            )
        required = not operator.startswith("prefer-")
        one = {"operator": operator.removeprefix("prefer-"), "on": on, "required": required}
        found.append({**one, "to": to} if to else one)
    return found or None


def _body(file: str) -> dict[str, Any]:
    from orch.model.specs import load_text

    try:
        data = sys.stdin.buffer.read(_MAX_SPEC_BYTES + 1) if file == "-" else _read(Path(file))
        return load_text(data.decode())
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text; a spec is JSON or YAML") from None


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MAX_SPEC_BYTES + 1)


COMMANDS = (validate, run, submit, scale, stop)
