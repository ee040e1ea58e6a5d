"""The ports of the ring over TCP, where workers on other machines get their jobs and send their parts.

Both ports use CURVE, and admit only holders of the key that this server has generated for its workers. Each has its own
context, because libzmq asks only one ZAP handler for each context, and the ports for clients have other rules.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import zmq
from zmq.utils import z85

from ..security.zap import admit_known_protocols
from ..transport import Context, Socket, bind_tcp, make_socket
from .keys import KeyPair

logger = logging.getLogger(__name__)

HEARTBEAT_MS = 2_000
"""Milliseconds between two checks by each end of a connection that the other end is alive."""

SILENCE_MS = 20_000
"""Milliseconds without an answer after which a peer counts as gone: its machine or the network has failed."""

WORKERS = 'ring'
"""The name of everyone who holds the workers' key."""


def watch_peer(socket: Socket) -> None:
    """Let libzmq close the connections of this socket whose peers do not answer any more."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE_MS)


class _WorkersOnly:
    """The rules of a port that admits a single key."""

    def __init__(self, own: KeyPair, workers: str) -> None:
        self.secret_key = own.secret
        self.gate = self
        self._key = z85.decode(workers.encode())

    def name_of(self, raw_key: bytes) -> str | None:
        """Return the name of the holder of a key, or None if the port does not admit the key."""
        return WORKERS if raw_key == self._key else None

    def refuse_key(self, address: str, reason: str) -> None:
        """Log a refused peer."""
        logger.warning('refused a connection from %s to a port of the ring: %s', address, reason)


class RingPort:
    """A socket that listens for workers on other machines."""

    def __init__(self, kind: int, address: str, own: KeyPair, workers: str) -> None:
        """Listen on a free port of `address`. `own` has the keys of this end, and `workers` is the workers' public key.

        Raises:
            StartError: nothing can listen on that address.
        """
        self._context: Context = zmq.Context()
        self.socket = make_socket(self._context, kind)
        try:
            admit_known_protocols(self._context, self.socket, _WorkersOnly(own, workers))
            watch_peer(self.socket)
            self.number = bind_tcp(self.socket, 0, 'ray_address_of_server', address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        self._context.term()


class JobPort(RingPort):
    """The port at which workers on other machines get their jobs.

    A worker connects under a name that no other worker has had, and greets. From then on there is a queue to the
    worker, which ends with the connection. Later messages are lost, and the worker exits (`worker_links.py`).
    """

    def __init__(self, address: str, own: KeyPair, workers: str) -> None:
        """Listen like a `RingPort`."""
        super().__init__(zmq.ROUTER, address, own, workers)
        self._present: set[bytes] = set()

    def read_greetings(self) -> None:
        """Record the workers that have greeted."""
        with contextlib.suppress(zmq.Again):
            while True:
                self._present.add(self.socket.recv_multipart(zmq.DONTWAIT)[0])

    def has(self, name: str) -> bool:
        """Whether the worker of that name has greeted."""
        return name.encode() in self._present

    def send(self, name: str, frames: Sequence[Any]) -> None:
        """Send a message to the worker of that name, without waiting."""
        self.socket.send_multipart([name.encode(), *frames], zmq.DONTWAIT, copy=False)

    def forget(self, name: str) -> None:
        """Forget a worker that is gone."""
        self._present.discard(name.encode())
