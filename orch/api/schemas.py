"""The bodies of replies, for the OpenAPI document. Replies are built by hand; a test holds them against these."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Base of them all. More members may come with later versions."""

    model_config = ConfigDict(extra="allow")


class FieldErrors(Shape):
    """What is wrong with one field."""

    path: str = Field(examples=["/containers(0)/resources/mem"])
    errors: list[str]


class Problem(Shape):
    """Any refusal: RFC 9457, with Marathon's `message` and `details`."""

    type: str = Field(examples=["urn:orch:error:not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no job 9: it was never submitted, or has been forgotten since it finished"])
    message: str
    details: list[FieldErrors] = []
    why: Why | None = None


class RuledOut(Shape):
    """Agents that one predicate rules out; each agent is counted once, at the first that it fails."""

    predicate: str = Field(examples=["cpus"])
    agents: int


class Nearest(Shape):
    """The agent that came nearest, and what it lacks most."""

    agent: str
    resource: str
    asked: float | None = None
    free: float | None = None


class Change(Shape):
    """One change that would let it fit on an agent: so much less of a resource, or without this predicate."""

    predicate: str = Field(examples=["mem"])
    agent: str
    less: float | None = None


class Why(Shape):
    """Why something is not running, as data and as a sentence."""

    id: str | int
    agents: int = Field(examples=[2])
    feasible: int = Field(examples=[0])
    ruled_out: list[RuledOut]
    nearest: Nearest | None
    never: bool
    change: Change | None = Field(None, description="The smallest one change that would let it fit, if there is one.")
    sentence: str = Field(examples=["2 agents: 2 have too few cpus (asked 1000, most on one agent: 1)"])
    waiting: str | None = Field(None, description="What it waits for, null when nothing of it waits.")


class Amounts(Shape):
    """CPUs, MiB of memory and disk, GPUs, ports."""

    cpus: float = Field(examples=[0.1])
    mem: float = Field(examples=[64])
    disk: float
    gpus: float
    ports: int


class Endpoint(Shape):
    """A port that a running container got."""

    container: str
    name: str
    port: int


class InstanceShape(Shape):
    """One copy of a pod: of a service or of a job."""

    id: str = Field(examples=["demo_web.3"])
    name: str
    number: int = Field(description="The int64 id.", examples=[17592186044419])
    kind: str = Field(examples=["instance"])
    path: str = Field(examples=["/demo/web"])
    state: str = Field(examples=["RUNNING"])
    attempt: int
    agent: str | None
    host: str | None
    exit_code: int | None
    reason: str
    note: str | None
    since_ms: int | None
    started_ms: int | None
    ended_ms: int | None


class ServiceShape(Shape):
    """A service: what is wanted and what is."""

    id: str = Field(examples=["/demo/web"])
    kind: str = Field(examples=["pod"])
    version: int
    instances: int = Field(description="How many are wanted.")
    running: int
    ready: int = Field(description="Running the newest version, and healthy if they have checks.")
    states: dict[str, int] = Field(examples=[{"RUNNING": 3}])
    since_ms: int | None
    note: str | None


class JobShape(Shape):
    """A job, and how many of its pods are in which state."""

    id: int = Field(examples=[7])
    job: int = Field(examples=[7])
    kind: str = Field(examples=["job"])
    path: str = Field(examples=["/demo/digest"])
    count: int
    first_id: int
    states: dict[str, int] = Field(examples=[{"RUNNING": 2, "FINISHED": 598}])
    done: bool
    stopped: bool
    since_ms: int
    note: str | None


class Submitted(Shape):
    """A job was taken. `why` is there when no agent could ever hold its pods."""

    job: int
    path: str
    count: int
    first_id: int
    why: Why | None = None


class AgentShape(Shape):
    """What runs pods on one machine."""

    name: str = Field(examples=["a1"])
    state: str = Field(examples=["READY"])
    total: Amounts
    free: Amounts
    instances: int
    attributes: dict[str, str]
    usage: dict[str, float] = {}


class WaitedService(Shape):
    """The end of a blocking read: whether it is so, and what is."""

    done: bool
    status: ServiceShape


class WaitedJob(Shape):
    """The end of a blocking read: whether it is so, and what is."""

    done: bool
    status: JobShape


class WaitedInstance(Shape):
    """The end of a blocking read: whether it is so, and what is."""

    done: bool
    instance: InstanceShape


class Services(Shape):
    """Services by path."""

    items: list[ServiceShape]
    next: str | None = None


class Jobs(Shape):
    """Jobs, oldest first; `next` is the offset of the next page."""

    items: list[JobShape]
    next: int | None = None


class Agents(Shape):
    """Agents by name; `next` is the offset of the next page."""

    items: list[AgentShape]
    next: int | None = None


class Instances(Shape):
    """Instances; `next` is the offset of the next page."""

    items: list[InstanceShape]
    next: int | None = None


class Info(Shape):
    """What the cluster is, and how many of everything there are."""

    cluster: str
    version: str
    index: int
    epoch: int
    agents: dict[str, int]
    instances: dict[str, int]
    services: int
    jobs: int
    resources: dict[str, Amounts]
    warnings: list[str] = []


class Reached(Shape):
    """Where one instance is reached at one of its endpoints."""

    service: str = Field(examples=["/demo/web"])
    instance: str = Field(examples=["demo_web.3"])
    host: str | None
    port: int
    name: str | None
    protocols: list[str]
    vips: list[str] = Field(examples=[["/web:80"]])
    healthy: bool | None
    ready: bool


class Endpoints(Shape):
    """Endpoints of running instances."""

    items: list[Reached]


class Message(Shape):
    """A word on what was done."""

    message: str


class Found(Shape):
    """What an id is."""

    kind: str = Field(examples=["service"])
    id: str | int


class Deployment(Shape):
    """Marathon's answer to a change of an app."""

    version: str
    deploymentId: str  # noqa: N815  the wire's name


Problem.model_rebuild()


def problem_components() -> dict[str, Any]:
    """`Problem` and what it refers to, for `components/schemas`."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: dict[str, Any] = schema.pop("$defs")
    return {**parts, "Problem": schema}
