"""Ask a running server to stop, for `bert-serving-terminate` and `BertServer.shutdown`.

A server of this user on this machine gets the request over the socket in its private folder, and replies
(`control.py`). Any other server gets a message at its port for requests, as in 1.10, and does not reply.

1.10 printed "signal sent" even without a server. Here the ZeroMQ handshake shows whether a server is listening, before
anything is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

import zmq

from ..addresses import with_brackets, without_brackets
from ..errors import StartError, UsageError
from ..protocol.wire import TERMINATION, encode_client_message
from ..security.client_keys import NO_KEYS, ClientKeys
from ..transport import event_of
from .control import OBEYED, ask_to_stop


def terminate(ip: str, port: int, timeout_ms: int, keys: ClientKeys = NO_KEYS) -> str:
    """Ask the server at `ip`:`port` to shut down gracefully. With `keys`, this acts as their principal.

    A name can have several IPv4 and IPv6 addresses. The first one with a server gets the message, and is returned.

    Raises:
        UsageError: `ip` is neither an address nor a known name, or `keys` cannot be read.
        StartError: no server is listening there, it refuses, or it rejects this client. `timeout_ms` is the time limit
            for a connection.
    """
    addresses = _addresses(ip)
    if not keys and '127.0.0.1' in addresses:
        answer = ask_to_stop(port)
        if answer == OBEYED:
            return '127.0.0.1'
        if answer is not None:
            raise StartError('the server at %s:%d does not stop: %s' % (with_brackets(ip), port, answer))
    message = encode_client_message(b'0', TERMINATION, 0)
    options = _socket_options(keys)
    with zmq.Context() as context:
        callers = [_Caller(context, address, port, options) for address in addresses]
        try:
            poller = zmq.Poller()
            for caller in callers:
                poller.register(caller.monitor, zmq.POLLIN)
            answered = dict(poller.poll(timeout_ms))
            reached = next((caller for caller in callers if caller.monitor in answered), None)
            if reached is None:
                raise StartError(
                    'no server is listening at %s:%d (waited %d ms)' % (with_brackets(ip), port, timeout_ms)
                )
            _check_handshake(event_of(reached.monitor.recv_multipart()), reached.name, bool(keys))
            reached.socket.setsockopt(zmq.LINGER, timeout_ms)
            reached.socket.send_multipart(message)
            return reached.address
        finally:
            for caller in callers:
                caller.close()


class _Caller:
    """A connection to one address, with a monitor of its handshake."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], address: str, port: int, options: Mapping[int, bytes]
    ) -> None:
        self.address = address
        self.name = '%s:%d' % (with_brackets(address), port)
        self.socket = context.socket(zmq.PUSH)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.IPV6, int(':' in address))
        for option, value in options.items():
            self.socket.setsockopt(option, value)
        self.monitor = self.socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )
        self.socket.connect('tcp://' + self.name)

    def close(self) -> None:
        self.socket.disable_monitor()
        self.monitor.close()
        self.socket.close()


def _socket_options(keys: ClientKeys) -> Mapping[int, bytes]:
    if not keys:
        return {}
    server, own = keys.read()
    return {
        zmq.CURVE_SERVERKEY: server.encode(),
        zmq.CURVE_PUBLICKEY: own.public.encode(),
        zmq.CURVE_SECRETKEY: (own.secret or '').encode(),
    }


def _check_handshake(event: int, server: str, has_keys: bool) -> None:
    if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
        raise StartError('the server at %s does not know this key: add it to its -curve_clients' % server)
    if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
        advice = (
            'has no keys: leave out -server_key and -key_file'
            if has_keys
            else 'accepts only clients with a key: use -server_key and -key_file'
        )
        raise StartError('the server at %s %s' % (server, advice))


def _addresses(ip: str) -> list[str]:
    """Return the numeric addresses of a name."""
    try:
        found = socket.getaddrinfo(without_brackets(ip), 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError('-ip %s: cannot resolve it: %s' % (ip, reason)) from None
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return list(dict.fromkeys(socket.getnameinfo(each[4], flags)[0] for each in found))
