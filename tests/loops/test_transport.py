"""Where sockets lie, who gets a port, and the waiting for several things at once."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest
import zmq

from bert_serving.server.errors import StartError
from bert_serving.server.transport import Mailbox, Reactor, bind_tcp, is_loopback, make_socket, socket_folder


def test_the_socket_folder_is_private_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path('/tmp') / ('bss%d' % os.getpid())
    short.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(short))
    try:
        with socket_folder() as folder:
            assert Path(folder).parent == short
            assert Path(folder).stat().st_mode & 0o777 == 0o700
            Path(folder, 'socket').touch()
        assert list(short.iterdir()) == []
    finally:
        short.rmdir()


def test_a_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', '/no/such/folder')
    with pytest.raises(StartError, match=r'/no/such/folder.*ZEROMQ_SOCK_TMP_DIR'), socket_folder():
        pass


def test_a_path_too_long_for_a_socket_is_refused_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ('x' * 100)
    long.mkdir()
    monkeypatch.setenv('ZEROMQ_SOCK_TMP_DIR', str(long))
    with pytest.raises(StartError, match='too long'), socket_folder():
        pass
    assert list(long.iterdir()) == []


def test_port_0_is_any_free_port_and_a_taken_one_is_named() -> None:
    with zmq.Context() as context:
        first, second = make_socket(context, zmq.PULL), make_socket(context, zmq.PULL)
        port = bind_tcp(first, 0, 'port')
        assert port > 0
        with pytest.raises(StartError, match='-port_out %d: cannot listen on it: it is in use' % port):
            bind_tcp(second, port, 'port_out')
        first.close()
        second.close()


def test_a_port_that_can_not_be_had_says_why() -> None:
    class Denied:
        def setsockopt(self, *_option: int) -> None:
            pass

        def bind(self, _address: str) -> None:
            raise zmq.ZMQError(errno.EACCES)

    with pytest.raises(StartError, match='-port 5: cannot listen on it: Permission denied'):
        bind_tcp(Denied(), 5, 'port')  # type: ignore[arg-type]


def test_the_reactor_calls_back_in_the_order_of_adding_and_only_who_is_ready() -> None:
    reactor = Reactor()
    pairs = [socket.socketpair() for _ in range(3)]
    called: list[int] = []
    for index, (reader, _) in enumerate(pairs):
        reactor.add(reader.fileno(), lambda index=index: called.append(index))  # type: ignore[misc]
    for index in (2, 0):
        pairs[index][1].send(b'x')
    reactor.run_once(1000)
    assert called == [0, 2]
    reactor.remove(pairs[0][0].fileno())
    reactor.remove(pairs[0][0].fileno())
    reactor.run_once(1000)
    assert called == [0, 2, 2]
    for reader, writer in pairs:
        reader.close()
        writer.close()


def test_what_is_added_first_is_called_before_all_that_were_there() -> None:
    reactor = Reactor()
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[str] = []
    reactor.add(pairs[0][0].fileno(), lambda: called.append('added before'))
    reactor.add(pairs[1][0].fileno(), lambda: called.append('first'), first=True)
    for _, writer in pairs:
        writer.send(b'x')
    reactor.wait(1000)
    assert called == []
    reactor.call_back()
    assert called == ['first', 'added before']
    for reader, writer in pairs:
        reader.close()
        writer.close()


@pytest.mark.parametrize('address', ['127.0.0.1', '127.3.4.5', '::1', '::ffff:127.0.0.1'])
def test_a_peer_on_this_machine_is_known_by_its_address(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    'address', ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '0.0.0.0', '', 'localhost', '127.0.0.1:5']
)
def test_any_other_peer_is_taken_for_remote(address: str) -> None:
    assert not is_loopback(address)


def test_a_callback_may_remove_one_that_is_ready_too() -> None:
    reactor = Reactor()
    (first, first_end), (second, second_end) = socket.socketpair(), socket.socketpair()
    called: list[str] = []
    reactor.add(first.fileno(), lambda: reactor.remove(second.fileno()))
    reactor.add(second.fileno(), lambda: called.append('second'))
    first_end.send(b'x')
    second_end.send(b'x')
    reactor.run_once(1000)
    assert called == []
    for end in (first, first_end, second, second_end):
        end.close()


def test_a_mailbox_wakes_a_reactor_from_another_thread_and_keeps_the_order() -> None:
    mailbox = Mailbox()
    reactor = Reactor()
    taken: list[int] = []
    reactor.add(mailbox.fileno(), lambda: taken.extend(mailbox.take_all()))
    thread = threading.Thread(target=lambda: [mailbox.put(order) for order in range(100)])
    thread.start()
    while len(taken) < 100:
        reactor.run_once(5000)
    thread.join()
    assert taken == list(range(100))
    mailbox.close()


def test_a_mailbox_that_nobody_empties_never_blocks_and_loses_nothing() -> None:
    mailbox = Mailbox()
    for order in range(100_000):
        mailbox.put(order)
    assert mailbox.take_all() == list(range(100_000))
    mailbox.close()
    mailbox.put('too late')
