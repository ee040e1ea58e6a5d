"""The bytes that each connection has not read: given to ZeroMQ for it, and not acknowledged by its peer's system.

Pure, except that it asks a function for what was acknowledged. ZeroMQ queues a number of replies for a connection,
however large they are, and does not say when they have gone. So the sink gives it no more while a connection has much
unread.
"""

from __future__ import annotations

from collections.abc import Callable

from ..tcp import Connection

ROOM_BYTES = 8 << 20
"""A connection with so much unread gets no more replies for now. One that reads has soon read that."""

Acknowledged = Callable[[Connection], int | None]
"""The bytes that the peer's system has acknowledged so far; None if nobody knows."""


class UnreadLedger:
    """The bytes given to ZeroMQ for each connection, and those known to have gone. Used by the sink's thread."""

    def __init__(self, acknowledged: Acknowledged, room: int = ROOM_BYTES) -> None:
        self._acknowledged = acknowledged
        self._room = room
        self._given: dict[Connection, int] = {}
        self._gone: dict[Connection, int] = {}

    def __len__(self) -> int:
        return len(self._given)

    def give(self, connection: Connection, size: int) -> None:
        """Note that a reply of that size was given to ZeroMQ for a connection."""
        self._given[connection] = self._given.get(connection, 0) + size

    def has_room(self, connection: Connection) -> bool:
        """Whether the connection has little unread. The system is asked only if that is in doubt."""
        given = self._given.get(connection, 0)
        if given - self._gone.get(connection, 0) < self._room:
            return True
        acknowledged = self._acknowledged(connection)
        if acknowledged is None:
            return True
        self._gone[connection] = acknowledged
        # More has gone than replies: ZeroMQ's own bytes. They must not count as room for more.
        self._given[connection] = given = max(given, acknowledged)
        return given - acknowledged < self._room

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._given.pop(connection, None)
        self._gone.pop(connection, None)
