"""The rights of a peer at the ZeroMQ ports: its identities, and the grants that it needs. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..errors import Forbidden
from ..protocol.wire import (
    BadRequest,
    CancelRequest,
    EncodeRequest,
    StatusRequest,
    format_identity,
)
from .principals import ANONYMOUS, Grant, Principal

Answerable = EncodeRequest | StatusRequest | CancelRequest | BadRequest
"""A message of a client that gets a reply, or could."""

_USES = {Grant.ENCODE, Grant.PREDICT}


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection: the name of its principal, its public key in Z85, both empty without a key."""

    name: str
    key: str
    address: str


def owns(name: str, identity: bytes, names: Collection[str]) -> bool:
    """Whether a principal may use an identity: it has to begin with its name and a dot.

    The empty `name` is that of peers without a key, who may use all identities but those of the principals `names`.
    """
    owner, dot, _ = identity.partition(b'.')
    if name:
        return bool(dot) and owner == name.encode()
    return not dot or owner.decode('ascii', 'replace') not in names


def identity_error(name: str, identity: bytes) -> Forbidden:
    """The error of an identity that is not the principal's own."""
    if not name:
        return Forbidden(
            'the identity %s is that of a principal, and this client has no key: use another'
            % format_identity(identity)
        )
    return Forbidden(
        "the identity %s is not one of principal '%s', whose key this is: let it begin with '%s.', or give the "
        "certificate of the client the name '%s'" % (format_identity(identity), name, name, name)
    )


def check_grant(principal: Principal, grant: Grant) -> None:
    """Raise Forbidden, which names both, if a principal lacks a grant."""
    if not principal.may(grant):
        has = ', '.join(sorted(principal.grants)) or 'none'
        raise Forbidden(
            "principal '%s' lacks the grant '%s' (it has: %s): see -principals of the server"
            % (principal.name or ANONYMOUS, grant, has)
        )


def check_message(principal: Principal, message: Answerable, use: Grant) -> None:
    """Raise Forbidden if a principal may not send a message. `use` is the grant that the server's model needs.

    The configuration is for everybody who may do anything with it: a client asks for it before its first request.
    """
    if isinstance(message, EncodeRequest):
        check_grant(principal, use)
    elif isinstance(message, StatusRequest) and (message.statistic or not principal.grants & _USES):
        check_grant(principal, Grant.STATUS)
