"""The sink's loop on real sockets: its subscription gate, and what it tells the ventilator."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue
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
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from bert_serving.server.protocol.wire import Answer
from bert_serving.server.sink.decider import SinkDecider
from bert_serving.server.sink.events import Action, Blocked, Event, Subscribed, Unsubscribed
from bert_serving.server.sink.sink import Sink
from bert_serving.server.transport import make_socket
from support.waiting import wait_until

BARRIER = 1_000_000
"""The number of a request that is none: `Bench.reports_so_far` recognizes its report by it."""


class Clock:
    """A clock that can be set forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class WatchedDecider(SinkDecider):
    """A decider that shows the events that it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.events: SimpleQueue[Event] = SimpleQueue()

    def handle(self, event: Event, now: float) -> list[Action]:
        actions = super().handle(event, now)
        self.events.put(event)
        return actions


class Bench:
    """A sink in a thread: messages are put in, reports come out, readers subscribe."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.reports = make_socket(self.context, zmq.PULL)
        self.reports.bind('inproc://feedback')
        self.clock = Clock()
        self.decider = WatchedDecider()
        ready = threading.Event()
        found: dict[str, Any] = {}

        def report_ready(payload: dict[str, Any], status: StatusCallback | None = None) -> None:
            assert status is not None
            self.status = status
            found.update(payload)
            ready.set()

        sink = Sink('inproc://intake', 'inproc://feedback', 0, linger_ms=1000, decider=self.decider, clock=self.clock)
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

    def reports_so_far(self) -> list[RingMessage]:
        """The reports that have come, when the sink has handled all messages that were put in."""
        barrier = a_part(BARRIER).header
        self.put(DroppedPart(3, barrier))
        return list(iter(self.report, Collected(3, BARRIER, 0, 0)))

    def wait_for(self, *events: Event) -> None:
        """Wait until the sink has been told of each of these, in any order. Forget the others up to the last."""
        missing = list(events)
        for event in self.events_to_come():
            if event in missing:
                missing.remove(event)
            if not missing:
                return

    def wait_until_blocked(self, identity: bytes) -> None:
        """Wait until a subscriber of `identity` has a full queue. Forget the events up to then."""
        for event in self.events_to_come():
            if isinstance(event, Blocked) and event.reply.identity == identity:
                return

    def events_to_come(self) -> Iterator[Event]:
        """The events that the sink is told, and a failure after some seconds: `Tick`s come forever."""
        until = time.monotonic() + 20
        while time.monotonic() < until:
            yield self.decider.events.get(timeout=10)
        pytest.fail('the event has not come')

    def reader(self, *topics: bytes, hwm: int = 0) -> Any:
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVBUF, 1 << 16)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        socket.connect('tcp://127.0.0.1:%d' % self.port)
        self.readers.append(socket)
        return socket

    def raw_reader(self) -> Any:
        """A reader that sends its subscriptions itself, and shows all that it receives."""
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


def a_part(number: int = 1, identity: bytes = b'me', body: bytes = b'12345678') -> Part:
    request = RequestRef(number, identity, b'%d' % number, 1, 1)
    header = JobHeader(request, part=0, attempt=0, first_row=0, rows=1, lane=Lane.URGENT)
    return Part(3, header, Answer('uint8', [1, len(body)], body), 0)


def receive(reader: Any) -> list[bytes]:
    assert reader.poll(10_000), 'nothing was published'
    frames: list[bytes] = reader.recv_multipart()
    return frames


def test_results_dropped_on_late_subscribers_an_answer_waits_for_a_reader_that_comes_late(bench: Bench) -> None:
    bench.put(a_part())
    assert bench.reports_so_far() == [Collected(3, 1, 0, 0)], 'published to nobody'
    frames = receive(bench.reader(b'me'))
    assert frames[0] == b'me'
    assert json.loads(frames[1]) == {'dtype': 'uint8', 'shape': [1, 8], 'tokens': ''}
    assert frames[2:] == [b'12345678', b'1']
    assert bench.report() == Published(1, True)


def test_every_clone_gets_every_answer(bench: Bench) -> None:
    clones = bench.reader(b'me'), bench.reader(b'me')
    bench.wait_for(Subscribed(b'me'), Subscribed(b'me'))
    bench.put(a_part())
    assert [receive(clone)[-1] for clone in clones] == [b'1', b'1']


