"""Track the subscriptions of each connection, and limit their number.

Pure. ZeroMQ names the connection of a message, but not the connection whose loss ends a subscription. So an end counts
for a holder whose connection is gone. If there is none, this module checks again for a while: either the lost
connection held nothing, or its loss will soon be visible.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ..tcp import Connection
from .limits import DEFAULT_LIMITS, SinkLimits

DOUBT_S = 2.0
"""Seconds for which to check again the end of a subscription that no lost connection explains."""


IsAlive = Callable[[Connection], bool]
OnEnd = Callable[[Connection], object]


class SubscriptionBook:
    """The subscriptions of each connection. For the sink's thread only.

    A connection cannot end the subscription of another. It holds each subscription once, however often it subscribes.
    """

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS, on_end: OnEnd = lambda _connection: None) -> None:
        """`on_end` is called with a connection that has no subscription left."""
        self.limits = limits
        self._on_end = on_end
        self._topics: dict[Connection, set[bytes]] = {}
        self._holders: dict[bytes, list[Connection]] = {}
        self._of_address: Counter[str] = Counter()
        self._doubts: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))

    def holds(self, connection: Connection, topic: bytes) -> bool:
        """Whether the connection has that subscription."""
        return topic in self._topics.get(connection, ())

    def holders_of(self, topic: bytes) -> Sequence[Connection]:
        """The connections that have that subscription."""
        return tuple(self._holders.get(topic, ()))

    def topics_of(self, connection: Connection) -> Sequence[bytes]:
        """The subscriptions of that connection."""
        return tuple(self._topics.get(connection, ()))

    def refusal(self, connection: Connection) -> str | None:
        """Return why the connection cannot have another subscription, or None if it can."""
        if len(self._topics.get(connection, ())) >= self.limits.topics_of_connection:
            return 'a connection can have at most %d subscriptions' % self.limits.topics_of_connection
        if self._of_address[connection.address] >= self.limits.topics_of_address:
            return 'an address can have at most %d subscriptions' % self.limits.topics_of_address
        return None

    def add(self, connection: Connection, topic: bytes) -> None:
        """Add a new, accepted subscription."""
        self._topics.setdefault(connection, set()).add(topic)
        self._holders.setdefault(topic, []).append(connection)
        self._of_address[connection.address] += 1

    def remove(self, connection: Connection, topic: bytes) -> bool:
        """Remove a subscription that its connection has ended. Return False if it had none."""
        if not self.holds(connection, topic):
            return False
        topics, holders = self._topics[connection], self._holders[topic]
        topics.remove(topic)
        holders.remove(connection)
        if not topics:
            del self._topics[connection]
            self._on_end(connection)
        if not holders:
            del self._holders[topic]
        self._of_address[connection.address] -= 1
        if not self._of_address[connection.address]:
            del self._of_address[connection.address]
        return True

    def ended(self, topic: bytes, is_alive: IsAlive, now: float) -> bool:
        """Remove a subscription after the loss of its connection. Return False if no holder is known to be lost yet."""
        if self._remove_dead(topic, is_alive):
            return True
        if topic in self._holders:
            self._doubts.append((now, topic))
        return False

    def settle(self, is_alive: IsAlive, now: float) -> list[bytes]:
        """Check the unexplained ends again, and return the topics that a lost connection explains now."""
        doubts, self._doubts = self._doubts, []
        settled = []
        for since, topic in doubts:
            if self._remove_dead(topic, is_alive):
                settled.append(topic)
            elif topic in self._holders and now - since < DOUBT_S:
                self._doubts.append((since, topic))
        return settled

    def _remove_dead(self, topic: bytes, is_alive: IsAlive) -> bool:
        dead = next((holder for holder in self._holders.get(topic, ()) if not is_alive(holder)), None)
        return dead is not None and self.remove(dead, topic)
