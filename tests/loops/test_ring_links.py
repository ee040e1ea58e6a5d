"""The ring over TCP: who is let in, what waits for whom, and what a broken connection means."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from bert_serving.server.errors import StartError
from bert_serving.server.links.frames import FrameReader
from bert_serving.server.links.keys import KeyPair
from bert_serving.server.links.outlets import Outlets
from bert_serving.server.links.ports import JobPort, RingPort
from bert_serving.server.links.worker_links import LocalLinks, RemoteAddress, RemoteLinks, make_links
from bert_serving.server.protocol.ring import Drop, SinkMoved, Stop, decode_ring_message
from bert_serving.server.tcp import shut_down
from bert_serving.server.transport import Reactor, connection_of_message, make_socket
from support.waiting import wait_until

HOST = '127.0.0.1'


class Bench:
    """The ports of a server, and a worker on another machine."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.keys, self.workers = KeyPair.make(), KeyPair.make()
        self.jobs = JobPort(HOST, self.keys, self.workers.public)
        self.sink_keys = KeyPair.make()
        self.parts = RingPort(zmq.PULL, HOST, self.sink_keys, self.workers.public)
        self.reactor = Reactor()
        self.outlets = Outlets()
        self.outlets.listen(self.jobs, self.reactor)
        self.sockets: list[Any] = []

    @property
    def sink(self) -> str:
        return 'tcp://%s:%d %s' % (HOST, self.parts.number, self.sink_keys.public)

    def links(self, name: str = 'worker-0-1', keys: KeyPair | None = None, connect_s: float = 10) -> RemoteLinks:
        keys = keys or self.workers
        jobs = 'tcp://%s:%d' % (HOST, self.jobs.number)
        return RemoteLinks(RemoteAddress(jobs, self.keys.public, name, keys.public, keys.secret), connect_s)

    def keep(self, socket: Any) -> Any:
        """Close the socket with the bench."""
        self.sockets.append(socket)
        return socket

    def hear(self, name: str) -> None:
        """Run until the worker of that name has greeted."""
        deadline = time.monotonic() + 20
        while not self.jobs.has(name):
            assert time.monotonic() < deadline, 'no greeting has come'
            self.reactor.run_once(100)

    def close(self) -> None:
        for socket in self.sockets:
            socket.close()
        self.jobs.close()
        self.parts.close()
        self.context.term()


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the worker would end."""
    exited = threading.Event()
    monkeypatch.setattr('bert_serving.server.links.worker_links.os._exit', lambda _code: exited.set())
    monkeypatch.setattr('bert_serving.server.links.worker_links.logging.shutdown', lambda: None)
    return exited


@pytest.fixture
def bench(exits: threading.Event) -> Iterator[Bench]:
    """Ports that are closed while `exits` is still in place, because the end of a connection ends the process."""
    bench = Bench()
    yield bench
    bench.close()


def take(socket: Any) -> Any:
    assert socket.poll(5000), 'no message has come'
    return decode_ring_message(socket.recv_multipart())


def test_jobs_wait_until_the_worker_has_greeted_and_a_sink_is_ready(bench: Bench, exits: threading.Event) -> None:
    bench.outlets.open(bench.context, 0, 'tcp:worker-0-1', 'ipc://unused')
    bench.outlets.send(0, Drop(1))
    links = bench.links()
    intake = bench.keep(links.open_intake(bench.context))
    bench.hear('worker-0-1')
    assert not intake.poll(50), 'there is no sink yet'
    bench.outlets.find_sink('tcp://sink key')
    assert [take(intake), take(intake)] == [SinkMoved('tcp://sink key'), Drop(1)]
    bench.outlets.send(0, Drop(2))
    assert take(intake) == Drop(2)
    links.release()
    assert not exits.is_set()


def test_what_was_sent_for_a_sink_that_is_lost_is_forgotten(bench: Bench, exits: threading.Event) -> None:
    links = bench.links()
    intake = bench.keep(links.open_intake(bench.context))
    bench.hear('worker-0-1')
    bench.outlets.find_sink('tcp://first key')
    bench.outlets.open(bench.context, 0, 'tcp:worker-0-1', 'ipc://unused')
    assert take(intake) == SinkMoved('tcp://first key')
    bench.outlets.move_sink('ipc://unused')
    bench.outlets.send(0, Drop(1))
    bench.outlets.move_sink('ipc://unused')
    bench.outlets.send(0, Drop(2))
    bench.outlets.find_sink('tcp://third key')
    assert [take(intake), take(intake)] == [SinkMoved('tcp://third key'), Drop(2)]
    links.release()


def test_a_worker_is_told_to_stop_however_many_sinks_are_lost_before(bench: Bench, exits: threading.Event) -> None:
    links = bench.links()
    intake = bench.keep(links.open_intake(bench.context))
    bench.hear('worker-0-1')
    bench.outlets.open(bench.context, 0, 'tcp:worker-0-1', 'ipc://unused')
    bench.outlets.send(0, Drop(1))
    bench.outlets.send(0, Stop())
    bench.outlets.move_sink('ipc://unused')
    bench.outlets.find_sink('tcp://second key')
    assert [take(intake), take(intake)] == [SinkMoved('tcp://second key'), Stop()]
    links.release()


def test_a_worker_that_is_gone_gets_nothing_and_its_successor_only_its_own(
    bench: Bench, exits: threading.Event
) -> None:
    bench.outlets.find_sink('tcp://sink key')
    first = bench.links('worker-0-1')
    old = bench.keep(first.open_intake(bench.context))
    bench.hear('worker-0-1')
    bench.outlets.open(bench.context, 0, 'tcp:worker-0-1', 'ipc://unused')
    assert take(old) == SinkMoved('tcp://sink key')
    bench.outlets.close(0)
    assert 0 not in bench.outlets
    second = bench.links('worker-0-2')
    new = bench.keep(second.open_intake(bench.context))
    bench.outlets.open(bench.context, 0, 'tcp:worker-0-2', 'ipc://unused')
    bench.hear('worker-0-2')
    bench.outlets.send_to_all(Stop())
    assert [take(new), take(new)] == [SinkMoved('tcp://sink key'), Stop()]
    assert not old.poll(50)
    first.release()
    second.release()


def test_only_the_key_of_the_workers_is_let_in(
    bench: Bench, exits: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = bench.links('worker-0-1', KeyPair.make(), connect_s=5)
    with pytest.raises(StartError, match='cannot reach the server at tcp://127'):
        stranger.open_intake(bench.context)
    wait_until(lambda: 'refused a connection from 127.0.0.1 to a port of the ring: unknown key' in caplog.text)
    plain = bench.keep(make_socket(bench.context, zmq.DEALER))
    plain.connect('tcp://%s:%d' % (HOST, bench.jobs.number))
    plain.send(b'')
    friend = bench.keep(bench.links('worker-0-9').open_intake(bench.context))
    bench.hear('worker-0-9')
    assert bench.jobs._present == {b'worker-0-9'}
    assert friend is not None


def test_parts_come_in_with_the_key_of_the_workers(bench: Bench, exits: threading.Event) -> None:
    links = bench.links()
    push = bench.keep(links.connect_to_sink(bench.context, bench.sink))
    push.send(b'a part')
    assert bench.parts.socket.poll(5000)
    assert bench.parts.socket.recv() == b'a part'
    strange = bench.keep(bench.links('x', KeyPair.make()).connect_to_sink(bench.context, bench.sink))
    with contextlib.suppress(zmq.Again):  # it was refused already
        strange.send(b'a forgery', zmq.DONTWAIT)
    assert not bench.parts.socket.poll(300)


def test_a_peer_that_has_sent_nothing_but_heartbeats_holds_no_reader_up(bench: Bench) -> None:
    peer = bench.keep(make_socket(bench.context, zmq.PUSH))
    peer.setsockopt(zmq.CURVE_SERVERKEY, bench.sink_keys.public.encode())
    peer.setsockopt(zmq.CURVE_PUBLICKEY, bench.workers.public.encode())
    peer.setsockopt(zmq.CURVE_SECRETKEY, bench.workers.secret.encode())
    peer.setsockopt(zmq.HEARTBEAT_IVL, 20)
    peer.connect(bench.sink.partition(' ')[0])
    assert bench.parts.socket.poll(5000), 'libzmq has queued whose connection it is'
    reader = FrameReader(bench.parts.socket)
    assert reader.read() == []
    peer.send(b'a message')
    assert bench.parts.socket.poll(5000)
    assert [frame.bytes for frame in reader.read()] == [b'a message']


def test_a_worker_whose_connection_for_jobs_ends_ends_with_it(exits: threading.Event) -> None:
    bench = Bench()
    bench.keep(bench.links().open_intake(bench.context))
    assert not exits.is_set()
    bench.jobs.close()
    assert exits.wait(10)
    bench.jobs = JobPort(HOST, bench.keys, bench.workers.public)
    bench.close()


def test_a_worker_that_was_told_to_stop_may_lose_its_connection(exits: threading.Event) -> None:
    bench = Bench()
    links = bench.links()
    intake = links.open_intake(bench.context)
    links.release()
    intake.close()
    bench.close()
    assert not exits.is_set()


def test_a_worker_that_is_connected_to_a_living_sink_a_second_time_has_lost_parts_and_ends(
    bench: Bench, exits: threading.Event
) -> None:
    push = bench.keep(bench.links().connect_to_sink(bench.context, bench.sink))
    push.send(b'a part')
    assert bench.parts.socket.poll(5000)
    connection = connection_of_message(bench.parts.socket.recv(copy=False))
    assert connection is not None
    assert shut_down(connection)
    assert exits.wait(10)


def test_a_worker_that_does_not_reach_its_sink_ends(bench: Bench, exits: threading.Event) -> None:
    """Its jobs would wait for ever: it is idle, and its parts are nowhere."""
    nobody = bench.keep(make_socket(bench.context, zmq.PULL))
    port = nobody.bind_to_random_port('tcp://' + HOST)
    nobody.close()
    links = bench.links(connect_s=0.1)
    bench.keep(links.connect_to_sink(bench.context, 'tcp://%s:%d %s' % (HOST, port, bench.sink_keys.public)))
    assert exits.wait(10)


def test_a_worker_whose_sink_is_gone_waits_for_the_next_one(exits: threading.Event) -> None:
    bench = Bench()
    links = bench.links()
    push = bench.keep(links.connect_to_sink(bench.context, bench.sink))
    push.send(b'a part')
    assert bench.parts.socket.poll(5000)
    bench.parts.close()
    bench.sink_keys = KeyPair.make()
    bench.parts = RingPort(zmq.PULL, HOST, bench.sink_keys, bench.workers.public)
    bench.keep(links.connect_to_sink(bench.context, bench.sink)).send(b'another part')
    assert bench.parts.socket.poll(5000)
    assert not exits.is_set()
    bench.close()


def test_before_there_is_a_sink_a_worker_is_connected_to_none(bench: Bench, exits: threading.Event) -> None:
    assert bench.keep(bench.links().connect_to_sink(bench.context, '')).getsockopt(zmq.LAST_ENDPOINT) in (b'', b'\0')


def test_the_config_says_which_links_a_worker_has() -> None:
    assert isinstance(make_links({'intake': 'ipc://x'}), LocalLinks)
    remote = {'jobs': 'tcp://x:1', 'server_key': '', 'name': '', 'public_key': '', 'secret_key': ''}
    assert isinstance(make_links({'remote': remote}), RemoteLinks)
    assert 'secret' not in repr(RemoteAddress(**{**remote, 'secret_key': 'secret'})).replace('secret_key', '')
