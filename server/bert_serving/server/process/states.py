"""The states of the server and of its children, and the one table of transitions each goes through.

Used by `server.py` and by the parent's side of a child; holds no socket and no process.
"""

from __future__ import annotations

from enum import Enum


class ServerState(Enum):
    STARTING = 'starting'
    SERVING = 'serving'
    DRAINING = 'draining'
    STOPPED = 'stopped'


class ServerEvent(Enum):
    READY = 'ready'
    DRAIN = 'drain'
    STOP = 'stop'


class ChildState(Enum):
    STARTING = 'starting'
    READY = 'ready'
    STOPPING = 'stopping'
    GONE = 'gone'


class ChildEvent(Enum):
    REPORTED_READY = 'reported ready'
    TOLD_TO_STOP = 'told to stop'
    EXITED = 'exited'


_SERVER = {
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

_CHILD = {
    (ChildState.STARTING, ChildEvent.REPORTED_READY): ChildState.READY,
    (ChildState.STARTING, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.STARTING, ChildEvent.EXITED): ChildState.GONE,
    (ChildState.READY, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.READY, ChildEvent.EXITED): ChildState.GONE,
    (ChildState.STOPPING, ChildEvent.REPORTED_READY): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.TOLD_TO_STOP): ChildState.STOPPING,
    (ChildState.STOPPING, ChildEvent.EXITED): ChildState.GONE,
}


class IllegalTransition(Exception):
    """A fault of ours: an event that the state cannot meet; its message names both."""


def advance_server(state: ServerState, event: ServerEvent) -> ServerState:
    """The state after `event`; IllegalTransition when the table has no such step."""
    try:
        return _SERVER[state, event]
    except KeyError:
        raise IllegalTransition('a server that is %s cannot meet: %s' % (state.value, event.value)) from None


def advance_child(state: ChildState, event: ChildEvent) -> ChildState:
    """The state after `event`; IllegalTransition when the table has no such step."""
    try:
        return _CHILD[state, event]
    except KeyError:
        raise IllegalTransition('a child that is %s cannot meet: %s' % (state.value, event.value)) from None
