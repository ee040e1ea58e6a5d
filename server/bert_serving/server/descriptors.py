"""Manage the file descriptors of a process with a ZeroMQ port: raise the limit, keep a reserve, make room for new
clients.

libzmq accepts connections until no descriptor is left. Then its thread spins, new clients wait forever, and the server
cannot start a process to replace a dead one. So this module keeps a reserve of descriptors. When the others run out, a
thread closes the connections that have been silent longest. libzmq at the other end connects and subscribes again by
itself, so an idle client loses nothing.
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
"""The number of descriptors that a server asks for. The hard limit of the system can be lower."""

MAX_RESERVE, RESERVE_SHARE = 256, 4
"""The reserve that connections cannot use: the number of descriptors, and its maximum share of all descriptors."""

LAST_FREE = 8
"""The thread makes room when fewer descriptors than this are free, not counting the reserve."""

CHECK_S = 0.1
"""Seconds between two checks of the thread."""

EVICTED_SHARE = 8
"""The thread closes one in this many connections of an address at a time."""

LOG_S = 60.0

NONE_LEFT = (errno.EMFILE, errno.ENFILE)
"""The errors of a system call when no descriptor is left, in the process or in the system."""

_LAST_DATA = struct.Struct('=44xI4xI')
"""The fields of struct tcp_info with the milliseconds since data was last sent and last received."""


@dataclass(frozen=True, slots=True)
class FileLimits:
    """The numbers of descriptors that a process can have."""

    total: int
    reserve: int

    @property
    def usual(self) -> int:
        """The descriptors outside the reserve."""
        return self.total - self.reserve

    @classmethod
    def of(cls, soft: int, hard: int) -> FileLimits:
        """The limits for a process with these system limits: as many descriptors as allowed, up to `MAX_FILES`."""
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
    """Milliseconds since data was sent or received."""
    descriptor: int


def choose_silent(connections: Sequence[OpenConnection], reserved: int) -> list[OpenConnection]:
    """Choose the connections to close: from the address with the most connections, those that were silent longest.

    The result also includes all connections with a descriptor of at least `reserved`: they were accepted while the
    reserve was in use.
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
    """Raise the descriptor limit of this process, except for a reserve, and return the limits."""
    global _limits
    with _lock:
        if _limits is None:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            _limits = FileLimits.of(soft, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (_limits.usual, hard))
        return _limits


@contextlib.contextmanager
def reserve() -> Iterator[None]:
    """Let the process use its reserve of descriptors within the block."""
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
    """Start a daemon thread that makes room for new clients at the TCP port `port` of this process while it listens."""
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
            message = 'closed silent connections because descriptors ran out port=%d files=%d connections=%d'
            logger.warning(message, port, limits.usual, closed)
            closed, logged_at = 0, time.monotonic()
        time.sleep(CHECK_S)


def _is_almost_full(limits: FileLimits) -> bool:
    """Whether only the last few descriptors are free. The system always returns the lowest free one."""
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return error.errno in NONE_LEFT
    os.close(descriptor)
    return descriptor >= limits.usual - LAST_FREE


def make_room(port: int, limits: FileLimits) -> int:
    """Close the connections to `port` that `choose_silent` chooses, and return their number."""
    # Not from /proc, because listing a folder takes a descriptor.
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
    """The connection to `port` with this descriptor, or None if the descriptor is something else."""
    with contextlib.suppress(OSError), borrowed(descriptor) as found:
        if found is not None and _is_at(found, port):
            address = str(found.getpeername()[0])
            silent_ms = min(_LAST_DATA.unpack_from(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)))
            return OpenConnection(address, silent_ms, descriptor)
    return None


def _shut_down(chosen: OpenConnection, port: int) -> bool:
    """Shut a connection down, so that libzmq's thread closes it."""
    with contextlib.suppress(OSError), borrowed(chosen.descriptor) as found:
        if found is not None and _is_at(found, port) and found.getpeername()[0] == chosen.address:
            found.shutdown(socket.SHUT_RDWR)
            return True
    return False
