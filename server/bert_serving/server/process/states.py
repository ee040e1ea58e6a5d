"""State machines of the server, of a child process, and of a slot that keeps a child running.

The tables of this file contain every transition. Each table maps a state and an event to the next state. A pair that is
missing from a table is a bug and raises IllegalTransition. The module owns no socket and no process.
`docs/architecture.md` shows the tables as diagrams, made by `docs/state_diagrams.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar


class ServerState(Enum):
    """The life of a `BertServer`."""

    STARTING = 'starting'
    SERVING = 'serving'
    DRAINING = 'draining'
    STOPPED = 'stopped'


class ServerEvent(Enum):
    """An event that can change a `ServerState`."""

    READY = 'ready'
    DRAIN = 'drain'
    STOP = 'stop'


class ChildState(Enum):
    """The life of one process."""

    WAITING = 'waiting'
    STARTING = 'starting'
    READY = 'ready'
    STOPPING = 'stopping'
    GONE = 'gone'


class ChildEvent(Enum):
    """An event that can change a `ChildState`."""

    BEGAN_TO_WAIT = 'began to wait'
    PLACED = 'placed'
    REPORTED_READY = 'reported ready'
    TOLD_TO_STOP = 'told to stop'
    EXITED = 'exited'


class SlotState(Enum):
    """The life of a slot, which outlives its children. The values appear in the status."""

    WAITING = 'waiting'
    STARTING = 'starting'
    READY = 'ready'
    RESTARTING = 'restarting'
    GONE = 'gone'


class SlotEvent(Enum):
    """An event that can change a `SlotState`."""

    CHILD_WAITS = 'child waits'
    CHILD_PLACED = 'child placed'
    CHILD_READY = 'child ready'
    CHILD_LOST = 'child lost'
    RESTART_DUE = 'restart due'
    GIVEN_UP = 'given up'


SERVER_TRANSITIONS: Mapping[tuple[ServerState, ServerEvent], ServerState] = {
    (ServerState.STARTING, ServerEvent.READY): ServerState.SERVING,
    (ServerState.STARTING, ServerEvent.DRAIN): ServerState.DRAINING,
    (ServerState.STARTING, ServerEvent.STOP): ServerState.STOPPED,
    (ServerState.SERVING, ServerEvent.DRAIN): ServerState.DRAINING,
    (ServerState.SERVING, ServerEvent.STOP): ServerState.STOPPED,
    (ServerState.DRAINING, ServerEvent.DRAIN): ServerState.DRAINING,
    (ServerState.DRAINING, ServerEvent.STOP): ServerState.STOPPED,
    (ServerState.STOPPED, ServerEvent.DRAIN): ServerState.STOPPED,
    (ServerState.STOPPED, ServerEvent.STOP): ServerState.STOPPED,
}

CHILD_TRANSITIONS: Mapping[tuple[ChildState, ChildEvent], ChildState] = {
    (ChildState.STARTING, ChildEvent.BEGAN_TO_WAIT): ChildState.WAITING,
    (ChildState.STARTING, ChildEvent.REPORTED_READY): ChildState.READY,
    (ChildState.STARTING, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.STARTING, ChildEvent.EXITED): ChildState.GONE,
    (ChildState.WAITING, ChildEvent.PLACED): ChildState.STARTING,
    (ChildState.WAITING, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.WAITING, ChildEvent.EXITED): ChildState.GONE,
    (ChildState.READY, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.READY, ChildEvent.EXITED): ChildState.GONE,
    (ChildState.STOPPING, ChildEvent.BEGAN_TO_WAIT): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.PLACED): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.REPORTED_READY): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.EXITED): ChildState.GONE,
}

SLOT_TRANSITIONS: Mapping[tuple[SlotState, SlotEvent], SlotState] = {
    (SlotState.STARTING, SlotEvent.CHILD_WAITS): SlotState.WAITING,
    (SlotState.STARTING, SlotEvent.CHILD_READY): SlotState.READY,
    (SlotState.STARTING, SlotEvent.CHILD_LOST): SlotState.RESTARTING,
    (SlotState.STARTING, SlotEvent.GIVEN_UP): SlotState.GONE,
    (SlotState.WAITING, SlotEvent.CHILD_PLACED): SlotState.STARTING,
    (SlotState.WAITING, SlotEvent.CHILD_LOST): SlotState.RESTARTING,
    (SlotState.WAITING, SlotEvent.GIVEN_UP): SlotState.GONE,
    (SlotState.READY, SlotEvent.CHILD_LOST): SlotState.RESTARTING,
    (SlotState.RESTARTING, SlotEvent.RESTART_DUE): SlotState.STARTING,
}


class IllegalTransition(Exception):
    """A bug: the table has no transition for this event in this state. The message names both."""


State = TypeVar('State', bound=Enum)
Event = TypeVar('Event', bound=Enum)


def advance_server(state: ServerState, event: ServerEvent) -> ServerState:
    """Return the state after `event`; raise IllegalTransition if the table has no such step."""
    return _advance('server', SERVER_TRANSITIONS, state, event)


def advance_child(state: ChildState, event: ChildEvent) -> ChildState:
    """Return the state after `event`; raise IllegalTransition if the table has no such step."""
    return _advance('child', CHILD_TRANSITIONS, state, event)


def advance_slot(state: SlotState, event: SlotEvent) -> SlotState:
    """Return the state after `event`; raise IllegalTransition if the table has no such step."""
    return _advance('slot', SLOT_TRANSITIONS, state, event)


def _advance(machine: str, table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    try:
        return table[state, event]
    except KeyError:
        raise IllegalTransition('a %s that is %s cannot handle: %s' % (machine, state.value, event.value)) from None
