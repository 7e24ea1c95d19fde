"""Why an instance ended or waits, as numbers that programs read and sentences that people read.

`Reason` goes into uint8 columns beside the state. Refusals by the placement (which agents were ruled out by what) are
richer and live in `orch.placement`.
"""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why an instance is in its state; a uint8 in columns."""

    NONE = 0
    EXITED = 1
    SIGNALED = 2
    COMMAND_NOT_FOUND = 3
    COMMAND_NOT_EXECUTABLE = 4
    SPAWN_FAILED = 5
    HEALTH_CHECK = 6
    PORT_TAKEN = 7
    MEMORY_LIMIT = 8
    DISK_FULL = 9
    STOPPED_BY_USER = 10
    SCALED_DOWN = 11
    REPLACED = 12
    SIBLING_FAILED = 13
    AGENT_LOST = 14
    SUPERVISOR_LOST = 15
    NO_EXIT_RECORD = 16
    NOT_SUPPORTED = 17
    TIMEOUT = 18
    SHUTDOWN = 19
    USER_UNKNOWN = 20
    ARTIFACT_FAILED = 21
    UNKNOWN_TO_MASTER = 22
    CONFLICT = 23
    INTERNAL = 24
    CRASHED = 25
    PREEMPTED = 26


SENTENCES: dict[Reason, str] = {
    Reason.NONE: "",
    Reason.EXITED: "the command exited by itself",
    Reason.SIGNALED: "the command was ended by a signal",
    Reason.COMMAND_NOT_FOUND: "the command was not found; check its path, or install it on the agents",
    Reason.COMMAND_NOT_EXECUTABLE: (
        "the command may not be executed; check its mode and format, and whether the pod's user may enter its folder"
    ),
    Reason.SPAWN_FAILED: "the process could not be started",
    Reason.HEALTH_CHECK: "its health check failed too many times in a row",
    Reason.PORT_TAKEN: "a port it was given is in use by another process",
    Reason.MEMORY_LIMIT: "it used more memory than it asked for; ask for more",
    Reason.DISK_FULL: "its sandbox has no space left; ask for more disk, or free some on the agent",
    Reason.STOPPED_BY_USER: "a user stopped it",
    Reason.SCALED_DOWN: "the service was scaled down",
    Reason.REPLACED: "another instance took its place",
    Reason.SIBLING_FAILED: "another container of the same instance failed",
    Reason.AGENT_LOST: "its agent was not heard of for too long",
    Reason.SUPERVISOR_LOST: "the node supervisor that ran it was killed",
    Reason.NO_EXIT_RECORD: "its process is gone and left no exit record",
    Reason.NOT_SUPPORTED: "it asks for something that this agent cannot do",
    Reason.TIMEOUT: "it ran longer than it may",
    Reason.SHUTDOWN: "the cluster was shut down",
    Reason.USER_UNKNOWN: "the user it is to run as does not exist on the agent",
    Reason.ARTIFACT_FAILED: "one of its inputs could not be fetched",
    Reason.UNKNOWN_TO_MASTER: "the master does not know it (any more)",
    Reason.CONFLICT: "the resources it was to use were taken meanwhile",
    Reason.INTERNAL: "orch made a mistake; see the story of the instance",
    Reason.CRASHED: "the command crashed",
    Reason.PREEMPTED: "a pod of a higher priority took its place",
}
"""One sentence a reason, without the particulars (exit code, signal), which other columns hold."""

NO_EXIT_CODE = -32768
"""In an int16 column of exit codes: there is none. 0..255 is an exit code, -n the signal n."""
