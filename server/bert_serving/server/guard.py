"""Protection against endless messages: close a connection that sends one, before it fills the memory.

libzmq limits the size of a frame but not the number of frames in a message, and delivers a message only after its last
frame. So the code that reads the socket cannot see such a message grow. Instead, a thread watches how many bytes the
system has received for each connection since the last message that was read from it.

An empty frame takes two bytes on the wire and 64 in memory, and a message of millions of them delays all others while
the process reads it. So the thread also peeks at the next bytes of a connection in the middle of a message, and closes
it if they form a longer chain of frames than any request has.

After a flood, the same thread returns the free memory to the system.

`Watch` decides, and is pure; `guard_port` is the thread. It needs Linux.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import zmq

from .process.allocator import Ebb, return_free_memory
from .tcp import INFO_BYTES, RECEIVED_AT, Connection, borrowed, peer_of, shut_down

logger = logging.getLogger(__name__)

INTERVAL_S = 0.05
"""Seconds between two checks of the memory of this process. In that time, libzmq can read 250,000 empty frames."""

LOOKS_A_SCAN = 100
"""Memory checks after which the thread checks the connections too, even if the memory has not grown."""

GROWTH_BYTES = 16 << 20
"""Growth of the memory after which the thread checks the connections."""

HARMLESS_BYTES = 1 << 16
"""Connections with fewer unread bytes than this are not worth closing."""

ALLOWANCE_BYTES = 256 << 20
"""Memory that unfinished messages can take before the thread closes the connection with the largest one."""

FORGIVEN_BYTES = 128
"""Bytes that a connection can send between two checks without a message, for its heartbeats."""

PEEKED_BYTES = 4096
"""The number of received bytes to peek at, which libzmq has not read yet. A connection with fewer unread bytes is left
alone."""

MAX_CHAIN = 32
"""Consecutive frames, each with another one to follow, that no valid message has. A request has four or five."""

LONGEST_SHORT_FRAME = 257
"""The maximum bytes of a frame whose length takes one byte, including its flags and its length."""

_MORE, _LONG, _COMMAND = 1, 2, 4
"""The flags of a frame: another one of the same message follows; its length has 8 bytes; it is a command."""

_RECEIVED = struct.Struct('@Q')


@dataclass(slots=True)
class Watch:
    """Decides which connections to close.

    Attributes:
        largest: maximum bytes that a connection can have sent since the last message that was read from it.
        allowance: bytes by which the memory of the process can grow because of unfinished messages.
    """

    largest: int
    allowance: int = ALLOWANCE_BYTES
    _received: dict[Connection, int] = field(default_factory=dict)
    _messages: dict[Connection, int] = field(default_factory=dict)
    _unread: dict[Connection, int] = field(default_factory=dict)
    _usual: int | None = None

    def look(
        self,
        received: Mapping[Connection, int],
        messages: Mapping[int, int],
        memory_bytes: int,
        peek: Callable[[Connection], bytes] = lambda _connection: b'',
    ) -> list[Connection]:
        """Return the connections to close.

        Args:
            received: bytes received so far, by connection.
            messages: number of messages read so far, by the file descriptor of the connection.
            memory_bytes: memory of the process, not counting the messages that it has accepted.
            peek: returns the next bytes of a connection, which libzmq has not read yet.
        """
        unread: dict[Connection, int] = {}
        for connection, total in received.items():
            count = messages.get(connection.descriptor, 0)
            is_stuck = self._messages.get(connection, count) == count
            more = total - self._received.get(connection, 0)
            if not is_stuck:
                unread[connection] = 0
            else:
                unread[connection] = self._unread.get(connection, 0) + (more if more > FORGIVEN_BYTES else 0)
            self._messages[connection] = count
        self._messages = {connection: self._messages[connection] for connection in received}
        self._received, self._unread = dict(received), unread
        if self._usual is None or sum(unread.values()) < GROWTH_BYTES // 16:
            self._usual = memory_bytes
        too_large = [
            connection
            for connection, size in unread.items()
            if size > self.largest or (size > PEEKED_BYTES and has_chain(peek(connection)))
        ]
        if too_large or memory_bytes - self._usual <= self.allowance:
            return too_large
        worst = max(unread, key=lambda connection: unread[connection])
        return [worst] if unread[worst] > HARMLESS_BYTES else []


def has_chain(data: bytes) -> bool:
    """Whether bytes from the middle of a connection are short frames of one message, more of them than any message has.

    The first frame can begin at any of the first bytes. Small requests can look like such a chain, too, if they are
    parsed from the wrong byte. So bytes that can be parsed as requests are not a chain.
    """
    starts = range(LONGEST_SHORT_FRAME)
    return any(_is_chain(data, start) for start in starts) and not any(_is_requests(data, start) for start in starts)


def _is_chain(data: bytes, at: int) -> bool:
    for _ in range(MAX_CHAIN):
        if at + 1 >= len(data) or data[at] != _MORE:
            return False
        at += 2 + data[at + 1]
    return True


def _is_requests(data: bytes, at: int) -> bool:
    """Whether `data` from `at` on is at least one request of four or five frames, after the end of another."""
    ends, count = 0, 0
    while at + 9 <= len(data):
        flags = data[at]
        if flags & ~(_MORE | _LONG | _COMMAND):
            return False
        is_long = flags & _LONG
        at += 9 + int.from_bytes(data[at + 1 : at + 9], 'big') if is_long else 2 + data[at + 1]
        if flags & _COMMAND:
            continue
        count += 1
        if count > 5:
            return False
        if not flags & _MORE:
            if ends and count < 4:
                return False
            ends, count = ends + 1, 0
    return ends > 1


class MessageCounter:
    """Counts the messages read from each connection, by its file descriptor in this process."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, first_frame: zmq.Frame) -> None:
        """Count a message, unless its connection is gone."""
        with contextlib.suppress(zmq.ZMQError):
            descriptor = int(first_frame.get(zmq.SRCFD))
            self.counts[descriptor] = self.counts.get(descriptor, 0) + 1


