"""A peer that speaks ZMTP 3.0 by hand, and so says what no socket of ZeroMQ would say."""

from __future__ import annotations

import socket
import struct

GREETING = b'\xff' + bytes(8) + b'\x7f\x03\0' + b'NULL'.ljust(20, b'\0') + bytes(32)
READY = b'\x05READY' + b''.join(
    bytes([len(name)]) + name + struct.pack('!I', len(value)) + value
    for name, value in ((b'Socket-Type', b'PUSH'), (b'Identity', b''))
)
HANDSHAKE = GREETING + bytes([4, len(READY)]) + READY


def connect_by_hand(port: int) -> socket.socket:
    """Connect as a PUSH socket does, and wait until messages can be sent."""
    peer = socket.create_connection(('127.0.0.1', port))
    peer.settimeout(30)
    peer.sendall(HANDSHAKE)
    heard = b''
    while b'READY' not in heard:
        heard += peer.recv(1000)
    return peer


def frame(body: bytes, more: bool = False) -> bytes:
    """A frame of less than 256 bytes; with `more`, another one of the same message follows."""
    return bytes([more, len(body)]) + body
