"""The states of an instance and of an agent, and every way from one to another.

The tables are the law: a change that is not in them is a bug of whoever asked for it (`assert`), or, when it came
over a wire, a stale message that is dropped. Every state is listed, also those with no way out.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class State(IntEnum):
    """State of an instance; a uint8 in columns."""

    SCHEDULED = 0
    STAGING = 1
    STARTING = 2
    RUNNING = 3
    KILLING = 4
    UNREACHABLE = 5
    FINISHED = 6
    FAILED = 7
    KILLED = 8
    ERROR = 9
    DROPPED = 10
    GONE = 11
    LOST = 12


class AgentState(IntEnum):
    """State of an agent as the master sees it; a uint8 in columns."""

    ABSENT = 0
    REGISTERING = 1
    READY = 2
    DRAINING = 3
    UNREACHABLE = 4
    REMOVED = 5


_ENDS = (State.FINISHED, State.FAILED, State.KILLED, State.ERROR, State.DROPPED, State.GONE, State.LOST)

WAYS: dict[State, tuple[State, ...]] = {
    State.SCHEDULED: (State.STAGING, State.KILLED, State.ERROR),
    State.STAGING: (State.STARTING, State.RUNNING, State.KILLING, State.UNREACHABLE, *_ENDS),
    State.STARTING: (State.RUNNING, State.KILLING, State.UNREACHABLE, *_ENDS),
    State.RUNNING: (State.KILLING, State.UNREACHABLE, *_ENDS),
    State.KILLING: (State.UNREACHABLE, *_ENDS),
    State.UNREACHABLE: (State.STARTING, State.RUNNING, State.KILLING, *_ENDS),
    State.FINISHED: (),
    State.FAILED: (),
    State.KILLED: (),
    State.ERROR: (),
    State.DROPPED: (),
    State.GONE: (),
    State.LOST: (),
}
"""From each state, the states it may become within one attempt. A new attempt starts again at STAGING."""

AGENT_WAYS: dict[AgentState, tuple[AgentState, ...]] = {
    AgentState.ABSENT: (AgentState.REGISTERING, AgentState.UNREACHABLE, AgentState.REMOVED),
    AgentState.REGISTERING: (AgentState.READY, AgentState.DRAINING, AgentState.UNREACHABLE, AgentState.REMOVED),
    AgentState.READY: (AgentState.REGISTERING, AgentState.DRAINING, AgentState.UNREACHABLE, AgentState.REMOVED),
    AgentState.DRAINING: (AgentState.REGISTERING, AgentState.READY, AgentState.UNREACHABLE, AgentState.REMOVED),
    AgentState.UNREACHABLE: (AgentState.REGISTERING, AgentState.REMOVED),
    AgentState.REMOVED: (AgentState.REGISTERING,),
}
"""ABSENT: known from the journal, not heard of since this master started."""

TERMINAL: frozenset[State] = frozenset(_ENDS)
FIRST_TERMINAL = int(State.FINISHED)
"""Terminal states are the highest numbers, so that `state >= FIRST_TERMINAL` is the test on a column."""

ALLOWED = np.zeros((len(State), len(State)), dtype=bool)
for _state, _next in WAYS.items():
    for _to in _next:
        ALLOWED[_state, _to] = True
ALLOWED.setflags(write=False)
"""bool[from, to]: the table as a matrix, for columns: `ALLOWED[old, new]`."""


def is_terminal(state: int) -> bool:
    """Whether an instance in this state is over for good."""
    return state >= FIRST_TERMINAL
