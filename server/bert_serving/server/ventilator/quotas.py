"""The quotas of owners on pending requests and on rows per second."""

from __future__ import annotations

from ..errors import QuotaExceeded
from ..security.principals import Quota
from .registry import Holding

BURST_S = 5.0
"""The seconds of its rate that an owner can send at once, as a burst."""


class QuotaCheck:
    """Checks the quotas of all owners, and tracks the rows that each has recently sent."""

    def __init__(self) -> None:
        # The rows that an owner has sent beyond its rate, and the time of that count.
        self._sent: dict[bytes, tuple[float, float]] = {}

    def check(self, owner: bytes, quota: Quota, own: Holding, more: Holding, now: float) -> None:
        """Raise QuotaExceeded if the owner cannot have `more`. The message says when to retry."""
        for name, most, held, added in (
            ('rows_queued', quota.rows_queued, own.rows, more.rows),
            ('bytes_queued', quota.bytes_queued, own.memory_bytes, more.memory_bytes),
        ):
            if most is not None and held + added > most:
                if added > most:
                    raise _exceeded(owner, name, most, 'this request alone has %d: split it' % added)
                wait = '%d are pending and this request has %d: retry when %d of them are answered'
                raise _exceeded(owner, name, most, wait % (held, added, held + added - most))
        rate = quota.rows_per_second
        if rate is not None:
            sent = self._sent_by(owner, rate, now)
            if sent >= BURST_S * rate:
                wait = 'retry in %.1f seconds' % ((sent - BURST_S * rate) / rate + 1 / rate)
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
    return QuotaExceeded("quota %s=%d of principal '%s' is reached: %s" % (quota, most, name, advice))
