"""The tables of states: complete, and as the design has them."""

from __future__ import annotations

import numpy as np
import pytest

from orch.model.states import AGENT_WAYS, ALLOWED, FIRST_TERMINAL, TERMINAL, WAYS, AgentState, State, is_terminal


def test_every_state_is_listed_with_every_way_out() -> None:
    assert list(WAYS) == list(State)
    assert list(AGENT_WAYS) == list(AgentState)


def test_the_matrix_is_the_table() -> None:
    for old in State:
        assert [State(new) for new in np.flatnonzero(ALLOWED[old])] == sorted(WAYS[old])
    assert not ALLOWED.flags.writeable


def test_terminal_states_are_the_last_and_have_no_way_out() -> None:
    assert sorted(TERMINAL) == [state for state in State if state >= FIRST_TERMINAL]
    for state in State:
        assert is_terminal(state) == (state in TERMINAL) == (WAYS[state] == ())


def test_no_state_leads_to_itself_and_none_back_to_scheduled() -> None:
    assert not np.diagonal(ALLOWED).any()
    assert not ALLOWED[:, State.SCHEDULED].any()


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL and state != State.SCHEDULED])
def test_whatever_was_launched_can_end_in_any_way_or_become_unreachable(state: State) -> None:
    assert all(ALLOWED[state, end] for end in TERMINAL)
    assert state == State.UNREACHABLE or ALLOWED[state, State.UNREACHABLE]


def test_what_is_being_killed_does_not_run_again() -> None:
    assert not ALLOWED[State.KILLING, [State.STAGING, State.STARTING, State.RUNNING]].any()


def test_an_agent_is_only_offered_after_it_registered() -> None:
    assert [state for state in AgentState if AgentState.READY in AGENT_WAYS[state]] == [
        AgentState.REGISTERING,
        AgentState.DRAINING,
    ]
    assert all(AgentState.REGISTERING in AGENT_WAYS[state] for state in AgentState if state != AgentState.REGISTERING)