def test_subscribing_to_nothing_reads_nobodys_answers(bench: Bench) -> None:
    spy, reader = bench.reader(b'', b'spy'), bench.reader(b'me')
    bench.wait_for(Subscribed(b'spy'))
    for number in (1, 2, 3):
        bench.put(a_part(number))
        assert receive(reader)[-1] == b'%d' % number
    bench.put(a_part(4, identity=b'spy'))
    assert receive(spy)[-1] == b'4', 'it was sent the answers of another'


def test_an_answer_waits_while_its_reader_reconnects(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(a_part(1))
    assert receive(reader)[-1] == b'1'
    assert [bench.report(), bench.report()] == [Collected(3, 1, 0, 0), Published(1, True)]
    reader.setsockopt(zmq.UNSUBSCRIBE, b'me')
    bench.wait_for(Unsubscribed(b'me'))
    bench.put(a_part(2))
    assert bench.reports_so_far() == [Collected(3, 2, 0, 0)]
    reader.setsockopt(zmq.SUBSCRIBE, b'me')
    assert receive(reader)[-1] == b'2'
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


def test_the_ventilator_is_told_of_a_client_that_does_not_come_back(bench: Bench) -> None:
    _staying, leaving = bench.reader(b'staying'), bench.reader(b'leaving')
    bench.wait_for(Subscribed(b'staying'), Subscribed(b'leaving'))
    leaving.close()
    bench.wait_for(Unsubscribed(b'leaving'))
    bench.clock.advance(bench.decider.publisher.limits.gone_s)
    gone = bench.report()
    assert isinstance(gone, ClientGone)
    assert gone.identity == b'leaving'
    assert bench.reports_so_far() == []


def test_the_heartbeat_says_that_it_is_idle_and_how_many_replies_were_discarded(bench: Bench) -> None:
    assert wait_until(lambda: bench.status() == {'busy_s': 0.0, 'given_up': 0, 'slow_readers': 0})


def test_a_stop_leaves_no_answer_behind_that_was_published(bench: Bench) -> None:
    reader = bench.reader(b'me')
    bench.put(a_part(1))
    receive(reader)
    bench.put(a_part(2))
    bench.put(Stop())
    assert receive(reader)[-1] == b'2'


LARGE = bytes(1 << 18)
"""100 bodies of that size are more than the queues of the system and of ZeroMQ hold."""


def test_a_reader_that_does_not_read_slows_nobody_and_gets_every_answer_later(bench: Bench) -> None:
    sleeper, reader = bench.reader(b'sleeper', hwm=1), bench.reader(b'me')
    for number in range(1, 101):
        bench.put(a_part(number, b'sleeper', LARGE))
    bench.wait_until_blocked(b'sleeper')
    bench.put(a_part(2000))
    assert receive(reader)[-1] == b'2000'
    assert [receive(sleeper)[-1] for _ in range(100)] == [b'%d' % number for number in range(1, 101)]


def test_a_reader_with_too_many_bytes_unread_is_cut_off_and_counted_and_nobody_waits_for_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """And of large replies only a few are given to ZeroMQ, which would queue any 32."""
    limits = replace(bench.decider.publisher.limits, unread_bytes_of_identity=16 * len(LARGE))
    bench.decider.publisher.limits = limits
    sleeper, reader = bench.reader(b'sleeper', hwm=1), bench.reader(b'me')
    bench.wait_for(Subscribed(b'sleeper'))  # of so many bytes without a subscriber, the sink keeps only the last reply
    body = bytes(9 << 20)
    for number in range(1, 6):
        bench.put(a_part(number, b'sleeper', body))
    bench.wait_until_blocked(b'sleeper')
    bench.put(a_part(2000))
    assert receive(reader)[-1] == b'2000'
    assert bench.status()['slow_readers'] == 0
    bench.clock.advance(limits.slow_s)
    bench.wait_for(Unsubscribed(b'sleeper'))
    assert bench.status()['slow_readers'] == 1
    assert 'closed the connections of sleeper' in caplog.text
    bench.put(a_part(2001))
    assert receive(reader)[-1] == b'2001'
    assert receive(sleeper)[0] == b'sleeper', 'it can come back for what is left'


def test_when_one_of_two_clones_leaves_the_other_still_gets_its_answers(bench: Bench) -> None:
    leaving, staying = bench.reader(b'me'), bench.reader(b'me')
    bench.wait_for(Subscribed(b'me'), Subscribed(b'me'))
    leaving.close()
    bench.wait_for(Unsubscribed(b'me'))
    bench.put(a_part(1))
    assert receive(staying)[-1] == b'1'
    assert Published(1, True) in bench.reports_so_far()


def test_when_the_last_of_two_clones_has_left_answers_wait(bench: Bench) -> None:
    clones = bench.reader(b'me'), bench.reader(b'me')
    bench.wait_for(Subscribed(b'me'), Subscribed(b'me'))
    for clone in clones:
        clone.close()
    bench.wait_for(Unsubscribed(b'me'), Unsubscribed(b'me'))
    bench.put(a_part(1))
    assert bench.reports_so_far() == [Collected(3, 1, 0, 0)]
    assert receive(bench.reader(b'me'))[-1] == b'1'


def test_a_reader_that_has_unsubscribed_from_one_identity_gets_only_the_other(bench: Bench) -> None:
    raw, other = bench.raw_reader(), bench.reader(b'me')
    raw.send(b'\1other')
    raw.send(b'\1me')
    bench.wait_for(Subscribed(b'other'), Subscribed(b'me'), Subscribed(b'me'))
    raw.send(b'\0me')
    bench.wait_for(Unsubscribed(b'me'))
    bench.put(a_part(1))
    bench.put(a_part(2, identity=b'other'))
    assert receive(raw)[-1] == b'2'
    assert receive(other)[-1] == b'1'


def test_a_reader_that_takes_nothing_loses_its_own_answers_with_a_warning_and_nobody_elses(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sleeper, slow = bench.reader(b'sleeper', hwm=1), bench.reader(b'me', hwm=1)
    for number in range(1, 101):
        bench.put(a_part(number, b'sleeper', LARGE))
    bench.wait_until_blocked(b'sleeper')
    bench.reports_so_far()  # all have come before the time is up: later ones would wait for the next subscription
    bench.clock.advance(bench.decider.publisher.limits.unread_s)
    while bench.report() != Published(100, False):
        pass
    assert 'its replies may be dropped' in caplog.text
    for number in range(1001, 1101):
        bench.put(a_part(number, b'me', LARGE))
    bench.wait_until_blocked(b'me')
    assert [receive(slow)[-1] for _ in range(100)] == [b'%d' % number for number in range(1001, 1101)]
    assert receive(sleeper)[-1] == b'1'


VICTIM = b'b8f7a149-8718-4765-9003-960e41a4ef6f'


def test_short_subscriptions_read_nobody_elses_answers(bench: Bench) -> None:
    spy, reader = bench.reader(*(bytes([byte]) for byte in range(256))), bench.reader(VICTIM)
    bench.wait_for(*(Subscribed(bytes([byte])) for byte in range(256)), Subscribed(VICTIM))
    for number in (1, 2):
        bench.put(a_part(number, VICTIM))
        assert receive(reader)[-1] == b'%d' % number
    bench.put(a_part(3, b'z'))
    assert spy.poll(10_000)
    assert receive(spy)[-1] == b'3', 'it was sent the answers of another'


def test_a_foreign_unsubscription_silences_nobody(bench: Bench) -> None:
    reader, raw = bench.reader(VICTIM), bench.raw_reader()
    raw.send(b'\1' + VICTIM)
    bench.wait_for(Subscribed(VICTIM), Subscribed(VICTIM))
    for _ in range(5):
        raw.send(b'\0' + VICTIM)
        raw.send(b'\1' + VICTIM)
        raw.send(b'\0' + VICTIM)
    raw.send(b'\1end')
    bench.wait_for(Subscribed(b'end'))
    bench.put(a_part(1, VICTIM))
    assert receive(reader)[-1] == b'1'


def test_one_who_subscribes_to_too_much_is_cut_off_and_others_get_in(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    most = bench.decider.publisher.limits.topics_of_connection
    bench.reader(*(b'a long name of subscription %d' % number for number in range(most + 1)))
    assert wait_until(lambda: 'a connection can have at most' in caplog.text)
    reader = bench.reader(VICTIM)
    bench.put(a_part(1, VICTIM))
    assert receive(reader)[-1] == b'1'


def test_a_subscription_that_is_longer_than_an_identity_is_not_kept(bench: Bench) -> None:
    greedy, reader = bench.raw_reader(), bench.reader(VICTIM)
    greedy.send(b'\1' + bytes(4000))
    greedy.send(b'\1' + bytes(300))
    bench.wait_for(Subscribed(VICTIM))
    bench.put(a_part(1, VICTIM))
    assert receive(reader)[-1] == b'1'
    assert not bench.decider.publisher._short
