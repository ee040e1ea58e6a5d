"""Whose client an identity is, and what its owner may have: its share of the workers, and its quota. Pure.

Without keys each client is its own owner, with an equal share and no quota.
"""

from __future__ import annotations

from typing import Protocol

from .principals import ANONYMOUS, Principal, Quota


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
        """The most that an owner can have at a time."""
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
