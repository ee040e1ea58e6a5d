"""`SocketPoll` hands events to the objects that wait for them, and asks an object only after something has happened."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bert_serving.server.http.socket_poll import SocketPoll

SOON_S = 0.0
LONG_S = 20.0


class Connection:
    """One end of a socket pair, in the place of a connection of waitress. The other end is `peer`."""

    accepting = False

    def __init__(self, sockets: SocketPoll) -> None:
        self.socket, self.peer = socket.socketpair()
        self.descriptor = self.socket.fileno()
        self.reads, self.writes = True, False
        self.asked = 0
        self.got: list[str] = []
        self.on_read: Callable[[], None] = lambda: None
        self._sockets = sockets
        sockets[self.descriptor] = self

    def readable(self) -> bool:
        self.asked += 1
        return self.reads

    def writable(self) -> bool:
        return self.writes

    def handle_read_event(self) -> None:
        self.got.append('read')
        self.socket.recv(1)
        self.on_read()

    def handle_write_event(self) -> None:
        self.got.append('write')

    def close(self) -> None:
        if self._sockets.get(self.descriptor) is self:
            del self._sockets[self.descriptor]
        self.socket.close()
        self.peer.close()

    handle_close = close


@pytest.fixture
def sockets() -> Iterator[SocketPoll]:
    sockets = SocketPoll()
    yield sockets
    sockets.close()


@pytest.fixture
def connect(sockets: SocketPoll) -> Callable[[], Connection]:
    return lambda: Connection(sockets)


Connect = Callable[[], Connection]


def test_an_object_gets_the_events_that_it_waits_for(sockets: SocketPoll, connect: Connect) -> None:
    reader, writer, neither = connect(), connect(), connect()
    writer.reads, writer.writes = False, True
    neither.reads = False
    for connection in (reader, writer, neither):
        connection.peer.send(b'x')
    sockets.wait(SOON_S)
    assert (reader.got, writer.got, neither.got) == (['read'], ['write'], [])


def test_silent_objects_are_asked_once_however_often_others_get_events(sockets: SocketPoll, connect: Connect) -> None:
    silent, busy = [connect() for _ in range(20)], connect()
    for _ in range(10):
        busy.peer.send(b'x')
        sockets.wait(SOON_S)
    assert busy.got == ['read'] * 10
    assert [connection.asked for connection in silent] == [1] * 20


def test_an_object_is_asked_again_after_its_event(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()

    def answer() -> None:
        connection.reads, connection.writes = False, True

    connection.on_read = answer
    connection.peer.send(b'xx')
    sockets.wait(SOON_S)
    sockets.wait(SOON_S)
    assert connection.got == ['read', 'write']


def test_an_object_is_asked_again_when_time_has_changed_what_it_wants(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()
    sockets.wait(SOON_S)
    connection.writes = True
    sockets.wait(SOON_S)
    assert connection.got == []
    sockets.ask_all()
    sockets.wait(SOON_S)
    assert connection.got == ['write']


def test_a_change_ends_the_wait_only_if_it_is_for_the_wrong_events(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()
    sockets.wait(SOON_S)
    assert not sockets.changed(connection.descriptor)
    connection.writes = True
    assert sockets.changed(connection.descriptor)
    sockets.wait(SOON_S)
    assert connection.got == ['write']
    assert not sockets.changed(connection.descriptor)
    connection.close()
    assert not sockets.changed(connection.descriptor)


def test_a_change_while_the_object_is_asked_is_seen(sockets: SocketPoll, connect: Connect) -> None:
    """The thread finds that the selector waits for what is wanted, because the loop has not yet told it otherwise."""
    connection = connect()
    sockets.wait(SOON_S)
    answers = iter([False, True])
    ended_late = []

    def readable() -> bool:
        answer = next(answers, True)
        if not answer:  # the loop has its answer; now the thread makes the object readable again
            thread = threading.Thread(target=lambda: ended_late.append(sockets.changed(connection.descriptor)))
            thread.start()
            thread.join()
        return answer

    connection.readable = readable  # type: ignore[method-assign]
    sockets.ask_all()
    connection.peer.send(b'x')
    sockets.wait(SOON_S)
    assert ended_late == [False]
    assert connection.got == ['read']


def test_an_object_that_was_closed_in_a_round_gets_no_event_of_it(sockets: SocketPoll, connect: Connect) -> None:
    first, second = connect(), connect()
    first.on_read, second.on_read = second.close, first.close
    first.peer.send(b'x')
    second.peer.send(b'x')
    sockets.wait(SOON_S)
    assert sorted([*first.got, *second.got]) == ['read']


def test_a_new_object_does_not_get_the_event_of_the_closed_one_with_its_descriptor(
    sockets: SocketPoll, connect: Connect
) -> None:
    connections = [connect(), connect()]
    made = []

    def replace(closed: Connection) -> Callable[[], None]:
        def close_and_connect() -> None:
            closed.close()
            made.append(connect())
            assert made[0].descriptor == closed.descriptor, 'the test needs the lowest free descriptor'

        return close_and_connect

    first, second = sorted(connections, key=lambda connection: connection.descriptor)
    first.on_read, second.on_read = replace(second), replace(first)
    for connection in connections:
        connection.peer.send(b'x')
    sockets.wait(SOON_S)
    assert made[0].got == []
    made[0].peer.send(b'x')
    sockets.wait(SOON_S)
    assert made[0].got == ['read']


def test_an_object_that_closes_itself_when_it_is_asked_is_forgotten(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()

    def readable() -> bool:
        connection.close()
        return True

    connection.readable = readable  # type: ignore[method-assign]
    sockets.wait(SOON_S)
    assert sockets == {}


def test_the_listener_is_never_asked_whether_it_writes(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()
    connection.accepting = connection.writes = True
    sockets.wait(SOON_S)
    assert connection.got == []


def test_the_end_of_a_connection_is_an_event_for_its_reader(sockets: SocketPoll, connect: Connect) -> None:
    connection = connect()
    connection.peer.close()
    sockets.wait(LONG_S)
    assert connection.got == ['read']


def test_close_closes_every_object() -> None:
    sockets = SocketPoll()
    connections = [Connection(sockets) for _ in range(3)]
    sockets.wait(SOON_S)
    sockets.close()
    assert sockets == {}
    assert [connection.socket.fileno() for connection in connections] == [-1] * 3
