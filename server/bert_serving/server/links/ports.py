"""The ports of the ring over TCP: where workers of other machines get their jobs, and where they send their parts.

Both speak CURVE, and let in only the holders of the key that this server has made for its workers. Each has a context
of its own, because libzmq asks only one ZAP handler for each context, and the ports for clients have other rules.
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
"""How often each end of a connection asks the other whether it is there."""

SILENCE_MS = 20_000
"""A peer that does not answer for so long is gone: its machine, or the network between."""

WORKERS = 'ring'
"""The name of the holders of the workers' key."""


def watch_peer(socket: Socket) -> None:
    """Let libzmq close a connection of this socket whose peer does not answer any more."""
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENCE_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, SILENCE_MS)


class _WorkersOnly:
    """The rules of a port: one key, and no other."""

    def __init__(self, own: KeyPair, workers: str) -> None:
        self.secret_key = own.secret
        self.gate = self
        self._key = z85.decode(workers.encode())

    def name_of(self, raw_key: bytes) -> str | None:
        """Return the name of the holder of a key; None if it is not let in."""
        return WORKERS if raw_key == self._key else None

    def refuse_key(self, address: str, reason: str) -> None:
        """Note a peer that was refused."""
        logger.warning('refused a connection from %s to a port of the ring: %s', address, reason)


class RingPort:
    """A socket that listens for the workers of other machines."""

    def __init__(self, kind: int, address: str, own: KeyPair, workers: str) -> None:
        """Listen on a free port of `address`; `own` are the keys of this end, `workers` the public key of the others.

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
    """The port at which the workers of other machines get their jobs.

    A worker connects under a name that no other worker has had, and greets. From then on there is a queue to it, which
    ends with the connection: what is sent later is lost, and so is the worker (`worker_links.py`).
    """

    def __init__(self, address: str, own: KeyPair, workers: str) -> None:
        """Listen as `RingPort` does."""
        super().__init__(zmq.ROUTER, address, own, workers)
        self._present: set[bytes] = set()

    def read_greetings(self) -> None:
        """Note the workers that have greeted."""
        with contextlib.suppress(zmq.Again):
            while True:
                self._present.add(self.socket.recv_multipart(zmq.DONTWAIT)[0])

    def has(self, name: str) -> bool:
        """Whether the worker of that name has greeted."""
        return name.encode() in self._present

    def send(self, name: str, frames: Sequence[Any]) -> None:
        """Send a message to the worker of that name; never wait."""
        self.socket.send_multipart([name.encode(), *frames], zmq.DONTWAIT, copy=False)

    def forget(self, name: str) -> None:
        """Forget a worker that is gone."""
        self._present.discard(name.encode())
