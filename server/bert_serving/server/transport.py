"""Sockets as this server uses them: where they are bound, how long they hold on, and the wait for several at once.

Used by the loops and by the server in the parent process. Nothing here knows what a message means.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import queue
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from .errors import StartError

LONGEST_SOCKET_PATH = 100
"""The system's limit on the path of a Unix socket is 107 bytes; less our file names."""

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]


@contextlib.contextmanager
def socket_folder() -> Iterator[str]:
    """A new folder, private to this user, for the sockets of the ring; removed at the end.

    It lies in `ZEROMQ_SOCK_TMP_DIR`, as 1.10's sockets did, or in the system's folder for temporary files.

    Raises:
        StartError: the folder cannot be made, or its path is too long for a Unix socket.
    """
    parent = os.environ.get('ZEROMQ_SOCK_TMP_DIR') or tempfile.gettempdir()
    with temporary_folder(parent, 'ZEROMQ_SOCK_TMP_DIR') as folder:
        if len(os.fsencode(folder)) > LONGEST_SOCKET_PATH - len('/worker-000-000'):
            raise StartError('the path of the folder for sockets is too long for the system: %s (set '
                             'ZEROMQ_SOCK_TMP_DIR to a shorter one)' % folder)  # fmt: skip
        yield folder


class Endpoints:
    """Where the sockets of the ring are, in the folder of one server.

    A child has endpoints of its own, and the next in its place others: nothing that was meant for it, or came from it,
    reaches its successor.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._generations = 0
        self.workers: dict[int, str] = {}
        self.move_sink()

    def move_sink(self) -> None:
        """There will be another sink."""
        generation = self._next_generation()
        self.sink = self._address('sink-%d' % generation)
        self.feedback = self._address('feedback-%d' % generation)

    def move_worker(self, worker: int) -> None:
        """There will be another worker in that place, or the first."""
        self.workers[worker] = self._address('worker-%d-%d' % (worker, self._next_generation()))

    def _next_generation(self) -> int:
        self._generations += 1
        return self._generations

    def _address(self, name: str) -> str:
        return 'ipc://' + os.path.join(self._folder, name)


@contextlib.contextmanager
def temporary_folder(parent: str, variable: str) -> Iterator[str]:
    """A new folder in `parent`, private to this user; removed at the end.

    Raises:
        StartError: it cannot be made; the message names the environment `variable` that chooses the parent.
    """
    try:
        folder = tempfile.mkdtemp(prefix='bert-serving-', dir=parent)
    except OSError as error:
        raise StartError('no folder can be made in %s: %s (set %s to a writable one)'
                         % (parent, error.strerror, variable)) from None  # fmt: skip
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_socket(context: Context, kind: int) -> Socket:
    """A socket of `kind` that closes at once: whatever is wanted of a process, it is asked for before it is stopped.

    It has no high-water mark: what is on its way inside the ring is bounded by the credit.
    """
    made = context.socket(kind)
    made.setsockopt(zmq.LINGER, 0)
    made.setsockopt(zmq.SNDHWM, 0)
    made.setsockopt(zmq.RCVHWM, 0)
    return made


def bind_tcp(listener: Socket, port: int, option: str) -> int:
    """Listen on `port` of every interface, 0 for any free one; return the port.

    Raises:
        StartError: the port is in use or not allowed; it names the `option` that chose it.
    """
    listener.setsockopt(zmq.TCP_KEEPALIVE, 1)  # a peer that has vanished is noticed, and what is held for it let go
    listener.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 60)
    listener.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 10)
    listener.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    try:
        listener.bind('tcp://*:%d' % port)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            reason = 'it is in use; stop what listens there (a server of ours: bert-serving-terminate) or choose ' \
                     'another port'  # fmt: skip
        else:
            reason = str(error)
        raise StartError('-%s %d: cannot listen on it: %s' % (option, port, reason)) from None
    return int(listener.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(':')[2])


def is_loopback(address: str) -> bool:
    """Whether a peer's address, as ZeroMQ tells it, is this machine's own."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, 'ipv4_mapped', None)
    return bool((mapped or parsed).is_loopback)


class Reactor:
    """Waits for sockets and file descriptors and calls back for those that can be read, in the order they were added.

    The order is a priority: whoever was added first is called first in every round.
    """

    def __init__(self) -> None:
        self._poller = zmq.Poller()
        self._callbacks: dict[Any, Callable[[], None]] = {}
        self._ready: dict[Any, int] = {}

    def add(self, source: Socket | int, callback: Callable[[], None], first: bool = False) -> None:
        """Call `callback` whenever `source` can be read; with `first`, before all that are there."""
        self._callbacks = {source: callback, **self._callbacks} if first else {**self._callbacks, source: callback}
        self._poller.register(source, zmq.POLLIN)

    def remove(self, source: Socket | int) -> None:
        """Forget `source`; nothing happens if it is not known."""
        if self._callbacks.pop(source, None) is not None:
            self._poller.unregister(source)

    def run_once(self, timeout_ms: int) -> None:
        """Wait at most so long for anything to be readable, and call back once for everything that is."""
        self.wait(timeout_ms)
        self.call_back()

    def wait(self, timeout_ms: int) -> None:
        """The first half of a round: wait at most so long for anything to be readable."""
        self._ready = dict(self._poller.poll(timeout_ms))

    def call_back(self) -> None:
        """The second half: call back once for everything that `wait` found."""
        for source, callback in list(self._callbacks.items()):
            if source in self._ready and source in self._callbacks:
                callback()


class Mailbox:
    """Carries orders into a thread that waits in a `Reactor`; `put` may be called from any thread or signal handler."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Readable while an order waits."""
        return self._reader.fileno()

    def put(self, order: Any) -> None:
        """Leave an order and wake the thread; after `close`, do nothing."""
        self._orders.put(order)
        with contextlib.suppress(OSError):  # closed; or full, which wakes the reader as well
            self._writer.send(b'.')

    def take_all(self) -> list[Any]:
        """The orders left so far, in order."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass
        orders = []
        with contextlib.suppress(queue.Empty):
            while True:
                orders.append(self._orders.get_nowait())
        return orders

    def close(self) -> None:
        """Give the two file descriptors back."""
        self._reader.close()
        self._writer.close()
