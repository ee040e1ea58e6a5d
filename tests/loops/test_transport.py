"""Who gets a port, and the waiting for several things at once."""

from __future__ import annotations

import errno
import socket
import threading

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from bert_serving.server.errors import StartError
from bert_serving.server.transport import CommandQueue, Reactor, bind_tcp, make_socket
from support.ipv6 import needs_ipv6
from support.middlebox import Middlebox


def test_port_0_is_any_free_port_and_a_taken_one_is_named() -> None:
    with zmq.Context() as context:
        first, second = make_socket(context, zmq.PULL), make_socket(context, zmq.PULL)
        port = bind_tcp(first, 0, 'port')
        assert port > 0
        with pytest.raises(StartError, match='-port_out %d: cannot listen on it: the port is in use' % port):
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


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'peer_kind'), [(zmq.PULL, zmq.PUSH), (zmq.XPUB, zmq.SUB)])
def test_a_peer_whose_bytes_a_middlebox_swallows_is_dropped_when_its_heartbeats_stop(kind: int, peer_kind: int) -> None:
    with zmq.Context() as context, make_socket(context, kind) as listener, make_socket(context, peer_kind) as peer:
        box = Middlebox(bind_tcp(listener, 0, 'port'))
        events = listener.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        peer.setsockopt(zmq.HEARTBEAT_IVL, 100)
        peer.setsockopt(zmq.HEARTBEAT_TTL, 300)
        peer.setsockopt(zmq.RECONNECT_IVL, -1)
        peer.connect('tcp://127.0.0.1:%d' % box.port)
        assert recv_monitor_message(events)['event'] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        assert not events.poll(600)  # alive, it stays
        box.swallow()
        assert events.poll(20_000)
        assert recv_monitor_message(events)['event'] == zmq.EVENT_DISCONNECTED
        box.close()
        listener.disable_monitor()
        events.close()


def test_a_peer_that_has_vanished_is_noticed_within_half_a_minute() -> None:
    with zmq.Context() as context, make_socket(context, zmq.XPUB) as listener:
        bind_tcp(listener, 0, 'port_out')
        assert listener.getsockopt(zmq.TCP_KEEPALIVE) == 1
        names = (zmq.TCP_KEEPALIVE_IDLE, zmq.TCP_KEEPALIVE_INTVL, zmq.TCP_KEEPALIVE_CNT)
        idle_s, interval_s, count = [int(listener.getsockopt(name)) for name in names]
        assert idle_s + interval_s * count <= 30
        assert 0 < int(listener.getsockopt(zmq.TCP_MAXRT)) <= 60_000


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
    reactor.dispatch()
    assert called == ['first', 'added before']
    for reader, writer in pairs:
        reader.close()
        writer.close()


@needs_ipv6
@pytest.mark.parametrize(('address', 'reached_at'), [('::', ['127.0.0.1', '[::1]']), ('::1', ['[::1]'])])
def test_an_ipv6_socket_takes_ipv4_only_if_it_listens_everywhere(address: str, reached_at: list[str]) -> None:
    with zmq.Context() as context, make_socket(context, zmq.PULL) as listener:
        port = bind_tcp(listener, 0, 'port', address)
        with make_socket(context, zmq.PULL) as second, pytest.raises(StartError, match='the port is in use'):
            bind_tcp(second, port, 'port', address)
        for host in ['127.0.0.1', '[::1]']:
            with make_socket(context, zmq.PUSH) as peer:
                peer.setsockopt(zmq.IPV6, 1)
                peer.connect('tcp://%s:%d' % (host, port))
                peer.send(b'hello')
                assert bool(listener.poll(5000 if host in reached_at else 300)) is (host in reached_at)
                if host in reached_at:
                    assert listener.recv() == b'hello'


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


def test_a_command_queue_wakes_a_reactor_from_another_thread_and_keeps_the_order() -> None:
    commands = CommandQueue()
    reactor = Reactor()
    taken: list[int] = []
    reactor.add(commands.fileno(), lambda: taken.extend(commands.take_all()))
    thread = threading.Thread(target=lambda: [commands.put(command) for command in range(100)])
    thread.start()
    while len(taken) < 100:
        reactor.run_once(5000)
    thread.join()
    assert taken == list(range(100))
    commands.close()


def test_a_command_queue_that_nobody_empties_never_blocks_and_loses_nothing() -> None:
    commands = CommandQueue()
    for command in range(100_000):
        commands.put(command)
    assert commands.take_all() == list(range(100_000))
    commands.close()
    commands.put('too late')
