"""The links of a worker to the ring: the intake of its jobs, and the connection for its parts.

On the server's machine they are Unix sockets, which outlive the processes at the other end. On another machine they are
TCP connections, and when one breaks, messages in transit are lost silently. So the worker exits with its connection,
and its jobs go to others, by the rules for any worker that dies.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import zmq

from ..errors import StartError
from ..process.child import EXIT_DISCONNECTED
from ..transport import Context, Socket, event_of, make_socket
from .ports import watch_peer

logger = logging.getLogger(__name__)

CONNECT_S = 30
"""Seconds that a worker tries to reach its server, and later each sink."""

_HANDSHAKE = zmq.EVENT_HANDSHAKE_SUCCEEDED
_WATCHED = _HANDSHAKE | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_MONITOR_STOPPED


class WorkerLinks(Protocol):
    """The links of one worker."""

    shares_clock: bool
    """Whether the worker has the same monotonic clock as the server."""

    def open_intake(self, context: Context) -> Socket:
        """Open the socket for incoming jobs."""
        ...

    def connect_to_sink(self, context: Context, endpoint: str) -> Socket:
        """Make a socket to the sink for the calling thread, because threads must not share ZeroMQ sockets."""
        ...

    def release(self) -> None:
        """Allow the connections to end, because the worker has been told to stop."""
        ...


class LocalLinks:
    """The links of a worker on the server's machine."""

    shares_clock = True

    def __init__(self, intake: str) -> None:
        """`intake` is the endpoint for incoming jobs."""
        self._intake = intake

    def open_intake(self, context: Context) -> Socket:
        """Bind the endpoint for jobs."""
        intake = make_socket(context, zmq.PULL)
        intake.bind(self._intake)
        return intake

    def connect_to_sink(self, context: Context, endpoint: str) -> Socket:
        """Connect to the sink, which might not be listening yet."""
        socket = make_socket(context, zmq.PUSH)
        socket.connect(endpoint)
        return socket

    def release(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """The address and the keys with which a worker on another machine reaches its server.

    Attributes:
        jobs: the endpoint of the port for jobs.
        server_key: the public key of that port.
        name: the name of the worker there.
        public_key, secret_key: the keys of the workers of this server.
    """

    jobs: str
    server_key: str
    name: str
    public_key: str
    secret_key: str = field(repr=False)


class RemoteLinks:
    """The links of a worker on another machine."""

    shares_clock = False

    def __init__(self, address: RemoteAddress, connect_s: float = CONNECT_S) -> None:
        """`address` leads to the server, which the worker tries to reach for `connect_s` seconds."""
        self._address = address
        self._connect_s = connect_s
        self._released = threading.Event()

    def open_intake(self, context: Context) -> Socket:
        """Connect to the port for jobs, and greet.

        Raises:
            StartError: the worker cannot reach the server, or the server does not know the key.
        """
        address = self._address
        intake = self._make_socket(context, zmq.DEALER, address.server_key)
        intake.setsockopt(zmq.ROUTING_ID, address.name.encode())
        monitor = intake.get_monitor_socket(_WATCHED)
        intake.connect(address.jobs)
        if not monitor.poll(int(1000 * self._connect_s)) or _read(monitor) != _HANDSHAKE:
            intake.disable_monitor()
            monitor.close()
            intake.close()
            raise StartError(
                'cannot reach the server at %s within %g s: open its ports to the nodes, or set -ray_address_of_server to '
                'an address that they can reach' % (address.jobs, self._connect_s)
            )
        intake.send(b'')
        self._watch(monitor, most_handshakes=0)
        return intake

    def connect_to_sink(self, context: Context, endpoint: str) -> Socket:
        """Connect to the sink at `endpoint`, its address and its public key. If that is empty, connect to nothing.

        If the connection breaks and libzmq makes another one, the sink is alive, and parts might be lost. If no
        connection exists within `connect_s`, parts would wait forever. In both cases the worker exits.
        """
        address, _, key = endpoint.partition(' ')
        if not address:
            return make_socket(context, zmq.PUSH)
        socket = self._make_socket(context, zmq.PUSH, key)
        monitor = socket.get_monitor_socket(_HANDSHAKE | zmq.EVENT_MONITOR_STOPPED)
        socket.connect(address)
        self._watch(monitor, most_handshakes=1)
        return socket

    def release(self) -> None:
        """Allow the connections to end."""
        self._released.set()

    def _make_socket(self, context: Context, kind: int, server_key: str) -> Socket:
        socket = make_socket(context, kind)
        socket.setsockopt(zmq.CURVE_SERVERKEY, server_key.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._address.public_key.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._address.secret_key.encode())
        socket.setsockopt(zmq.IPV6, 1)
        watch_peer(socket)
        return socket

    def _watch(self, monitor: Any, most_handshakes: int) -> None:
        threading.Thread(
            target=self._end_with_connection, args=(monitor, most_handshakes), name='link', daemon=True
        ).start()

    def _end_with_connection(self, monitor: Any, most_handshakes: int) -> None:
        """Exit when a connection is lost that might have had messages in transit."""
        handshakes = 0
        with monitor:
            if most_handshakes and _is_silent(monitor, self._connect_s):
                self._exit('cannot reach the sink within %g s' % self._connect_s)
            while (event := _read(monitor)) != zmq.EVENT_MONITOR_STOPPED:
                handshakes += event == _HANDSHAKE
                if event != _HANDSHAKE or handshakes > most_handshakes:
                    self._exit('lost the connection to the server')

    def _exit(self, why: str) -> None:
        """Exit, so that another worker gets the jobs of this one, unless it was told to stop."""
        if not self._released.is_set():
            logger.error('%s: the jobs of this worker go to others', why)
            logging.shutdown()
            os._exit(EXIT_DISCONNECTED)


def _is_silent(monitor: Any, seconds: float) -> bool:
    """Wait for an event of a socket, and return whether none comes within `seconds`."""
    try:
        return not monitor.poll(int(1000 * seconds))
    except zmq.ZMQError:  # the context ends
        return False


def _read(monitor: Any) -> int:
    """Return the next event of a socket, or EVENT_MONITOR_STOPPED if the context ends."""
    try:
        return event_of(monitor.recv_multipart())
    except zmq.ZMQError:
        return int(zmq.EVENT_MONITOR_STOPPED)


def make_links(config: Mapping[str, Any]) -> WorkerLinks:
    """Make the links of a worker from its config: `remote`, or `intake` on the server's machine."""
    remote = config.get('remote')
    return LocalLinks(config['intake']) if remote is None else RemoteLinks(RemoteAddress(**remote))
