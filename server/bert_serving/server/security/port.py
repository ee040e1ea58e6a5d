"""The access rules of one ZeroMQ port with keys: identify connections, and check their messages.

The loop that reads the port checks each message here, and calls `look` occasionally. This class shuts down connections
whose keys have become invalid, and connections beyond the quota of their principal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

import zmq

from ..errors import Forbidden, QuotaExceeded, WireError
from ..protocol.wire import (
    BadRequest,
    CancelRequest,
    EncodeRequest,
    StatusRequest,
    format_identity,
)
from ..tcp import Connection, is_open, shut_down
from ..transport import connection_of_message
from .access import Answerable, Peer, check_grant, check_message, identity_error, owns
from .actions import AuditAction
from .audit import Audit
from .gate import LOOK_S, Gate
from .members import Members
from .principals import Grant
from .zap import peer_of

logger = logging.getLogger(__name__)


class PortAccess:
    """The rules of one port. For the thread that reads the port, except `refuse_key`."""

    def __init__(self, gate: Gate, audit: Audit, use: Grant = Grant.ENCODE) -> None:
        """`use` is the grant for requests to the server's model."""
        self.gate = gate
        self.audit = audit
        self._use = use
        self._members = Members()
        self._looked_at = 0.0

    @property
    def secret_key(self) -> str:
        """The secret key of the port, in Z85."""
        return self.gate.config.secret_key

    def refuse_key(self, address: str, reason: str) -> None:
        """Record a peer that was refused at its handshake."""
        self.audit.record(AuditAction.WRONG_KEY, address=address, outcome=reason)

    def admit(self, frame: zmq.Frame) -> Peer | None:
        """Return the sender of a message, or None if its connection is gone or was shut down here."""
        peer, connection = peer_of(frame), connection_of_message(frame)
        if connection is None:
            return None
        if connection not in self._members:
            if not self._has_room(peer):
                reason = 'the principal has %d connections' % self._members.of_name(peer.name)
                self.audit.record(AuditAction.QUOTA, peer.name, peer.address, outcome=reason)
                self._close(connection, peer, reason + ', its quota')
                return None
            self._members.add(connection, peer)
            self.audit.record(AuditAction.CONNECTED, peer.name, peer.address)
        if not self.gate.lets_in(peer):
            self._revoke(connection, peer)
            return None
        return peer

    def may_use(self, peer: Peer, identity: bytes) -> bool:
        """Whether a peer can send and subscribe under an identity. A refusal is recorded."""
        if owns(peer.name, identity, self.gate.names):
            return True
        self.audit.record(
            AuditAction.REFUSED,
            peer.name,
            peer.address,
            identity=format_identity(identity),
            outcome='the identity of another',
        )
        return False

    def check(self, frame: zmq.Frame, message: Answerable) -> Answerable | None:
        """Return the message of a frame, or the refusal to send instead, or None as in `admit`.

        Raises:
            WireError: the sender cannot use the identity.
        """
        peer = self.admit(frame)
        if peer is None:
            return None
        if not self.may_use(peer, message.identity):
            raise WireError(
                'dropped a message from %s: %s' % (peer.address, identity_error(peer.name, message.identity))
            )
        try:
            check_message(self.gate.principal(peer.name), message, self._use)
        except Forbidden as error:
            self._note_refusal(peer, error, message.request_id)
            return BadRequest(message.identity, message.request_id, error)
        self._note(peer, message)
        return message

    def may_terminate(self, frame: zmq.Frame) -> bool:
        """Whether the sender of a shutdown request has the grant."""
        peer = self.admit(frame)
        if peer is None:
            return False
        try:
            check_grant(self.gate.principal(peer.name), Grant.TERMINATE)
        except Forbidden as error:
            self._note_refusal(peer, error)
            return False
        self.audit.record(AuditAction.TERMINATED, peer.name, peer.address)
        return True

    def note_quota(self, owner: bytes, request_id: bytes, error: QuotaExceeded) -> None:
        """Note a request that was refused by the quota of the principal `owner`."""
        self.audit.record(
            AuditAction.QUOTA,
            format_identity(owner),
            request_id=request_id.decode(),
            outcome=error.message,
        )

    def look(self) -> Collection[Connection]:
        """Read changed files again. Shut down and return the connections whose keys that revokes."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return ()
        self._looked_at = now
        self.gate.refresh()
        revoked = self._members.take_revoked(self.gate.lets_in)
        for connection, peer in revoked:
            self._revoke(connection, peer)
        return [connection for connection, _peer in revoked]

    def _has_room(self, peer: Peer) -> bool:
        most = self.gate.principal(peer.name).quota.connections
        if most is None or self._members.of_name(peer.name) < most:
            return True
        self._members.forget_closed(is_open)
        return self._members.of_name(peer.name) < most

    def _revoke(self, connection: Connection, peer: Peer) -> None:
        reason = 'its key is no longer valid'
        self._members.remove(connection)
        self.audit.record(AuditAction.REFUSED, peer.name, peer.address, outcome=reason)
        self._close(connection, peer, reason)

    def _close(self, connection: Connection, peer: Peer, reason: str) -> None:
        shut_down(connection)
        logger.warning("closed a connection of principal '%s' from %s: %s", peer.name, peer.address, reason)

    def _note_refusal(self, peer: Peer, error: Forbidden, request_id: bytes | None = None) -> None:
        self.audit.record(
            AuditAction.REFUSED,
            peer.name,
            peer.address,
            request_id=None if request_id is None else request_id.decode(),
            outcome=error.message,
        )

    def _note(self, peer: Peer, message: Answerable) -> None:
        match message:
            case EncodeRequest(_identity, request_id, rows, payload):
                self.audit.record(
                    AuditAction.GRANTED,
                    peer.name,
                    peer.address,
                    request_id=request_id.decode(),
                    rows=rows,
                    bytes=len(payload),
                    outcome='read',
                )
            case CancelRequest(_identity, request_id):
                self.audit.record(AuditAction.CANCELLED, peer.name, peer.address, request_id=request_id.decode())
            case StatusRequest() | BadRequest():
                pass
