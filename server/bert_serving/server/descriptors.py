"""File descriptors of a process with a port of ZeroMQ: their limit, a reserve, and room for newcomers.

libzmq accepts connections until no descriptor is left. Then its thread finds the port readable again and again,
newcomers wait for ever, and the server cannot even start the process that is to replace a dead one. So a part of the
descriptors is kept back, and a thread closes the connections that have been silent for longest when the others run
out. libzmq at the other end connects and subscribes again by itself, so a client that has been idle loses nothing.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .tcp import borrowed

logger = logging.getLogger(__name__)

MAX_FILES = 65536
"""The descriptors that a server asks for; the hard limit of the system can be lower."""

MAX_RESERVE, RESERVE_SHARE = 256, 4
"""Descriptors kept from connections: so many, but at most one in four of all."""

LAST_FREE = 8
"""Room is made when fewer descriptors than this are free, apart from the reserve."""

CHECK_S = 0.1
"""How often the thread looks."""

EVICTED_SHARE = 8
"""One in so many connections of an address is closed at a time."""

LOG_S = 60.0

NONE_LEFT = (errno.EMFILE, errno.ENFILE)
"""The errors of a system call for which no descriptor is left, in the process or in the system."""

_LAST_DATA = struct.Struct('=44xI4xI')
"""Of struct tcp_info: the milliseconds since data was last sent and last received."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The numbers of descriptors that a process can have."""

    total: int
    reserve: int

    @property
    def usual(self) -> int:
        """Those that are not kept back."""
        return self.total - self.reserve

    @classmethod
    def of(cls, soft: int, hard: int) -> FileLimits:
        """The limits of a process with these limits of the system: as many as are allowed, up to `MAX_FILES`."""
        infinite = resource.RLIM_INFINITY
        total = MAX_FILES if hard == infinite else min(hard, MAX_FILES)
        if soft != infinite:
            total = max(total, soft)
        return cls(total, min(MAX_RESERVE, total // RESERVE_SHARE))


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection to a port of this process."""

    address: str
    silent_ms: int
    """Since anything was sent or received."""
    descriptor: int


def choose_silent(connections: Sequence[OpenConnection], reserved: int) -> list[OpenConnection]:
    """Choose the connections that make room: of the address with the most, those that have been silent for longest.

    Those with a descriptor from `reserved` on, which were accepted while the reserve was in use, go in any case.
    """
    if not connections:
        return []
    ((holder, count),) = Counter(connection.address for connection in connections).most_common(1)
    of_holder = [connection for connection in connections if connection.address == holder]
    of_holder.sort(key=lambda connection: -connection.silent_ms)
    chosen = of_holder[: 1 + count // EVICTED_SHARE]
    return chosen + [found for found in connections if found.descriptor >= reserved and found not in chosen]


_lock = threading.Lock()
_limits: FileLimits | None = None
_users_of_reserve = 0


def keep_reserve() -> FileLimits:
    """Raise the limit of this process as far as is allowed, except for a reserve; return the limits."""
    global _limits
    with _lock:
        if _limits is None:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            _limits = FileLimits.of(soft, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (_limits.usual, hard))
        return _limits


@contextlib.contextmanager
def reserve() -> Iterator[None]:
    """Let the process use its reserve in this block, if it has one."""
    global _users_of_reserve
    with _lock:
        _users_of_reserve += 1
        _set_limit()
    try:
        yield
    finally:
        with _lock:
            _users_of_reserve -= 1
            _set_limit()


def _set_limit() -> None:
    if _limits is not None:
        soft = _limits.total if _users_of_reserve else _limits.usual
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def guard_port(port: int) -> None:
    """Make room for newcomers at the TCP port `port` of this process, by a daemon thread, as long as it listens."""
    listener = next((d for d in _descriptors() if _is_listener(d, port)), None)
    if listener is not None:
        identity, limits = _identity_of(listener), keep_reserve()
        arguments = (port, listener, identity, limits)
        threading.Thread(target=_guard, args=arguments, name='guard of port %d' % port, daemon=True).start()


def _guard(port: int, listener: int, identity: tuple[int, int] | None, limits: FileLimits) -> None:
    closed, logged_at = 0, float('-inf')
    while _identity_of(listener) == identity:
        if _is_almost_full(limits):
            closed += make_room(port, limits)
        if closed and time.monotonic() - logged_at > LOG_S:
            logger.warning('port %d has more connections than files=%d: closed silent=%d', port, limits.usual, closed)
            closed, logged_at = 0, time.monotonic()
        time.sleep(CHECK_S)


def _is_almost_full(limits: FileLimits) -> bool:
    """Whether no descriptor is free below the last few: the system gives the lowest one that is free."""
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return error.errno in NONE_LEFT
    os.close(descriptor)
    return descriptor >= limits.usual - LAST_FREE


def make_room(port: int, limits: FileLimits) -> int:
    """Close the connections to `port` of this process that `choose_silent` chooses; return how many."""
    # Not from /proc, because to list a folder takes a descriptor.
    connections = [found for d in range(limits.total) if (found := _connection_of(d, port)) is not None]
    return sum(_shut_down(connection, port) for connection in choose_silent(connections, limits.usual))


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir('/proc/self/fd')]
    except OSError:
        return []


def _identity_of(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_at(connection: socket.socket, port: int) -> bool:
    address = connection.getsockname()
    return isinstance(address, tuple) and len(address) > 1 and address[1] == port


def _is_listener(descriptor: int, port: int) -> bool:
    with contextlib.suppress(OSError), borrowed(descriptor) as found:
        return (
            found is not None
            and _is_at(found, port)
            and bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        )
    return False


def _connection_of(descriptor: int, port: int) -> OpenConnection | None:
    """The connection to `port` with this descriptor; None if it is another one, or none."""
    with contextlib.suppress(OSError), borrowed(descriptor) as found:
        if found is not None and _is_at(found, port):
            address = str(found.getpeername()[0])
            silent_ms = min(_LAST_DATA.unpack_from(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)))
            return OpenConnection(address, silent_ms, descriptor)
    return None


def _shut_down(chosen: OpenConnection, port: int) -> bool:
    """End a connection; the thread of libzmq then closes it."""
    with contextlib.suppress(OSError), borrowed(chosen.descriptor) as found:
        if found is not None and _is_at(found, port) and found.getpeername()[0] == chosen.address:
            found.shutdown(socket.SHUT_RDWR)
            return True
    return False
