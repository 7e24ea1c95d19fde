"""Jobs: work that ends. Made from the arguments of `submit`, not from a wire format of Marathon's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from orch.model.ids import top_group
from orch.model.specs import limits, paths
from orch.model.specs.compile_app import MAIN
from orch.model.specs.compile_pod import GRACE_SECONDS, container_row, pairs, plain_env, secret_env
from orch.model.specs.numbers import milli, milli_up, request, whole_up
from orch.model.specs.problems import Problems
from orch.model.specs.raw import Body, child, take, text
from orch.model.specs.rules import check_env
from orch.model.specs.rules_placing import affinities, check_triples, triples
from orch.model.specs.settings import DEFAULT, Settings
from orch.model.specs.shape import check_shape, made
from orch.model.specs.template import ContainerTemplate, Template
from orch.model.specs.wire import (
    Affinities,
    Argument,
    Command,
    Cpus,
    EnvVars,
    Gpus,
    Labels,
    Mib,
    PathText,
    Policy,
    Priority,
    Seconds,
    Triples,
    User,
    Wire,
)


class JobSpec(Wire):
    """A job as `/v2/jobs` has it. Made by `parse_job`. retries: launches after the first one. timeout: seconds."""

    id: PathText
    cmd: Command | None = None
    argv: Annotated[list[Argument], Field(min_length=1, max_length=limits.ARGUMENTS)] | None = None
    env: EnvVars = Field(default_factory=dict)
    cpus: Cpus = 1.0
    mem: Mib = 128.0
    disk: Mib = 0.0
    gpus: Gpus = 0
    user: User | None = None
    retries: Annotated[int, Field(ge=0, le=limits.ATTEMPTS - 1)] = 0
    priority: Priority = 0
    policy: Policy | None = None
    gang: Annotated[int, Field(ge=1, le=limits.GANG)] = 1
    constraints: Triples = Field(default_factory=list)
    preferences: Triples = Field(default_factory=list)
    affinity: Affinities = Field(default_factory=list)
    labels: Labels = Field(default_factory=dict)
    timeout_seconds: Seconds | None = None
    grace_seconds: Seconds | None = None
    instances: Annotated[int, Field(ge=1, le=100_000_000)] = 1


def parse_job(body: object, settings: Settings = DEFAULT) -> JobSpec:
    """A checked job from `{id, cmd | argv, env, cpus, mem, disk, gpus, user, retries, priority, policy, gang, labels,
    constraints, preferences, affinity, timeoutSeconds, graceSeconds, instances}`; cpus are CPUs, mem and disk MiB.

    Raises SpecError with all that is wrong.
    """
    raw: Body = take(body, "job")
    problems = Problems()
    check_shape(JobSpec, raw, problems, strict=True)
    identity = text(raw, "id")
    if identity is not None:
        plain = not any(part in (".", "..") for part in identity.split("/"))
        raw["id"] = paths.absolute(identity, settings.base) if plain else identity
        for fault in paths.faults(raw["id"]):
            problems.add("/id", fault)
    if ("cmd" in raw) == ("argv" in raw):
        problems.add("/", "a job runs either cmd (a line for the shell) or argv (a list): give exactly one")
    if isinstance(raw.get("argv"), list) and raw["argv"][:1] == [""]:
        problems.add("/argv(0)", "must not be empty: it is the program to run")
    check_env(child(raw, "env"), "/env", problems, strict=True)
    for name, value in child(raw, "env").items():
        if isinstance(value, dict):
            problems.add(f"/env/{name}", "a job can't use secrets yet: give the value as text")
    instances, gang = raw.get("instances", 1), raw.get("gang", 1)
    if isinstance(instances, int) and isinstance(gang, int) and gang > 1 and instances % gang:
        problems.add("/gang", f"{instances} instances can't be split into gangs of {gang}: choose a divisor")
    check_triples(raw, problems)
    called = f'job "{identity[:80]}"' if identity else "the job"
    problems.raise_if_any(called)
    spec = made(JobSpec, raw, problems, called)
    check_columns(compile_job(spec), "job")
    return spec


def compile_job(spec: JobSpec) -> Template:
    """The normal form of a checked job."""
    argv: Sequence[str] = spec.argv or ()
    grace = spec.grace_seconds
    container = ContainerTemplate(
        name=MAIN,
        shell=spec.cmd or "",
        argv=tuple(argv),
        env=plain_env(spec.env),
        secret_env=secret_env(spec.env, {}),
        cpus_milli=milli_up(spec.cpus),
        mem_mib=whole_up(spec.mem),
        disk_mib=whole_up(spec.disk),
        gpus_milli=spec.gpus * 1000,
        grace_ms=milli(GRACE_SECONDS if grace is None else grace),
    )
    return Template(
        path=spec.id,
        kind="job",
        containers=(container,),
        group=top_group(spec.id),
        request=request([container_row(container)]),
        instances=spec.instances,
        user=spec.user or "",
        role=top_group(spec.id).strip("/"),
        labels=pairs(spec.labels),
        constraints=triples(spec.constraints),
        preferences=triples(spec.preferences),
        affinity=affinities(spec.affinity),
        priority=spec.priority,
        policy=spec.policy or "",
        gang=spec.gang,
        max_attempts=spec.retries + 1,
        timeout_ms=milli(spec.timeout_seconds or 0),
    )


def check_columns(template: Template, what: str) -> None:
    """Raise SpecError where a sum of the containers does not fit a resource column (int32)."""
    problems = Problems()
    for name, amount in zip(("cpus", "mem", "disk", "gpus", "ports"), template.request, strict=True):
        if amount > limits.COLUMN:
            problems.add("/", f"all containers together ask for too much {name}: {amount} is above {limits.COLUMN}")
    problems.raise_if_any(f'{what} "{template.path}"')
