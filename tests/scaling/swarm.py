"""Many clients in one thread, as light as they can be: they share the cores with the server that is measured.

Each has the two connections of a real client and sends its one request again as soon as it is answered. Its JSON is
made beforehand, and the vectors that come back are not looked at.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import orjson
import zmq

from bert_serving.server.benchmark.sentences import make_sentences
from bert_serving.server.parent.address import Address

WORDS = 18
"""Of every sentence: of one length, so that a worker's batcher fills its runs."""

QUIET_MS = 10_000
"""How long the server may be silent; then something is wrong."""


@dataclass
class Tally:
    """What came back within a time."""

    seconds: float = 0.0
    requests: int = 0
    rows: int = 0
    bytes: int = 0


class Swarm:
    """`clients` clients with requests of `rows` rows, no text twice. A context manager."""

    def __init__(self, server: Address, clients: int, rows: int) -> None:
        self._rows = rows
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._senders: dict[zmq.Socket[bytes], tuple[zmq.Socket[bytes], bytes, bytes]] = {}
        self._next_id = 1
        sentences = make_sentences(clients * rows, WORDS)
        for client in range(clients):
            identity = b'swarm-%04d' % client
            sender, receiver = self._context.socket(zmq.PUSH), self._context.socket(zmq.SUB)
            receiver.setsockopt(zmq.SUBSCRIBE, identity)
            receiver.setsockopt(zmq.RCVHWM, 0)
            sender.connect('tcp://%s:%d' % (server.host, server.port))
            receiver.connect('tcp://%s:%d' % (server.host, server.port_out))
            self._poller.register(receiver, zmq.POLLIN)
            payload = orjson.dumps(sentences[client * rows : (client + 1) * rows])
            self._senders[receiver] = sender, identity, payload

    def __enter__(self) -> Swarm:
        for receiver in self._senders:
            self._ask(receiver)
        return self

    def __exit__(self, *_exc: object) -> None:
        """Take in what is still on its way, so that the next swarm finds an idle server."""
        waiting = set(self._senders)
        while waiting and (ready := self._poller.poll(QUIET_MS)):
            for receiver, _ in ready:
                receiver.recv_multipart(copy=False)
                waiting.discard(receiver)
        self._context.destroy(linger=0)

    def run(self, rounds: int) -> Tally:
        """Go on until every client has been answered so many times, on average.

        Whole rounds, because the requests of one round are served by turns and so end all at about the same time.

        Raises:
            RuntimeError: an answer is none, or nothing comes for `QUIET_MS`.
        """
        tally = Tally()
        started = time.perf_counter()
        while tally.requests < rounds * len(self._senders):
            ready = self._poller.poll(QUIET_MS)
            if not ready:
                raise RuntimeError('no answer came for %d ms' % QUIET_MS)
            for receiver, _ in ready:
                frames = receiver.recv_multipart(copy=False)
                self._ask(receiver)
                if len(frames) != 4 or not len(frames[2]):
                    raise RuntimeError('not an answer: %r' % bytes(frames[1]))
                tally.requests += 1
                tally.rows += self._rows
                tally.bytes += len(frames[2])
        tally.seconds = time.perf_counter() - started
        return tally

    def _ask(self, receiver: zmq.Socket[bytes]) -> None:
        sender, identity, payload = self._senders[receiver]
        sender.send_multipart([identity, payload, b'%d' % self._next_id, b'%d' % self._rows], copy=False)
        self._next_id += 1
