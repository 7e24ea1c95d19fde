"""From what the system said to a state, a reason and a sentence: why a process did not start, or how it ended."""

from __future__ import annotations

import errno
import os
import signal
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from orch.model.reasons import Reason
from orch.model.states import State


class Stage(IntEnum):
    """The step of a launch that failed; the numbers of `orch_stage` in _child.h."""

    NONE = 0
    SANDBOX = 1
    PIPE = 2
    FORK = 3
    CHDIR = 4
    CGROUP = 5
    LIMIT = 6
    USER = 7
    EXEC = 8
    WATCH = 9


_STEPS = {
    Stage.SANDBOX: "its sandbox could not be made",
    Stage.PIPE: "its log pipes could not be made",
    Stage.FORK: "no process could be made",
    Stage.CHDIR: "its sandbox could not be entered",
    Stage.CGROUP: "its cgroup could not be entered",
    Stage.LIMIT: "its limits could not be set",
    Stage.USER: "its user could not be taken",
    Stage.EXEC: "the command could not be executed",
    Stage.WATCH: "its process could not be watched",
}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_EXEC = {
    errno.ENOENT: Reason.COMMAND_NOT_FOUND,
    errno.ENOTDIR: Reason.COMMAND_NOT_FOUND,
    errno.EACCES: Reason.COMMAND_NOT_EXECUTABLE,
    errno.ENOEXEC: Reason.COMMAND_NOT_EXECUTABLE,
    errno.EISDIR: Reason.COMMAND_NOT_EXECUTABLE,
    errno.ELIBBAD: Reason.COMMAND_NOT_EXECUTABLE,
}


def not_started(stage: int, error: int) -> tuple[State, Reason]:
    """State and reason of a process that was never there: ERROR where another try would end the same way."""
    if error in _NO_SPACE:
        return State.FAILED, Reason.DISK_FULL
    if stage == Stage.EXEC and error in _EXEC:
        return State.ERROR, _EXEC[error]
    if stage == Stage.USER:
        return State.ERROR, Reason.USER_UNKNOWN
    return State.FAILED, Reason.SPAWN_FAILED


def not_started_sentence(stage: int, error: int, command: str) -> str:
    """The same for people: `the command could not be executed: "nope": No such file or directory`."""
    step = _STEPS.get(Stage(stage), "it could not be started")
    return f"{step}: {command!r}: {os.strerror(error)}"


def ended(code: int) -> tuple[State, Reason]:
    """State and reason of a process that ended by itself with 0..255 or -signal."""
    if code == 0:
        return State.FINISHED, Reason.EXITED
    return State.FAILED, Reason.EXITED if code > 0 else _of_signal(-code)


def ended_sentence(code: int) -> str:
    """`exit code 3`, `ended by SIGSEGV`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _of_signal(number: int) -> Reason:
    return Reason.CRASHED if number in CRASHES else Reason.SIGNALED


CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS)


def ended_columns(codes: NDArray[np.int16]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(states uint8[k], reasons uint8[k]) of exit codes int16[k]: `ended`, for columns."""
    states = np.where(codes == 0, State.FINISHED, State.FAILED).astype(np.uint8)
    reasons = np.where(codes >= 0, Reason.EXITED, Reason.SIGNALED)
    reasons = np.where(np.isin(-codes, np.array(CRASHES)), Reason.CRASHED, reasons)
    return states, reasons.astype(np.uint8)
