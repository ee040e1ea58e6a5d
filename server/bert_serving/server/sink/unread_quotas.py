"""The quota of replies that a principal has not read: a further reply becomes an error, until it has read some."""

from __future__ import annotations

from collections import Counter

from ..errors import QuotaExceeded
from ..security.shares import Shares
from .replies import Reply


class UnreadQuotas:
    """How many bytes of replies each owner has waiting. Used by the sink's one thread."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._bytes: Counter[bytes] = Counter()
        self._owners: dict[Reply, bytes] = {}

    def put(self, reply: Reply) -> Reply:
        """Count a reply that may have to wait; return it or, if it is too much, the error to be sent in its place.

        A reply for which no other waits is never too much.
        """
        owner = self._shares.owner_of(reply.identity)
        most, waiting = self._shares.quota_of(owner).bytes_unread, self._bytes[owner]
        if most is not None and waiting and waiting + reply.size > most:
            reply = reply.replaced_by(
                QuotaExceeded(
                    "the quota bytes_unread=%d of principal '%s' is reached: %d bytes of its replies wait to be read: "
                    'read them, then send this request again' % (most, owner.decode('ascii', 'replace'), waiting)
                )
            )
        self._bytes[owner] += reply.size
        self._owners[reply] = owner
        return reply

    def take(self, reply: Reply) -> None:
        """Count a reply no longer: it was sent or discarded."""
        owner = self._owners.pop(reply)
        self._bytes[owner] -= reply.size
        if not self._bytes[owner]:
            del self._bytes[owner]
