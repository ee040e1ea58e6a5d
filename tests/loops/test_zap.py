"""Which connections libzmq accepts."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from bert_serving.server.security.zap import admit_known_protocols, decide
from bert_serving.server.transport import bind_tcp, make_socket
from support.raw_peer import HANDSHAKE, connect_by_hand, frame

V1_MESSAGE = b''.join(
    bytes([len(body) + 1, more]) + body for body, more in ((b'me', 1), (b'["a"]', 1), (b'1', 1), (b'1', 0))
)


class Sockets:
    """Sockets of one context, which are closed together."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self._made: list[Any] = []

    def make(self, kind: int) -> Any:
        self._made.append(make_socket(self.context, kind))
        return self._made[-1]

    def listen(self) -> tuple[Any, int]:
        """Make a socket that is asked for its peers, and its port."""
        listener = self.make(zmq.PULL)
        admit_known_protocols(self.context, listener)
        return listener, bind_tcp(listener, 0, 'port')


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.context.destroy(linger=0)


def test_a_web_page_cannot_send_messages_in_the_body_of_a_request(sockets: Sockets) -> None:
    listener, port = sockets.listen()
    with socket.create_connection(('127.0.0.1', port)) as page:
        page.sendall(b'\x01\0' + V1_MESSAGE)
        page.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while page.recv(1000):  # until it is closed
                pass
    client = sockets.make(zmq.PUSH)
    client.connect('tcp://127.0.0.1:%d' % port)
    client.send(b'from a socket of ZeroMQ')
    assert listener.poll(10_000)
    assert listener.recv() == b'from a socket of ZeroMQ'


def test_a_peer_of_zmtp_3_0_without_libzmq_is_let_in(sockets: Sockets) -> None:
    listener, port = sockets.listen()
    with connect_by_hand(port) as peer:
        peer.sendall(frame(b'hi'))
        assert listener.poll(10_000)
        assert listener.recv() == b'hi'


def test_bytes_that_are_sent_blindly_are_not_a_message(sockets: Sockets) -> None:
    listener, port = sockets.listen()
    with socket.create_connection(('127.0.0.1', port)) as peer:
        peer.sendall(HANDSHAKE + frame(b'hi'))
        peer.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            while peer.recv(1000):
                pass
    assert not listener.poll(0)


def test_two_sockets_of_one_context_share_the_gate(sockets: Sockets) -> None:
    for listener, port in (sockets.listen(), sockets.listen()):
        client = sockets.make(zmq.PUSH)
        client.connect('tcp://127.0.0.1:%d' % port)
        client.send(b'hi')
        assert listener.poll(10_000)


@pytest.mark.parametrize(
    ('question', 'status'),
    [
        ([b'1.0', b'7', b'clients', b'10.0.0.1', b'', b'NULL'], b'200'),
        ([b'1.0', b'7', b'clients', b'', b'', b'NULL'], b'400'),
        ([b'2.0', b'7', b'clients', b'10.0.0.1', b'', b'NULL'], b'400'),
        ([b'1.0', b'7'], b'400'),
        ([], b'400'),
    ],
)
def test_a_peer_without_an_address_is_refused(question: list[bytes], status: bytes) -> None:
    answer = decide(question)
    assert len(answer) == 6
    assert answer[2] == status
