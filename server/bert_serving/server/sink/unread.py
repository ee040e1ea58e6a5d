"""Track the unread bytes of each connection: passed to ZeroMQ, but not acknowledged by the peer's system.

Pure, except that it calls a function for the acknowledged bytes. ZeroMQ limits the number of queued replies for a
connection, not their size, and does not report when they are sent. So the sink waits while a connection has many unread
bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from ..tcp import Connection

ROOM_BYTES = 8 << 20
"""Unread bytes at which a connection gets no more replies for now. A reading client needs little time for them."""

Acknowledged = Callable[[Connection], int | None]
"""A function that returns the bytes that the peer's system has acknowledged so far, or None if unknown."""


class UnreadLedger:
    """The bytes passed to ZeroMQ for each connection, and the acknowledged bytes. For the sink's thread only."""

    def __init__(self, acknowledged: Acknowledged, room: int = ROOM_BYTES) -> None:
        self._acknowledged = acknowledged
        self._room = room
        self._given: dict[Connection, int] = {}
        self._gone: dict[Connection, int] = {}

    def __len__(self) -> int:
        return len(self._given)

    def give(self, connection: Connection, size: int) -> None:
        """Record a reply that was passed to ZeroMQ for a connection."""
        self._given[connection] = self._given.get(connection, 0) + size

    def has_room(self, connection: Connection) -> bool:
        """Whether the connection has few unread bytes. It asks the system only in case of doubt."""
        given = self._given.get(connection, 0)
        if given - self._gone.get(connection, 0) < self._room:
            return True
        acknowledged = self._acknowledged(connection)
        if acknowledged is None:
            return True
        self._gone[connection] = acknowledged
        # The acknowledged bytes include ZeroMQ's own, which must not count as room for more.
        self._given[connection] = given = max(given, acknowledged)
        return given - acknowledged < self._room

    def forget(self, connection: Connection) -> None:
        """Forget a lost connection."""
        self._given.pop(connection, None)
        self._gone.pop(connection, None)
