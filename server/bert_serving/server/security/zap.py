"""Decide which peers can connect to the ports for clients.

libzmq asks about every new connection of a socket with a domain, over its ZAP protocol. It then also refuses peers that
speak ZMTP 1 or 2. These have no handshake, so a web page could make a browser send messages in the body of an HTTP
request. Every client of 1.10 speaks ZMTP 3.

With keys, a peer proves over CURVE that it holds one, and the gate finds its principal. Every message then has the name
of its sender's principal (`User-Id`) and the key (`X-Key`), which `peer_of` reads.
"""

from __future__ import annotations

import logging
import struct
import threading
from typing import Protocol

import zmq
from zmq.utils import z85

from ..transport import Context, Socket
from .access import Peer

logger = logging.getLogger(__name__)

ENDPOINT = 'inproc://zeromq.zap.01'
"""The endpoint of libzmq's questions, within a context."""

DOMAIN = b'clients'

NAME_PROPERTY, KEY_PROPERTY = 'User-Id', 'X-Key'
"""The properties of messages from a peer with a key."""


class KnownKeys(Protocol):
    """The keys that are let in. Any thread may ask."""

    def name_of(self, raw_key: bytes) -> str | None:
        """Return the holder of a key that a peer has proved to have; None if it is not let in."""


class Rules(Protocol):
    """The rules of a port with keys, called from another thread."""

    @property
    def gate(self) -> KnownKeys:
        """The keys that are let in."""

    @property
    def secret_key(self) -> str:
        """The secret key of the port, in Z85."""

    def refuse_key(self, address: str, reason: str) -> None:
        """Record a refused peer."""


def admit_known_protocols(context: Context, listener: Socket, rules: Rules | None = None) -> None:
    """Accept only peers of ZMTP 3 on a socket that does not listen yet. With `rules`, accept only peers with a key.

    All sockets of a context share the rules of the first.
    """
    replier: Socket = zmq.Context.shadow(context.underlying).socket(zmq.REP)  # so that only its own thread closes it
    replier.setsockopt(zmq.LINGER, 0)
    try:
        replier.bind(ENDPOINT)
    except zmq.ZMQError:  # it already exists
        replier.close()
    else:
        threading.Thread(target=_answer, args=(replier, rules), name='zap', daemon=True).start()
    listener.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
    if rules is not None:
        listener.setsockopt(zmq.CURVE_SERVER, 1)
        listener.setsockopt(zmq.CURVE_SECRETKEY, rules.secret_key.encode())


def _answer(replier: Socket, rules: Rules | None) -> None:
    """Answer questions until the context ends."""
    try:
        while True:
            question = replier.recv_multipart()
            answer = decide(question, None if rules is None else rules.gate)
            if answer[2] != b'200' and rules is not None and len(question) > 3:
                rules.refuse_key(question[3].decode('ascii', 'replace'), answer[3].decode())
            replier.send_multipart(answer)
    except zmq.ContextTerminated:
        pass
    except zmq.ZMQError:
        logger.exception('cannot check new connections any more, so none is accepted')
    finally:
        replier.close()


def decide(question: list[bytes], gate: KnownKeys | None = None) -> list[bytes]:
    """Answer a question: return `[version, id, status, reason, user, metadata]`.

    A question is `[version, id, domain, address, routing id, mechanism, ...]`, with the peer's public key as the last
    frame if the mechanism is CURVE. A peer without an address is refused.
    """
    request_id = question[1] if len(question) > 1 else b''
    address = question[3] if len(question) > 3 else b''
    if question[:1] != [b'1.0'] or not address:
        return [b'1.0', request_id, b'400', b'no address', b'', b'']
    if question[5:6] != [b'CURVE']:
        return [b'1.0', request_id, b'200', b'OK', b'', b'']
    key = question[6] if len(question) > 6 else b''
    name = None if gate is None else gate.name_of(key)
    if name is None:
        return [b'1.0', request_id, b'400', b'unknown key', b'', b'']
    return [b'1.0', request_id, b'200', b'OK', name.encode(), _property(KEY_PROPERTY, z85.encode(key))]


def _property(name: str, value: bytes) -> bytes:
    return bytes([len(name)]) + name.encode() + struct.pack('>I', len(value)) + value


def peer_of(frame: zmq.Frame) -> Peer:
    """Return the sender of a message, from one of its frames."""
    return Peer(_property_of(frame, NAME_PROPERTY), _property_of(frame, KEY_PROPERTY), str(frame.get('Peer-Address')))


def _property_of(frame: zmq.Frame, name: str) -> str:
    try:
        return str(frame.get(name))
    except zmq.ZMQError:  # a peer without a key
        return ''
