"""The connections of principals to one port. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..tcp import Connection
from .access import Peer


class Members:
    """Which connection is whose. Used by the thread that reads the port."""

    def __init__(self) -> None:
        self._peers: dict[Connection, Peer] = {}
        self._of_name: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._peers

    def of_name(self, name: str) -> int:
        """How many connections a principal has, as far as is known: some can be closed already."""
        return self._of_name[name]

    def add(self, connection: Connection, peer: Peer) -> None:
        """Note a connection that has sent a message."""
        if connection not in self._peers:
            self._peers[connection] = peer
            self._of_name[peer.name] += 1

    def remove(self, connection: Connection) -> None:
        """Forget a connection, if it is known."""
        peer = self._peers.pop(connection, None)
        if peer is not None:
            self._of_name[peer.name] -= 1
            if not self._of_name[peer.name]:
                del self._of_name[peer.name]

    def forget_closed(self, is_alive: Callable[[Connection], bool]) -> None:
        """Forget the connections that are closed."""
        for connection in [each for each in self._peers if not is_alive(each)]:
            self.remove(connection)

    def take_revoked(self, lets_in: Callable[[Peer], bool]) -> list[tuple[Connection, Peer]]:
        """Remove and return the connections whose keys do not hold any more."""
        revoked = [(connection, peer) for connection, peer in self._peers.items() if not lets_in(peer)]
        for connection, _peer in revoked:
            self.remove(connection)
        return revoked
