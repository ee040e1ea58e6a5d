"""The request to stop a running server, as `bert-serving-terminate` and `BertServer.shutdown` send it.

A server of this user on this machine is asked over the socket in its private folder, where it answers (`control.py`).
Any other gets a message at its port for requests, as in 1.10, and does not answer.

1.10 printed "signal sent" whether or not a server was there. Here the ZeroMQ handshake shows whether a server listens,
before anything is sent.
"""

from __future__ import annotations

import socket

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..addresses import with_brackets, without_brackets
from ..errors import StartError, UsageError
from ..protocol.wire import TERMINATION, encode_client_message
from .control import OBEYED, ask_to_stop


def terminate(ip: str, port: int, timeout_ms: int) -> str:
    """Ask the server that listens at `ip`:`port` to shut down, which it does gracefully.

    A name can have several addresses, of IPv4 and of IPv6. The first one at which a server answers gets the message,
    and is returned.

    Raises:
        UsageError: `ip` is no address, and no name of one.
        StartError: no server listens there, or it refuses; `timeout_ms` is how long to wait for a connection.
    """
    addresses = _addresses(ip)
    if '127.0.0.1' in addresses:
        answer = ask_to_stop(port)
        if answer == OBEYED:
            return '127.0.0.1'
        if answer is not None:
            raise StartError('the server at %s:%d does not stop: %s' % (with_brackets(ip), port, answer))
    message = encode_client_message(b'0', TERMINATION, 0)
    with zmq.Context() as context:
        callers = [_Caller(context, address, port) for address in addresses]
        try:
            poller = zmq.Poller()
            for caller in callers:
                poller.register(caller.monitor, zmq.POLLIN)
            answered = dict(poller.poll(timeout_ms))
            reached = next((caller for caller in callers if caller.monitor in answered), None)
            if reached is None:
                raise StartError('no server listens at %s:%d (waited %d ms)' % (with_brackets(ip), port, timeout_ms))
            recv_monitor_message(reached.monitor)
            reached.socket.setsockopt(zmq.LINGER, timeout_ms)
            reached.socket.send_multipart(message)
            return reached.address
        finally:
            for caller in callers:
                caller.close()


class _Caller:
    """A connection to one address, and the monitor that shows its handshake."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str, port: int) -> None:
        self.address = address
        self.socket = context.socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IPV6, int(':' in address))
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self.socket.connect('tcp://%s:%d' % (with_brackets(address), port))

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()


def _addresses(ip: str) -> list[str]:
    """Return the addresses of a name, as numbers."""
    try:
        found = socket.getaddrinfo(without_brackets(ip), 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError('-ip: found no such address: %s: %s' % (ip, reason)) from None
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return list(dict.fromkeys(socket.getnameinfo(each[4], flags)[0] for each in found))
