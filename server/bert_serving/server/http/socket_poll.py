"""Wait for events of waitress's sockets. Silent connections cost nothing.

Before each wait, waitress's own loop asks every connection whether it wants to read or write. Here a connection is
asked again only after something has happened to it: an event, a call of `changed`, or a call of `ask_all`.
"""

from __future__ import annotations

import select
import selectors
from typing import Any, Protocol

from waitress import wasyncore


class Pollable(Protocol):
    """The interface of an object of waitress with a file descriptor. Other threads must be able to ask it, too."""

    accepting: bool

    def readable(self) -> bool: ...

    def writable(self) -> bool: ...


def events_wanted(pollable: Pollable) -> int:
    """The events of `selectors` that an object waits for."""
    events = selectors.EVENT_READ if pollable.readable() else 0
    if not pollable.accepting and pollable.writable():
        events |= selectors.EVENT_WRITE
    return events


class SocketPoll(dict[int, Any]):
    """The `map` of a waitress server: its objects by file descriptor. They enter and leave it by themselves.

    Other threads can call only `changed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._selector = selectors.DefaultSelector()
        self._awaited: dict[int, int] = {}
        """The events that the selector waits for, by file descriptor. There is no entry for none."""
        self._unasked: set[int] = set()
        """The file descriptors of the objects to ask again."""

    def __setitem__(self, descriptor: int, pollable: Pollable) -> None:
        super().__setitem__(descriptor, pollable)
        self._unasked.add(descriptor)

    def __delitem__(self, descriptor: int) -> None:
        super().__delitem__(descriptor)
        if self._awaited.pop(descriptor, 0):
            self._selector.unregister(descriptor)

    def changed(self, descriptor: int) -> bool:
        """Ask an object again before the next wait. Return whether the current wait is for the wrong events.

        Any thread can call this after it has changed what the object wants.
        """
        self._unasked.add(descriptor)  # first, in case the loop has just asked the object about its previous state
        pollable = self.get(descriptor)
        return pollable is not None and events_wanted(pollable) != self._awaited.get(descriptor, 0)

    def ask_all(self) -> None:
        """Ask every object again before the next wait, because time alone changes what some want."""
        self._unasked.update(self)

    def wait(self, timeout_s: float) -> None:
        """Wait for events, and let the objects handle them."""
        self._ask()
        for key, events in self._selector.select(timeout_s):
            pollable = self.get(key.fd)
            if pollable is not None and self._awaited.get(key.fd, 0) & events:  # an earlier event might have closed it
                wasyncore.readwrite(pollable, _flags(events))
                self._unasked.add(key.fd)

    def close(self) -> None:
        """Close every object, and the selector."""
        wasyncore.close_all(self)
        self._selector.close()

    def _ask(self) -> None:
        while self._unasked:
            descriptor = self._unasked.pop()
            pollable = self.get(descriptor)
            if pollable is not None:
                self._await(descriptor, events_wanted(pollable))

    def _await(self, descriptor: int, events: int) -> None:
        awaited = self._awaited.get(descriptor, 0)
        if events == awaited or descriptor not in self:  # it might have closed itself when it was asked
            return
        if not events:
            del self._awaited[descriptor]
            self._selector.unregister(descriptor)
            return
        if awaited:
            self._selector.modify(descriptor, events)
        else:
            self._selector.register(descriptor, events)
        self._awaited[descriptor] = events


def _flags(events: int) -> int:
    return (select.POLLIN if events & selectors.EVENT_READ else 0) | (
        select.POLLOUT if events & selectors.EVENT_WRITE else 0
    )
