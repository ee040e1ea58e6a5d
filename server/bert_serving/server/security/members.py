"""The connections of principals to one port. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..tcp import Connection
from .access import Peer


class Members:
    """The principal of each connection. For the thread that reads the port."""

    def __init__(self) -> None:
        self._peers: dict[Connection, Peer] = {}
        self._of_name: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._peers

    def of_name(self, name: str) -> int:
        """The number of known connections of a principal. Some might already be closed."""
        return self._of_name[name]

    def add(self, connection: Connection, peer: Peer) -> None:
        """Add a connection that has sent a message."""
        if connection not in self._peers:
            self._peers[connection] = peer
            self._of_name[peer.name] += 1

    def remove(self, connection: Connection) -> None:
        """Remove a connection, if it is known."""
        peer = self._peers.pop(connection, None)
        if peer is not None:
            self._of_name[peer.name] -= 1
            if not self._of_name[peer.name]:
                del self._of_name[peer.name]

    def forget_closed(self, is_alive: Callable[[Connection], bool]) -> None:
        """Remove closed connections."""
        for connection in [each for each in self._peers if not is_alive(each)]:
            self.remove(connection)

    def take_revoked(self, lets_in: Callable[[Peer], bool]) -> list[tuple[Connection, Peer]]:
        """Remove and return the connections whose keys have become invalid."""
        revoked = [(connection, peer) for connection, peer in self._peers.items() if not lets_in(peer)]
        for connection, _peer in revoked:
            self.remove(connection)
        return revoked
