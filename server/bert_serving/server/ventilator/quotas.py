"""The quotas of owners: what each can have in the queue, and send in a while."""

from __future__ import annotations

from ..errors import QuotaExceeded
from ..security.principals import Quota
from .registry import Holding

BURST_S = 5.0
"""Seconds of its rows a second that an owner can send at once."""


class QuotaCheck:
    """Holds the quotas of all owners, and knows how many rows each has sent of late."""

    def __init__(self) -> None:
        # How many rows an owner has sent beyond its rate, and when that was counted.
        self._sent: dict[bytes, tuple[float, float]] = {}

    def check(self, owner: bytes, quota: Quota, own: Holding, more: Holding, now: float) -> None:
        """Raise QuotaExceeded, which says whose quota is reached and when to come again, if `more` is too much."""
        for name, most, held, added in (
            ('rows_queued', quota.rows_queued, own.rows, more.rows),
            ('bytes_queued', quota.bytes_queued, own.memory_bytes, more.memory_bytes),
        ):
            if most is not None and held + added > most:
                if added > most:
                    raise _exceeded(owner, name, most, 'this request alone has %d: send it in parts' % added)
                wait = 'it has %d and asks for %d more: come again when %d of them are answered'
                raise _exceeded(owner, name, most, wait % (held, added, held + added - most))
        rate = quota.rows_per_second
        if rate is not None:
            sent = self._sent_by(owner, rate, now)
            if sent >= BURST_S * rate:
                wait = 'come again in %.1f seconds' % ((sent - BURST_S * rate) / rate + 1 / rate)
                raise _exceeded(owner, 'rows_per_second', rate, wait)

    def note(self, owner: bytes, quota: Quota, rows: int, now: float) -> None:
        """Count the rows of an accepted request."""
        if quota.rows_per_second is not None:
            self._sent[owner] = self._sent_by(owner, quota.rows_per_second, now) + rows, now

    def _sent_by(self, owner: bytes, rate: float, now: float) -> float:
        sent, at = self._sent.get(owner, (0.0, now))
        return max(0.0, sent - rate * (now - at))


def _exceeded(owner: bytes, quota: str, most: int, advice: str) -> QuotaExceeded:
    name = owner.decode('ascii', 'replace')
    return QuotaExceeded("the quota %s=%d of principal '%s' is reached: %s" % (quota, most, name, advice))
