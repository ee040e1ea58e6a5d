"""The tables of transitions: every state has a way out, and a step that is not in a table is a fault."""

from __future__ import annotations

import pytest

from bert_serving.server.process.states import (
    ChildEvent,
    ChildState,
    IllegalTransition,
    ServerEvent,
    ServerState,
    SlotEvent,
    SlotState,
    advance_child,
    advance_server,
    advance_slot,
)


def test_a_server_starts_serves_drains_and_stops() -> None:
    state = ServerState.STARTING
    for event, expected in [
        (ServerEvent.READY, ServerState.SERVING),
        (ServerEvent.DRAIN, ServerState.DRAINING),
        (ServerEvent.DRAIN, ServerState.DRAINING),
        (ServerEvent.STOP, ServerState.STOPPED),
        (ServerEvent.STOP, ServerState.STOPPED),
    ]:
        state = advance_server(state, event)
        assert state is expected


@pytest.mark.parametrize('state', ServerState)
def test_a_server_can_be_told_to_drain_and_to_stop_in_every_state(state: ServerState) -> None:
    drained = ServerState.STOPPED if state is ServerState.STOPPED else ServerState.DRAINING
    assert advance_server(state, ServerEvent.DRAIN) is drained
    assert advance_server(state, ServerEvent.STOP) is ServerState.STOPPED


def test_a_server_is_ready_once() -> None:
    with pytest.raises(IllegalTransition, match='serving cannot handle: ready'):
        advance_server(ServerState.SERVING, ServerEvent.READY)


@pytest.mark.parametrize('state', [state for state in ChildState if state is not ChildState.GONE])
def test_a_child_can_die_in_every_state(state: ChildState) -> None:
    assert advance_child(state, ChildEvent.EXITED) is ChildState.GONE


def test_a_child_dies_once() -> None:
    with pytest.raises(IllegalTransition, match='gone cannot handle: exited'):
        advance_child(ChildState.GONE, ChildEvent.EXITED)


def test_a_slot_gets_another_child_until_it_is_given_up() -> None:
    state = SlotState.STARTING
    for event, expected in [
        (SlotEvent.CHILD_READY, SlotState.READY),
        (SlotEvent.CHILD_LOST, SlotState.RESTARTING),
        (SlotEvent.RESTART_DUE, SlotState.STARTING),
        (SlotEvent.CHILD_LOST, SlotState.RESTARTING),
        (SlotEvent.RESTART_DUE, SlotState.STARTING),
        (SlotEvent.GIVEN_UP, SlotState.GONE),
    ]:
        state = advance_slot(state, event)
        assert state is expected


def test_a_child_for_which_a_cluster_has_no_room_waits_in_its_slot() -> None:
    state = SlotState.STARTING
    for event, expected in [
        (SlotEvent.CHILD_WAITS, SlotState.WAITING),
        (SlotEvent.CHILD_PLACED, SlotState.STARTING),
        (SlotEvent.CHILD_LOST, SlotState.RESTARTING),
        (SlotEvent.RESTART_DUE, SlotState.STARTING),
        (SlotEvent.CHILD_WAITS, SlotState.WAITING),
        (SlotEvent.CHILD_LOST, SlotState.RESTARTING),
    ]:
        state = advance_slot(state, event)
        assert state is expected


def test_a_child_that_was_told_to_stop_stops_whatever_the_cluster_says_of_it() -> None:
    assert advance_child(ChildState.WAITING, ChildEvent.TOLD_TO_STOP) is ChildState.STOPPING
    for event in (ChildEvent.BEGAN_TO_WAIT, ChildEvent.PLACED, ChildEvent.REPORTED_READY):
        assert advance_child(ChildState.STOPPING, event) is ChildState.STOPPING


@pytest.mark.parametrize('event', SlotEvent)
def test_nothing_happens_in_a_slot_that_was_given_up(event: SlotEvent) -> None:
    with pytest.raises(IllegalTransition, match='a slot that is gone cannot handle: %s' % event.value):
        advance_slot(SlotState.GONE, event)


def test_the_states_of_a_slot_are_those_of_the_status() -> None:
    assert [state.value for state in SlotState] == ['waiting', 'starting', 'ready', 'restarting', 'gone']
