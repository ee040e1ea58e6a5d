"""A client by hand: it sends whatever frames it is told to, and reads only when it is told to."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import zmq

from support.serving import ServerProcess


class RawClient:
    """Two sockets, and an identity that is subscribed to."""

    def __init__(self, context: zmq.Context[Any], port: int, port_out: int, identity: bytes, ip: str) -> None:
        self.identity = identity
        self._context = context
        self._proofs = 0
        self._port_out = 'tcp://%s:%d' % (ip, port_out)
        self._out = context.socket(zmq.PUSH)
        self._out.setsockopt(zmq.LINGER, 5000)
        self._out.connect('tcp://%s:%d' % (ip, port))

    def subscribe(self, **options: int) -> None:
        """Begin to be a reader, with these options of the socket."""
        self._back = self._context.socket(zmq.SUB)
        self._back.setsockopt(zmq.LINGER, 0)
        for name, value in options.items():
            self._back.setsockopt(getattr(zmq, name), value)
        self._back.setsockopt(zmq.SUBSCRIBE, self.identity)
        self._back.connect(self._port_out)

    def leave(self) -> None:
        """Be a reader no more."""
        self._back.close()

    def close(self) -> None:
        """Leave, once everything is sent."""
        self.leave()
        self._out.close()

    def send(self, *frames: bytes) -> None:
        self._out.send_multipart(frames)

    def ask(self, texts: Any, request_id: int = 1) -> None:
        self.send(self.identity, json.dumps(texts).encode(), b'%d' % request_id, b'%d' % len(texts))

    def receive(self, within_s: float = 30) -> list[bytes]:
        """The frames of the next answer."""
        assert self._back.poll(int(1000 * within_s)), 'no answer within %g s' % within_s
        return self._back.recv_multipart()

    def receive_error(self, within_s: float = 30) -> str:
        """The type of the error that the next answer is."""
        return str(json.loads(self.receive(within_s)[1])['error']['type'])

    def assert_served(self) -> None:
        """That a request is answered with its vectors, whatever comes before that."""
        self._proofs += 1
        request_id = (
            1_000_000 + self._proofs
        )  # the same again, before all have heard that it is answered, would be ignored
        self.ask(['the proof'], request_id)
        while (frames := self.receive())[-1] != b'%d' % request_id:
            pass
        assert json.loads(frames[1])['shape'] == [1, 3]

    def status(self) -> dict[str, Any]:
        self.send(self.identity, b'SHOW_STATUS', b'0', b'0')
        return dict(json.loads(self.receive()[1]))


@contextlib.contextmanager
def raw_client(
    server: ServerProcess, identity: bytes | None = None, ip: str = '127.0.0.1', **options: int
) -> Iterator[RawClient]:
    """One that is subscribed, with these `options` of its SUB socket.

    Its identity is one that nobody had before: of another's, that other's connection might still be there and be
    answered.
    """
    context: zmq.Context[Any] = zmq.Context()
    client = RawClient(context, server.port, server.port_out, identity or uuid.uuid4().hex.encode(), ip)
    client.subscribe(**options)
    try:
        yield client
    finally:
        client.close()
        context.term()
