"""The TCP connections of ZeroMQ sockets, found by their file descriptors in this process.

libzmq owns the descriptors and can close one at any time, in its own thread.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

INFO_BYTES = 256
"""Bytes to read for `tcp_info`, more than Linux has."""

ACKNOWLEDGED_AT, RECEIVED_AT = 120, 128
"""The offsets in `tcp_info` of the bytes that the peer has acknowledged and of the bytes received."""

_COUNT = struct.Struct('@Q')

_NO_LINGER = struct.pack('@ii', 1, 0)
"""The value of SO_LINGER with which `close` resets the connection."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection: its file descriptor, and the address and port of the peer."""

    descriptor: int
    address: str
    port: int


@contextlib.contextmanager
def borrowed(descriptor: int) -> Iterator[socket.socket | None]:
    """Yield the socket with this descriptor, and leave it open; yield None if there is none.

    It needs no further descriptor, so it works when none is left. libzmq might close the socket at any time, so use
    only results that can be wrong.
    """
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        yield None
        return
    try:
        yield found
    finally:
        found.detach()


def connection_of(descriptor: int) -> Connection | None:
    """Return the TCP connection with a file descriptor, or None if it is closed or not TCP."""
    with contextlib.suppress(OSError), borrowed(descriptor) as found:
        if found is not None:
            return Connection(descriptor, *peer_of(found))
    return None


def is_open(connection: Connection) -> bool:
    """Return whether the connection is still the one of its file descriptor."""
    return connection_of(connection.descriptor) == connection


def peer_of(connection: socket.socket) -> tuple[str, int]:
    """Return the address and port of the peer.

    Raises:
        OSError: there is no peer, or the connection is not TCP.
    """
    name = connection.getpeername()
    if not isinstance(name, tuple):  # a Unix socket
        raise OSError('not a TCP connection')
    return str(name[0]), int(name[1])


def acknowledged_bytes(connection: Connection) -> int | None:
    """Return how many bytes the peer has acknowledged, or None if the connection is gone or this is not Linux."""
    if not hasattr(socket, 'TCP_INFO'):
        return None
    with contextlib.suppress(OSError, struct.error), borrowed(connection.descriptor) as found:
        if found is not None and peer_of(found) == (connection.address, connection.port):
            info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
            return int(_COUNT.unpack_from(info, ACKNOWLEDGED_AT)[0])
    return None


def shut_down(connection: Connection, resets: bool = False) -> bool:
    """Shut a connection down if its descriptor is still its own, and return whether it was.

    Nothing that is sent later reaches the peer. libzmq notices the shutdown and closes the connection. With `resets`,
    that drops what is still to be sent, and the peer learns of it at once, even if it waits for room to send.
    """
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.descriptor)) as duplicate:
        if peer_of(duplicate) == (connection.address, connection.port):
            if resets:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            duplicate.shutdown(socket.SHUT_RDWR)
            return True
    return False
