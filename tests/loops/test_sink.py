"""The sink's loop on real sockets: its subscription gate, and what it tells the ventilator."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from bert_serving.server.errors import RequestError
from bert_serving.server.process.reports import StatusCallback
from bert_serving.server.protocol.ring import (
    ClientGone,
    Collected,
    Drop,
    DroppedPart,
    FailedPart,
    JobHeader,
    Lane,
    Part,
    Published,
    Refuse,
    RequestRef,
    RingMessage,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from bert_serving.server.protocol.wire import Answer
from bert_serving.server.sink.limits import DEFAULT_LIMITS, SinkLimits
from bert_serving.server.sink.sink import Sink
from bert_serving.server.transport import make_socket


class Bench:
    """A sink in a thread: messages are put in, reports come out, readers subscribe."""

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.reports = make_socket(self.context, zmq.PULL)
        self.reports.bind('inproc://feedback')
        ready = threading.Event()
        found: dict[str, Any] = {}

        def report_ready(payload: dict[str, Any], status: StatusCallback | None = None) -> None:
            assert status is not None
            self.status = status
            found.update(payload)
            ready.set()

        sink = Sink('inproc://intake', 'inproc://feedback', port_out=0, linger_ms=1000, limits=limits)
        self.thread = threading.Thread(target=sink.run, args=(self.context, report_ready))
        self.thread.start()
        assert ready.wait(10)
        self.port = found['port_out']
        self.intake = make_socket(self.context, zmq.PUSH)
        self.intake.connect('inproc://intake')
        self.readers: list[Any] = []

    def put(self, message: RingMessage) -> None:
        self.intake.send_multipart(encode_ring_message(message))

    def report(self) -> RingMessage:
        assert self.reports.poll(10_000), 'no report has come'
        return decode_ring_message(self.reports.recv_multipart())

    def published_within(self, seconds: float) -> list[Published]:
        """The reports of published requests that come in so long a time."""
        end = time.monotonic() + seconds
        reports = []
        while self.reports.poll(max(0, 1000 * (end - time.monotonic()))):
            reports.append(decode_ring_message(self.reports.recv_multipart()))
        return [report for report in reports if isinstance(report, Published)]

    def reader(self, *topics: bytes, hwm: int = 0) -> Any:
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, hwm)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect('tcp://127.0.0.1:%d' % self.port)
        self.readers.append(socket)
        return socket

    def raw_reader(self) -> Any:
        """A reader that says itself what it subscribes to, and shows whatever it is sent."""
        socket = self.context.socket(zmq.XSUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect('tcp://127.0.0.1:%d' % self.port)
        self.readers.append(socket)
        return socket

    def close(self) -> None:
        if self.thread.is_alive():
            self.put(Stop())
        self.thread.join(10)
        assert not self.thread.is_alive()
        for socket in (self.intake, self.reports, *self.readers):
            socket.close()
        self.context.term()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def impatient() -> Iterator[Bench]:
    bench = Bench(SinkLimits(unread_s=1.0))
    yield bench
    bench.close()


@pytest.fixture
def hasty() -> Iterator[Bench]:
    bench = Bench(SinkLimits(gone_s=0.3))
    yield bench
    bench.close()


def a_part(number: int = 1, identity: bytes = b'me') -> Part:
    header = JobHeader(RequestRef(number, identity, b'%d' % number, 1, 1), 0, 0, 0, 1, Lane.URGENT)
    return Part(3, header, Answer('float32', [1, 2], b'12345678'), 0)


def receive(reader: Any) -> list[bytes]:
    assert reader.poll(10_000), 'nothing was published'
    frames: list[bytes] = reader.recv_multipart()
    return frames


def test_results_dropped_on_late_subscribers_an_answer_waits_for_a_reader_that_comes_late(bench: Bench) -> None:
    bench.put(a_part())
    assert bench.report() == Collected(3, 1, 0, 0)
    assert not bench.reports.poll(300), 'published to nobody'
    frames = receive(bench.reader(b'me'))
    assert frames[0] == b'me'
    assert json.loads(frames[1]) == {'dtype': 'float32', 'shape': [1, 2], 'tokens': ''}
    assert frames[2:] == [b'12345678', b'1']
    assert bench.report() == Published(1, True)


def test_every_clone_gets_every_answer(bench: Bench) -> None:
    first, second = bench.reader(b'me'), bench.reader(b'me')
    for reader in (first, second):  # a subscription is known once its reader has had an answer
        bench.put(Status(b'me', b'0', b'{}'))
        while not reader.poll(50):
            bench.put(Status(b'me', b'0', b'{}'))
    bench.put(a_part())
    for reader in (first, second):
        while receive(reader)[-1] != b'1':
            pass


def test_subscribing_to_nothing_reads_nobodys_answers(bench: Bench) -> None:
    spy, reader = bench.reader(b''), bench.reader(b'me')
    for number in (1, 2, 3):
        bench.put(a_part(number))
        assert receive(reader)[-1] == b'%d' % number
    assert not spy.poll(300)


def test_an_answer_waits_while_its_reader_reconnects(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(a_part(1))
    receive(reader)
    assert [bench.report(), bench.report()] == [Collected(3, 1, 0, 0), Published(1, True)]
    reader.setsockopt(zmq.UNSUBSCRIBE, b'me')
    bench.put(Status(b'me', b'7', b'{}'))
    while reader.poll(200):
        reader.recv_multipart()
    bench.put(a_part(2))
    assert bench.report() == Collected(3, 2, 0, 0)
    assert not bench.reports.poll(200)
    reader.setsockopt(zmq.SUBSCRIBE, b'me')
    while receive(reader)[-1] != b'2':
        pass
    assert bench.report() == Published(2, True)


def test_errors_reach_the_one_who_asked(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(Refuse(b'me', b'8', RequestError('no rows')))
    assert json.loads(receive(reader)[1]) == {'error': {'type': 'BadRequest', 'message': 'no rows'}}
    bench.put(FailedPart(3, a_part(2).header, RequestError('element 1')))
    assert receive(reader)[3] == b'2'
    assert [bench.report(), bench.report()] == [Collected(3, 2, 0, 0), Published(2, False)]


def test_frames_that_are_no_message_are_dropped_with_a_word(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.intake.send_multipart([b'NONSENSE', b''])
    bench.put(Published(1, True))
    reader = bench.reader(b'me')
    bench.put(a_part())
    assert receive(reader)[-1] == b'1'
    assert 'NONSENSE' in caplog.text
    assert 'Published' in caplog.text


def test_a_dropped_request_is_not_published_and_its_worker_has_its_credit_back(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(Drop(1))
    bench.put(DroppedPart(3, a_part(1).header))
    bench.put(a_part(1))
    bench.put(a_part(2))
    assert receive(reader)[-1] == b'2'
    assert [bench.report() for _ in range(2)] == [Collected(3, 1, 0, 0)] * 2


def test_the_ventilator_is_told_of_a_client_that_does_not_come_back(hasty: Bench) -> None:
    staying, leaving = hasty.reader(b'staying'), hasty.reader(b'leaving')
    for reader, identity in ((staying, b'staying'), (leaving, b'leaving')):
        hasty.put(Status(identity, b'0', b'{}'))
        receive(reader)
    leaving.close()
    gone = hasty.report()
    assert isinstance(gone, ClientGone)
    assert gone.identity == b'leaving'
    assert not hasty.reports.poll(300)


def test_the_status_says_that_it_is_idle_and_what_was_given_up(bench: Bench) -> None:
    assert bench.status() == {'busy_s': 0.0, 'given_up': 0}


def test_a_stop_leaves_no_answer_behind_that_was_published(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(a_part(1))
    receive(reader)
    bench.put(a_part(2))
    bench.put(Stop())
    assert receive(reader)[-1] == b'2'


def test_a_reader_that_does_not_read_slows_nobody_and_gets_every_answer_later(bench: Bench) -> None:
    sleeper, reader = bench.reader(b'sleeper', hwm=1), bench.reader(b'me')
    body = bytes(1 << 20)
    for number in range(1, 201):  # 200 MB: more than the system's and ZeroMQ's queues together hold
        header = JobHeader(RequestRef(number, b'sleeper', b'%d' % number, 1, 1), 0, 0, 0, 1, Lane.URGENT)
        bench.put(Part(3, header, Answer('uint8', [1, len(body)], body), 0))
    bench.put(a_part(2000))
    assert receive(reader)[-1] == b'2000'
    published = bench.published_within(0.5)
    assert len(published) < 150, 'the test is no test: everything fits into the queues'
    assert [receive(sleeper)[-1] for _ in range(200)] == [b'%d' % number for number in range(1, 201)]


def test_when_one_of_two_clones_leaves_the_other_still_gets_its_answers(bench: Bench) -> None:
    leaving, staying = bench.reader(b'me'), bench.reader(b'me')
    for reader in (leaving, staying):
        bench.put(Status(b'me', b'0', b'{}'))
        while not reader.poll(50):
            bench.put(Status(b'me', b'0', b'{}'))
    leaving.close()
    time.sleep(0.2)  # the sink has seen it go
    bench.put(a_part(1))
    while receive(staying)[-1] != b'1':
        pass
    assert Published(1, True) in bench.published_within(1)


def test_when_the_last_of_two_clones_has_left_answers_wait(bench: Bench) -> None:
    clones = bench.reader(b'me'), bench.reader(b'me')
    for reader in clones:
        bench.put(Status(b'me', b'0', b'{}'))
        while not reader.poll(50):
            bench.put(Status(b'me', b'0', b'{}'))
    for reader in clones:
        reader.close()
    time.sleep(0.2)
    bench.put(a_part(1))
    assert bench.published_within(0.5) == []
    assert receive(bench.reader(b'me'))[-1] == b'1'


def test_a_reader_that_has_unsubscribed_from_one_identity_gets_only_the_other(bench: Bench) -> None:
    raw, other = bench.raw_reader(), bench.reader(b'me')
    raw.send(b'\1me')
    raw.send(b'\1other')
    for each in (raw, other):
        bench.put(Status(b'me', b'0', b'{}'))
        while not each.poll(50):
            bench.put(Status(b'me', b'0', b'{}'))
    raw.send(b'\0me')
    time.sleep(0.2)
    while raw.poll(50):
        raw.recv_multipart()
    bench.put(a_part(1))
    bench.put(a_part(2, identity=b'other'))
    assert receive(raw)[-1] == b'2'


def test_a_reader_that_is_given_up_loses_its_own_answers_with_a_word_and_nobody_elses(
    impatient: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sleeper, slow = impatient.reader(b'sleeper', hwm=1), impatient.reader(b'me', hwm=1)
    body = bytes(1 << 20)

    def put(identity: bytes, first: int, count: int) -> None:
        for number in range(first, first + count):
            header = JobHeader(RequestRef(number, identity, b'%d' % number, 1, 1), 0, 0, 0, 1, Lane.URGENT)
            impatient.put(Part(3, header, Answer('uint8', [1, len(body)], body), 0))

    put(b'sleeper', 1, 100)
    given_up = [report for report in impatient.published_within(2.5) if not report.answered]
    assert given_up
    assert 'its replies may be dropped' in caplog.text
    put(b'me', 1001, 100)
    for number in range(1001, 1101):
        assert receive(slow)[-1] == b'%d' % number
        time.sleep(0.002)
    assert receive(sleeper)[-1] == b'1'
