"""The rights of a peer at the ZeroMQ ports: allowed identities, and required grants. Pure."""

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
"""A message of a client that can get a reply."""

_USES = {Grant.ENCODE, Grant.PREDICT}


@dataclass(frozen=True, slots=True)
class Peer:
    """The peer of a connection: the name of its principal and its public key in Z85. Both are empty without a key."""

    name: str
    key: str
    address: str


def owns(name: str, identity: bytes, names: Collection[str]) -> bool:
    """Whether a principal can use an identity, which must begin with its name and a dot.

    The empty `name` stands for peers without a key, which can use all identities except those of the principals
    `names`.
    """
    owner, dot, _ = identity.partition(b'.')
    if name:
        return bool(dot) and owner == name.encode()
    return not dot or owner.decode('ascii', 'replace') not in names


def identity_error(name: str, identity: bytes) -> Forbidden:
    """Make the error for an identity that does not belong to the principal."""
    if not name:
        return Forbidden(
            'the identity %s belongs to a principal, but this client has no key: use another identity'
            % format_identity(identity)
        )
    return Forbidden(
        "the identity %s does not belong to principal '%s', the owner of this key: begin it with '%s.', or set the "
        "name '%s' in the client's certificate" % (format_identity(identity), name, name, name)
    )


def check_grant(principal: Principal, grant: Grant) -> None:
    """Raise Forbidden if a principal lacks a grant."""
    if not principal.may(grant):
        has = ', '.join(sorted(principal.grants)) or 'none'
        raise Forbidden(
            "principal '%s' lacks the grant '%s' (it has: %s): see -principals of the server"
            % (principal.name or ANONYMOUS, grant, has)
        )


def check_message(principal: Principal, message: Answerable, use: Grant) -> None:
    """Raise Forbidden if a principal lacks the grant for a message. `use` is the grant for the server's model.

    Any grant allows to read the configuration, because a client needs it before its first request.
    """
    if isinstance(message, EncodeRequest):
        check_grant(principal, use)
    elif isinstance(message, StatusRequest) and (message.statistic or not principal.grants & _USES):
        check_grant(principal, Grant.STATUS)
