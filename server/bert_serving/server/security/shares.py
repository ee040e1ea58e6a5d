"""The owner of each identity, with its share of the workers and its quota. Pure.

Without keys, each client is its own owner, with an equal share and no quota.
"""

from __future__ import annotations

from typing import Protocol

from .principals import ANONYMOUS, Principal, Quota


class PrincipalsByName(Protocol):
    """The interface to all principals, which `security.gate.Gate` implements."""

    def principal(self, name: str) -> Principal:
        """The current principal with that name."""
        ...

    @property
    def names(self) -> frozenset[str]:
        """The principals that have keys."""
        ...


class Shares:
    """The owners without keys: the clients themselves."""

    def owner_of(self, identity: bytes) -> bytes:
        """The owner of an identity."""
        return identity

    def weight_of(self, owner: bytes) -> float:
        """The share of an owner."""
        return 1.0

    def quota_of(self, owner: bytes) -> Quota:
        """The quota of an owner."""
        return NO_QUOTA


NO_QUOTA = Quota()


class PrincipalShares(Shares):
    """The owners with keys: the principals, whose names begin the identities.

    The server's HTTP proxy sends for principals: identities for alice begin with `_http.alice.`. All clients without a
    key have a common owner, because they can invent identities.
    """

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
