"""Parts of the wire format that pods and apps share, as pydantic models with Marathon's names and defaults.

A model says what one field may hold. What fields say about each other is in the rules.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from orch.model.specs import limits
from orch.model.specs.messages import shown

NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
READY_NAME = re.compile(r"^[a-z][-a-z0-9]*$")
EXECUTOR = re.compile(r"^(//cmd)?$|^/?[^/]+(/[^/]+)*$")


class Wire(BaseModel):
    """Base of the wire's objects: camelCase names, no conversions between kinds, unknown fields kept aside."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, alias_generator=to_camel, allow_inf_nan=False)


def refuse(message: str) -> PydanticCustomError:
    """An error that pydantic hands through as it is."""
    return PydanticCustomError("orch", "{message}", {"message": message})


def one_of(*allowed: str) -> AfterValidator:
    """A string of these; capitals do not matter on this wire, and stay as they were written."""

    def check(value: str) -> str:
        if value.upper() not in {choice.upper() for choice in allowed}:
            raise refuse(f"is {value!r}; it must be one of {', '.join(allowed)}")
        return value

    return AfterValidator(check)


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        lowered = value.lower().replace("_", "-").replace(" ", "-").strip("-.")
        hint = f". Did you mean {lowered!r}?" if NAME.fullmatch(lowered) else ""
        raise refuse(
            f"{value[:80]!r} is no name: lower-case letters, digits and dashes, beginning and ending with a letter "
            f"or digit{hint}"
        )
    return value


def _port_name(value: str) -> str:
    if not READY_NAME.fullmatch(value):
        raise refuse(f"{value[:80]!r} is no port name: lower-case letters, digits and dashes, a letter first")
    return value


def _executor(value: str) -> str:
    if not EXECUTOR.fullmatch(value):
        raise refuse(f"{value[:80]!r} is no executor: //cmd, or a path without empty parts. Leave it out for //cmd")
    return value


def _env_value(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) != ["secret"] or not isinstance(value["secret"], str):
            raise refuse('must be a string, or {"secret": "name"}')
        return value
    if not isinstance(value, str):
        hint = f'; write "{value}"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
        raise refuse(f'must be a string{hint}, or a secret as {{"secret": "name"}}')
    if len(value) > limits.VALUE_CHARS:
        raise refuse(f"has {len(value)} characters; at most {limits.VALUE_CHARS} are allowed")
    if "\0" in value:
        raise refuse("holds a NUL character, which no environment variable can")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise refuse("holds a NUL character, which no command line can")
    return value


def _limit(value: Any) -> Any:
    if isinstance(value, str) and value == "unlimited":
        return value
    if isinstance(value, str):
        raise refuse(f"{value[:80]!r} is an invalid resource limit. It must be 'unlimited' or a number")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value in _INFINITE:
        raise refuse(f"{value!r} is an invalid resource limit. It must be 'unlimited' or a number")
    if value < 0:
        raise refuse(f"got {shown(value)}, expected 0 or more")
    if value > limits.MIB:
        raise refuse(f"got {shown(value)}, expected {limits.MIB} or less, or 'unlimited'")
    return value


_INFINITE = (float("inf"), float("-inf"))

Name = Annotated[str, Field(min_length=1, max_length=limits.NAME_CHARS), AfterValidator(_name)]
LegacyName = Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARS), AfterValidator(_name)]
"""Marathon never bounded the names of an app's ports."""
PortName = Annotated[str, AfterValidator(_port_name)]
PathText = Annotated[str, Field(max_length=limits.PATH_CHARS)]
Text = Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARS)]
FreeText = Annotated[str, Field(max_length=limits.VALUE_CHARS)]
User = Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARS)]
Command = Annotated[str, Field(min_length=1, max_length=limits.COMMAND_CHARS), AfterValidator(_no_nul)]
Argument = Annotated[str, Field(max_length=limits.COMMAND_CHARS), AfterValidator(_no_nul)]
Arguments = Annotated[list[Argument], Field(max_length=limits.ARGUMENTS)]
Cpus = Annotated[float, Field(ge=0, le=limits.CPUS)]
Mib = Annotated[float, Field(ge=0, le=limits.MIB)]
Gpus = Annotated[int, Field(ge=0, le=limits.GPUS)]
VolumeMib = Annotated[int, Field(ge=0, le=limits.MIB)]
Seconds = Annotated[float, Field(ge=0, le=limits.SECONDS)]
Count = Annotated[int, Field(ge=0, le=limits.INSTANCES)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=1000)]
Port = Annotated[int, Field(ge=1, le=limits.PORT)]
AnyPort = Annotated[int, Field(ge=0, le=limits.PORT)]
Limit = Annotated[Any, PlainValidator(_limit, json_schema_input_type=float | str)]
EnvValue = Annotated[Any, PlainValidator(_env_value, json_schema_input_type=str | dict[str, str])]
Executor = Annotated[str, Field(max_length=limits.TEXT_CHARS), AfterValidator(_executor)]
EnvVars = Annotated[dict[str, EnvValue], Field(max_length=limits.PAIRS)]
LabelKey = Annotated[str, Field(max_length=limits.KEY_CHARS)]
Labels = Annotated[dict[LabelKey, FreeText], Field(max_length=limits.PAIRS)]
Scheme = Annotated[str, one_of("HTTP", "HTTPS")]
KillSelection = Annotated[str, one_of("YOUNGEST_FIRST", "OLDEST_FIRST")]
Protocol = Annotated[str, one_of("tcp", "udp", "udp,tcp", "tcp,udp")]
Policy = Annotated[str, one_of("best-fit", "first-fit", "spread")]
"""How agents are chosen; see `orch.placement.POLICIES`."""
Priority = Annotated[int, Field(ge=-limits.PRIORITY, le=limits.PRIORITY)]


