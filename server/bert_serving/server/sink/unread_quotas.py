"""The quota of unread bytes of a principal: further replies become errors until it has read some."""

from __future__ import annotations

from collections import Counter

from ..errors import QuotaExceeded
from ..security.shares import Shares
from .replies import Reply


class UnreadQuotas:
    """The bytes of waiting replies of each owner. For the sink's thread only."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._bytes: Counter[bytes] = Counter()
        self._owners: dict[Reply, bytes] = {}

    def put(self, reply: Reply) -> Reply:
        """Count a reply. Return it or, if the quota is reached, the error to send instead.

        The only waiting reply is always allowed.
        """
        owner = self._shares.owner_of(reply.identity)
        most, waiting = self._shares.quota_of(owner).bytes_unread, self._bytes[owner]
        if most is not None and waiting and waiting + reply.size > most:
            reply = reply.replaced_by(
                QuotaExceeded(
                    "quota bytes_unread=%d of principal '%s' is reached: %d bytes of its replies are unread; read "
                    'them, then retry' % (most, owner.decode('ascii', 'replace'), waiting)
                )
            )
        self._bytes[owner] += reply.size
        self._owners[reply] = owner
        return reply

    def take(self, reply: Reply) -> None:
        """Stop counting a reply that was sent or discarded."""
        owner = self._owners.pop(reply)
        self._bytes[owner] -= reply.size
        if not self._bytes[owner]:
            del self._bytes[owner]
