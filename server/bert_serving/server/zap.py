"""The peers that may connect to the ports for clients.

libzmq asks about every new connection over ZAP, its protocol for that, once a socket has a domain.
It then also refuses peers that speak ZMTP 1 or 2. Those have no handshake, so that a web page could make a browser send
messages, in the body of an HTTP request. Every client of 1.10 speaks ZMTP 3.
"""

from __future__ import annotations

import logging
import threading

import zmq

from .transport import Context, Socket

logger = logging.getLogger(__name__)

ENDPOINT = 'inproc://zeromq.zap.01'
"""Where libzmq asks, within a context."""

DOMAIN = b'clients'


def admit_known_protocols(context: Context, listener: Socket) -> None:
    """Let only peers of ZMTP 3 connect to a socket that does not listen yet."""
    gate: Socket = zmq.Context.shadow(context.underlying).socket(
        zmq.REP
    )  # so that it is closed by its own thread alone
    gate.setsockopt(zmq.LINGER, 0)
    try:
        gate.bind(ENDPOINT)
    except zmq.ZMQError:  # it stands already
        gate.close()
    else:
        threading.Thread(target=_answer, args=(gate,), name='zap', daemon=True).start()
    listener.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)


def _answer(gate: Socket) -> None:
    """Answer until the context ends."""
    try:
        while True:
            gate.send_multipart(decide(gate.recv_multipart()))
    except zmq.ContextTerminated:
        pass
    except zmq.ZMQError:
        logger.exception('cannot answer for new connections any more: none is accepted')
    finally:
        gate.close()


def decide(question: list[bytes]) -> list[bytes]:
    """Return the answer to a question: `[version, id, status, reason, user, metadata]`.

    A question is `[version, id, domain, address, routing id, mechanism, ...]`. A peer without an address is refused.
    """
    request_id = question[1] if len(question) > 1 else b''
    address = question[3] if len(question) > 3 else b''
    is_welcome = question[:1] == [b'1.0'] and address != b''
    status, reason = (b'200', b'OK') if is_welcome else (b'400', b'no address')
    return [b'1.0', request_id, status, reason, b'', b'']
