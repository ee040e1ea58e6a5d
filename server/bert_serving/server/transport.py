"""Sockets of the ring, and a reactor that waits for several of them.

Used by the loops and by the parent process. Nothing here knows what a message means.
"""

from __future__ import annotations

import contextlib
import errno
import queue
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from .addresses import ANY_IPV4, with_brackets
from .descriptors import guard_port
from .errors import StartError
from .tcp import Connection, connection_of

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT = 10, 5, 3
"""TCP keepalive: seconds idle before the first probe, seconds between probes, and unanswered probes before TCP closes
the connection, after 25 s in all."""

UNACKNOWLEDGED_S = 60
"""How long sent bytes can stay unacknowledged, which keepalive does not detect. It equals the time that a reply waits
for a full reader."""

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]


def make_socket(context: Context, kind: int) -> Socket:
    """Make a socket of `kind` that closes without delay and drops unsent messages.

    It has no high-water mark, because the workers' credit limits the messages inside the ring.
    """
    made = context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.SNDHWM, 0)
    made.setsockopt(zmq.RCVHWM, 0)
    return made


def bind_tcp(listener: Socket, port: int, option: str, address: str = ANY_IPV4) -> int:
    """Listen on `port` of `address`, where 0 is any free port, and return the port.

    `address` is a result of `addresses.own_address`. `::` includes IPv4.

    Raises:
        StartError: the port is in use or not allowed; the message names the `option` that chose it.
    """
    _notice_dead_peers(listener)
    listener.setsockopt(zmq.IPV6, int(':' in address))
    try:
        listener.bind('tcp://%s:%d' % (with_brackets(address), port))
    except zmq.ZMQError as error:
        raise _no_port(port, option, error.errno, str(error)) from None
    bound = int(listener.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(':')[2])
    guard_port(bound)
    return bound


def check_port(port: int, option: str, address: str) -> None:
    """Check that a process could later listen on `port` of `address`. Port 0 is always free.

    Raises:
        StartError: as in `bind_tcp`.
    """
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        raise _no_port(port, option, error.errno, str(error)) from None


def _no_port(port: int, option: str, number: int | None, reason: str) -> StartError:
    if number == errno.EADDRINUSE:
        reason = (
            'the port is in use: stop the process that listens there (bert-serving-terminate stops a server) or choose '
            'another port'
        )
    return StartError('-%s %d: cannot listen on it: %s' % (option, port, reason))


def _notice_dead_peers(listener: Socket) -> None:
    """Let TCP close connections to vanished peers, which frees their memory (docs/adr/0016).

    There are no heartbeats from this side, because old peers do not answer them. A client of this release sends its
    own, and its HEARTBEAT_TTL makes libzmq close the connection when they stop.
    """
    listener.setsockopt(zmq.TCP_KEEPALIVE, 1)
    listener.setsockopt(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
    listener.setsockopt(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)
    listener.setsockopt(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT)
    listener.setsockopt(zmq.TCP_MAXRT, 1000 * UNACKNOWLEDGED_S)


def connection_of_message(frame: zmq.Frame) -> Connection | None:
    """Return the TCP connection that a message came over, or None if it is gone."""
    try:
        return connection_of(int(frame.get(zmq.SRCFD)))
    except zmq.ZMQError:
        return None


class Reactor:
    """Waits for sockets and file descriptors, and calls a callback for each readable one.

    In every round, the callbacks are called in the order in which their sources were added.
    """

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._callbacks: dict[Any, Callable[[], None]] = {}
        self._ready: dict[Any, int] = {}

    def add(self, source: Socket | int, callback: Callable[[], None], first: bool = False) -> None:
        """Call `callback` in every round in which `source` is readable. With `first`, it comes before all others."""
        self._callbacks = {source: callback, **self._callbacks} if first else {**self._callbacks, source: callback}
        self._poller.register(source, zmq.POLLIN)

    def remove(self, source: Socket | int) -> None:
        """Forget `source`, if it is known."""
        if self._callbacks.pop(source, None) is not None:
            self._poller.unregister(source)

    def run_once(self, timeout_ms: int) -> None:
        """Run one round: wait for readable sources, up to the timeout, and call each of their callbacks once."""
        self.wait(timeout_ms)
        self.dispatch()

    def wait(self, timeout_ms: int) -> None:
        """Wait for readable sources, up to the timeout: the first half of a round."""
        self._ready = dict(self._poller.poll(timeout_ms))

    def dispatch(self) -> None:
        """Call the callback of each source that `wait` found readable: the second half of a round."""
        for source, callback in list(self._callbacks.items()):
            if source in self._ready and source in self._callbacks:
                callback()


class CommandQueue:
    """Passes commands to a thread that waits in a `Reactor`. Any thread or signal handler may call `put`."""

    def __init__(self) -> None:
        self._commands: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the file descriptor that is readable while a command waits."""
        return self._reader.fileno()

    def put(self, command: Any) -> None:
        """Add a command and wake the thread. After `close`, do nothing."""
        self._commands.put(command)
        with contextlib.suppress(OSError):  # closed, or full, which also wakes the reader
            self._writer.send(b'.')

    def take_all(self) -> list[Any]:
        """Remove and return all commands, in order."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        commands = []
        with contextlib.suppress(queue.Empty):
            while True:
                commands.append(self._commands.get_nowait())
        return commands

    def close(self) -> None:
        """Close both file descriptors."""
        self._reader.close()
        self._writer.close()


def event_of(frames: Sequence[bytes]) -> int:
    """The event that a message of a monitor socket reports.

    `zmq.utils.monitor` can parse it, too, but imports asyncio, which costs 0.04 s of CPU in each process.
    """
    event, _value = struct.unpack('=hi', frames[0])
    return int(event)
