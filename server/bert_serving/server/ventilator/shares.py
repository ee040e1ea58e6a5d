"""Whose client an identity is, and what its owner may have: its share of the workers, and its quota.

Without keys each client is its own owner, with an equal share and no quota.
"""

from __future__ import annotations

from typing import Protocol

from ..errors import QuotaExceeded
from ..security.principals import ANONYMOUS, Principal, Quota
from .registry import Holding

BURST_S = 5.0
"""Seconds of its rows a second that an owner can send at once."""


class PrincipalsByName(Protocol):
    """Knows all principals, as `security.gate.Gate` does."""

    def principal(self, name: str) -> Principal:
        """The principal of that name, as it is now."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The principals that have keys."""
        ...


class Shares:
    """The owners without keys: the clients themselves."""

    is_by_principal = False

    def owner_of(self, identity: bytes) -> bytes:
        """Whose client has an identity."""
        return identity

    def weight_of(self, owner: bytes) -> float:
        """How large the share of an owner is."""
        return 1.0

    def quota_of(self, owner: bytes) -> Quota:
        """What an owner can have at a time."""
        return NO_QUOTA


NO_QUOTA = Quota()


class PrincipalShares(Shares):
    """The owners with keys: the principals, whose names are the beginnings of identities.

    The HTTP proxy of the server sends for principals: `_http.alice.` and so on begins the identities for alice. Clients
    without a key have one owner together, since they can invent identities.
    """

    is_by_principal = True

    def __init__(self, principals: PrincipalsByName, proxy: str) -> None:
        """`proxy` is the name of the HTTP proxy."""
        self._principals = principals
        self._proxy = proxy.encode()

    def owner_of(self, identity: bytes) -> bytes:
        owner, dot, rest = identity.partition(b'.')
        if owner == self._proxy:
            behalf, dot, _ = rest.partition(b'.')
            return behalf if dot else owner
        known = dot and owner.decode('ascii', 'replace') in self._principals.names
        return owner if known else ANONYMOUS.encode()

    def weight_of(self, owner: bytes) -> float:
        return self._principals.principal(owner.decode('ascii', 'replace')).weight

    def quota_of(self, owner: bytes) -> Quota:
        return self._principals.principal(owner.decode('ascii', 'replace')).quota


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