class Secret(Wire):
    """Where the value of a secret comes from."""

    source: Annotated[str, Field(min_length=1, max_length=limits.TEXT_CHARS)]


Secrets = Annotated[dict[Annotated[str, Field(min_length=1, max_length=limits.KEY_CHARS)], Secret],
                    Field(max_length=limits.PAIRS)]  # fmt: skip


class Artifact(Wire):
    """A file fetched into the sandbox before the start."""

    uri: Text
    extract: bool = True
    executable: bool = False
    cache: bool = False
    dest_path: Text | None = None


class Network(Wire):
    """A network that the whole pod joins."""

    name: Name | None = None
    mode: Annotated[str, one_of("host", "container", "container/bridge")] = "container"
    labels: Labels = Field(default_factory=dict)


class ResourceLimits(Wire):
    """What a container may use beyond what it reserves: a number or "unlimited"."""

    cpus: Limit | None = None
    mem: Limit | None = None


class UnreachableEnabled(Wire):
    """When an instance whose agent is unreachable is replaced, and when it is given up, in seconds."""

    inactive_after_seconds: Seconds = 0
    expunge_after_seconds: Seconds = 0


def _unreachable_kind(value: Any) -> str:
    return "<object>" if isinstance(value, dict | UnreachableEnabled) else "<text>"


Unreachable = Annotated[
    Annotated[UnreachableEnabled, Tag("<object>")] | Annotated[str, one_of("disabled"), Tag("<text>")],
    Discriminator(_unreachable_kind),
]


class Tty(Wire):
    """The size of a terminal attached to the container's process."""

    rows: Annotated[int, Field(ge=1, le=10_000)] = 25
    columns: Annotated[int, Field(ge=1, le=10_000)] = 80


class Seccomp(Wire):
    """The filter of system calls."""

    profile_name: Text | None = None
    unconfined: bool = False


class IpcInfo(Wire):
    """Shared memory: of its own, or the pod's."""

    mode: Annotated[str, one_of("PRIVATE", "SHARE_PARENT")]
    shm_size: Annotated[int, Field(ge=0, le=limits.MIB)] | None = None


class LinuxInfo(Wire):
    """What only Linux has."""

    seccomp: Seccomp | None = None
    ipc_info: IpcInfo | None = None


class PullConfig(Wire):
    """The secret that opens a private image registry."""

    secret: Text


class MesosCommand(Wire):
    """A shell line or an argument vector; exactly one of them."""

    shell: Command | None = None
    argv: Annotated[list[Argument], Field(min_length=1, max_length=limits.ARGUMENTS)] | None = None


class CommandCheck(Wire):
    """A check by a command: exit code 0 is well."""

    command: MesosCommand


class Constraint(Wire):
    """A placement rule over an attribute of agents."""

    field_name: Annotated[str, Field(max_length=limits.TEXT_CHARS)]
    operator: Annotated[str, one_of("UNIQUE", "CLUSTER", "GROUP_BY", "LIKE", "UNLIKE", "MAX_PER", "IS")]
    value: Annotated[str, Field(max_length=limits.TEXT_CHARS)] | None = None


class Affinity(Wire):
    """Near or apart from the pods of jobs at a path, or of a service; without `to`: from its own.

    on: two agents are near where they have one value of this attribute. required: else agents that match only come
    first.
    """

    to: PathText | None = None
    on: Text = "@hostname"
    operator: Annotated[str, one_of("near", "apart")]
    required: bool = True


Triple = Annotated[list[Annotated[str, Field(max_length=limits.TEXT_CHARS)]], Field(min_length=2, max_length=3)]
"""Attribute, operator and perhaps a value."""
Triples = Annotated[list[Triple], Field(max_length=limits.CONSTRAINTS)]
Affinities = Annotated[list[Affinity], Field(max_length=limits.AFFINITY)]

VolumeConstraint = Annotated[list[Text], Field(min_length=2, max_length=3)]


class PersistentVolume(Wire):
    """Disk that outlives its instance, in MiB."""

    type: Annotated[str, one_of("root", "path", "mount")] = "root"
    size: VolumeMib
    max_size: VolumeMib | None = None
    profile_name: Text | None = None
    constraints: Annotated[list[VolumeConstraint], Field(max_length=limits.CONSTRAINTS)] = Field(default_factory=list)