def guard_port(
    port: int, watch: Watch, counter: MessageCounter, accepted_bytes: Callable[[], int]
) -> Callable[[], None]:
    """Watch the connections to `port` of this process in a thread, and return a function that ends it. Linux only."""
    stopped = threading.Event()
    if os.path.isdir('/proc/self/fd'):
        thread = threading.Thread(
            target=_watch, args=(port, watch, counter, accepted_bytes, stopped), name='guard', daemon=True
        )
        thread.start()
    return stopped.set


def _watch(
    port: int,
    watch: Watch,
    counter: MessageCounter,
    accepted_bytes: Callable[[], int],
    stopped: threading.Event,
) -> None:
    looks, seen, ebb = 0, 0, Ebb(INTERVAL_S)
    while not stopped.wait(INTERVAL_S):
        memory = resident_bytes()
        if ebb.has_come(memory):
            return_free_memory()
        looks += 1
        if looks < LOOKS_A_SCAN and memory - seen < GROWTH_BYTES:
            continue
        looks, seen = 0, memory
        received = received_bytes(port)
        for connection in watch.look(received, dict(counter.counts), memory - accepted_bytes(), next_bytes):
            logger.warning(
                'closed a connection from %s that sent an endless message bytes=%d',
                connection.address,
                received[connection],
            )
            shut_down(connection, resets=True)  # otherwise the system would keep a closed connection for a minute


def resident_bytes() -> int:
    """The resident memory of this process."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def received_bytes(port: int) -> dict[Connection, int]:
    """The bytes that the system has received so far for each connection to `port` of this process."""
    found = {}
    for name in os.listdir('/proc/self/fd'):
        with contextlib.suppress(OSError), borrowed(int(name)) as each:
            if each is None or each.type != socket.SOCK_STREAM or each.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            if each.getsockname()[1] == port:
                info = each.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO_BYTES)
                found[Connection(int(name), *peer_of(each))] = _RECEIVED.unpack_from(info, RECEIVED_AT)[0]
    return found


def next_bytes(connection: Connection) -> bytes:
    """The first bytes that the system has received for a connection and libzmq has not read yet."""
    with contextlib.suppress(OSError), borrowed(connection.descriptor) as found:
        if found is not None and peer_of(found) == (connection.address, connection.port):
            return found.recv(PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return b''
