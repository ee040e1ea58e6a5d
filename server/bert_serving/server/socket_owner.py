"""Find the user at the other end of a connection within this machine.

The Linux kernel tells any process the owner of each socket, over netlink (`sock_diag(7)`). The owner is unknown on
other systems, on another machine, and if the peer has closed its socket.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct

from .tcp import Connection, borrowed

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
ANSWER_S = 1.0

_HEADER = struct.Struct('=LHHLL')
_REQUEST = struct.Struct('=BBBBL')
_PORTS = struct.Struct('!HH')
_INTERFACE_AND_COOKIE = struct.Struct('=LLL')
_ANY_COOKIE = 0xFFFFFFFF
_ANY_STATE = 0xFFFFFFFF
_USER_AND_INODE_AT = _HEADER.size + 64
_USER_AND_INODE = struct.Struct('=LL')


def owner_of_peer(connection: Connection) -> int | None:
    """Return the user id of the process at the other end of a connection, or None if it is unknown."""
    with contextlib.suppress(OSError, ValueError, struct.error), borrowed(connection.descriptor) as own:
        if own is None or not hasattr(socket, 'AF_NETLINK'):
            return None
        here, there = own.getsockname(), own.getpeername()
        if there[1] == connection.port:
            return _owner((str(there[0]), int(there[1])), (str(here[0]), int(here[1])))
    return None


def _owner(own: tuple[str, int], peer: tuple[str, int]) -> int | None:
    """The user of the socket of this machine that is bound to `own` and connected to `peer`.

    Raises:
        OSError: the kernel does not answer.
    """
    source, destination = _unmapped(own[0]), _unmapped(peer[0])
    family = socket.AF_INET if source.version == 4 else socket.AF_INET6
    question = b''.join(
        (
            _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE),
            _PORTS.pack(own[1], peer[1]),
            source.packed.ljust(16, b'\0'),
            destination.packed.ljust(16, b'\0'),
            _INTERFACE_AND_COOKIE.pack(0, _ANY_COOKIE, _ANY_COOKIE),
        )
    )
    header = _HEADER.pack(_HEADER.size + len(question), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(ANSWER_S)
        kernel.send(header + question)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        return None
    user, inode = _USER_AND_INODE.unpack_from(answer, _USER_AND_INODE_AT)
    return int(user) if inode else None  # the kernel reports root for a socket that its process has closed


def _unmapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address.partition('%')[0])
    return getattr(parsed, 'ipv4_mapped', None) or parsed
