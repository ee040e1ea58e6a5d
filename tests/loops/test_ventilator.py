"""The ventilator's loop on real sockets: from a client's frames to jobs and to words for the sink."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from bert_serving.server.console.logs import ROOT
from bert_serving.server.options.settings import Settings
from bert_serving.server.protocol.ring import (
    ClientGone,
    Collected,
    Drain,
    Drop,
    Job,
    Published,
    Refuse,
    Register,
    RequestRef,
    RingMessage,
    SinkMoved,
    Status,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from bert_serving.server.protocol.wire import encode_client_message
from bert_serving.server.transport import Reactor, make_socket
from bert_serving.server.ventilator.ventilator import Ventilator
from support.raw_peer import connect_by_hand, frame
from support.waiting import wait_until


class Bench:
    """A ventilator whose sink and worker are sockets of the test's; `turn` lets it work off what has come."""

    def __init__(self, **options: Any) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self._sockets: list[zmq.Socket[Any]] = []
        self.terminations = 0
        settings = Settings(port=0, port_out=0, max_batch_size=4, priority_batch_size=1, prefetch_size=2, **options)
        self.ventilator = Ventilator(
            settings, lambda: {'server_version': '1.10.0'}, lambda: {'num_worker_restart': 0}, self._terminate
        )
        self.sink = self.make_socket(zmq.PULL)
        self.sink.bind('inproc://sink')
        port = self.ventilator.bind(self.context, 'inproc://feedback', 'inproc://sink')
        self.feedback = self.make_socket(zmq.PUSH)
        self.feedback.connect('inproc://feedback')
        self.client = self.make_socket(zmq.PUSH)
        self.client.connect('tcp://127.0.0.1:%d' % port)
        self.worker = self.make_socket(zmq.PULL)
        self.worker.bind('inproc://worker')
        self.reactor = Reactor()
        self.ventilator.listen(self.reactor)

    def make_socket(self, kind: int) -> zmq.Socket[Any]:
        """Make a socket that is closed with the bench."""
        self._sockets.append(make_socket(self.context, kind))
        return self._sockets[-1]

    def _terminate(self) -> None:
        self.terminations += 1

    def add_worker(self) -> None:
        self.ventilator.add_worker(0, 'inproc://worker')

    def ask(self, texts: Any, request_id: int = 1, rows: int | None = None) -> None:
        payload = texts if isinstance(texts, bytes) else json.dumps(texts).encode()
        self.client.send_multipart(
            encode_client_message(b'me', payload, request_id, len(texts) if rows is None else rows)
        )
        self.reactor.run_once(5000)

    def tell(self, message: RingMessage) -> None:
        self.feedback.send_multipart(encode_ring_message(message))
        self.reactor.run_once(5000)

    def heard(self, socket: Any) -> list[RingMessage]:
        """The messages that have come. Inside a process they are there as soon as they are sent."""
        messages = []
        while socket.poll(0):
            messages.append(decode_ring_message(socket.recv_multipart()))
        return messages

    def statistic(self) -> dict[str, Any]:
        self.client.send_multipart(encode_client_message(b'me', b'SHOW_STATUS', 7))
        self.reactor.run_once(5000)
        status = self.heard(self.sink)[-1]
        assert isinstance(status, Status)
        found: dict[str, Any] = json.loads(status.body)['statistic']
        return found

    def heard_by_worker(self) -> list[RingMessage]:
        """The messages to the worker, except the address of the first sink."""
        return [message for message in self.heard(self.worker) if message != SinkMoved('inproc://sink')]

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_request_is_registered_split_and_handed_out_by_credit(bench: Bench) -> None:
    bench.add_worker()
    texts = ['text %d' % i for i in range(9)]
    bench.ask(texts)
    assert bench.heard(bench.sink) == [Register(RequestRef(1, b'me', b'1', 3, 9))]
    jobs = [message for message in bench.heard_by_worker() if isinstance(message, Job)]
    assert [(job.header.part, job.header.rows) for job in jobs] == [(2, 1), (0, 4)], 'the urgent lane, then bulk'
    assert json.loads(bytes(jobs[1].payload)) == texts[:4]
    bench.tell(Collected(0, 1, 0, 0))
    (job,) = bench.heard_by_worker()
    assert isinstance(job, Job)
    assert job.header.part == 1
    assert bench.ventilator.unanswered == 1
    bench.tell(Published(1, True))
    assert bench.ventilator.unanswered == 0
    assert bench.ventilator.outcomes.rows_done == 9


def test_a_request_that_lies_about_its_rows_is_refused_with_both_numbers(bench: Bench) -> None:
    bench.ask(['a'] * 5, rows=6)
    (refusal,) = bench.heard(bench.sink)
    assert isinstance(refusal, Refuse)
    assert '6 rows' in refusal.error.message
    assert '5' in refusal.error.message


def test_malformed_json_above_max_batch_size_is_refused_and_the_next_request_served(bench: Bench) -> None:
    bench.ask(b'[[[', rows=100)
    bench.ask(['a'], request_id=2, rows=0)
    bench.ask(['a'], request_id=3)
    kinds = [type(message).__name__ for message in bench.heard(bench.sink)]
    assert kinds == ['Refuse', 'Refuse', 'Register']


@pytest.mark.parametrize('frames', [[b'x'], [b'', b'["a"]', b'1', b'1'], [b'me', b'["a"]', b'one', b'1'], [b'a'] * 9])
def test_garbage_is_logged_and_dropped(bench: Bench, frames: list[bytes], caplog: pytest.LogCaptureFixture) -> None:
    bench.client.send_multipart(frames)
    bench.reactor.run_once(5000)
    bench.ask(['a'])
    assert bench.heard(bench.sink) == [Register(RequestRef(1, b'me', b'1', 1, 1))]
    assert 'dropped' in caplog.text


def test_an_identity_with_a_hash_or_bytes_beyond_ascii_is_one_like_any_other(bench: Bench) -> None:
    for request_id, identity in enumerate((b'me#1', 'mé'.encode('latin-1')), 1):
        bench.client.send_multipart(encode_client_message(identity, b'["a"]', request_id, 1))
        bench.reactor.run_once(5000)
    registered = [message for message in bench.heard(bench.sink) if isinstance(message, Register)]
    assert [message.request.identity for message in registered] == [b'me#1', b'm\xe9']


def test_a_status_goes_to_the_one_who_asked(bench: Bench) -> None:
    for command in (b'SHOW_CONFIG', b'SHOW_STATUS'):
        bench.client.send_multipart(encode_client_message(b'me', command, 7))
        bench.reactor.run_once(5000)
    config, status = bench.heard(bench.sink)
    assert isinstance(config, Status)
    assert isinstance(status, Status)
    assert json.loads(config.body) == {'client': 'me', 'server_version': '1.10.0'}
    assert json.loads(status.body)['statistic']['num_sys_request'] == 2


def test_a_peer_on_another_machine_gets_the_status_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_local, expected in ((True, '/home/me/mine'), (False, 'mine')):
        monkeypatch.setattr('bert_serving.server.ventilator.ventilator.is_local', lambda _p, _o, it=is_local: it)
        bench = Bench()
        monkeypatch.setattr(bench.ventilator, '_describe', lambda: {'model_dir': '/home/me/mine'})
        bench.client.send_multipart(encode_client_message(b'me', b'SHOW_CONFIG', 7))
        bench.reactor.run_once(5000)
        (config,) = bench.heard(bench.sink)
        assert isinstance(config, Status)
        assert json.loads(config.body) == {'client': 'me', 'model_dir': expected}
        bench.close()


def test_a_termination_is_passed_on(bench: Bench) -> None:
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == 1


def test_a_termination_from_another_machine_is_not_obeyed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr('bert_serving.server.ventilator.ventilator.is_local', lambda _peer, _own: False)
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == 0
    assert '127.0.0.1' in caplog.text
    assert '-allow_remote_terminate' in caplog.text


def test_a_termination_from_another_machine_is_obeyed_if_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('bert_serving.server.ventilator.ventilator.is_local', lambda _peer, _own: False)
    bench = Bench(allow_remote_terminate=True)
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == 1
    bench.close()


@pytest.mark.parametrize(('user', 'terminations'), [(None, 1), (0, 1), (os.geteuid(), 1), (os.geteuid() + 1, 0)])
def test_another_user_of_the_machine_cannot_stop_the_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, user: int | None, terminations: int
) -> None:
    """Of a client that has closed its connection at once, as that of 1.10 does, nobody knows the user."""
    monkeypatch.setattr('bert_serving.server.ventilator.ventilator.owner_of_peer', lambda _connection: user)
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == terminations
    assert ('it came from another user' in caplog.text) is (not terminations)


def test_no_local_user_can_stop_a_server_that_obeys_signals_only(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(no_terminate=True)
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == 0
    assert '-no_terminate' in caplog.text
    bench.close()


def test_a_request_that_is_too_large_or_comes_on_top_of_too_much_is_refused_and_counted() -> None:
    bench = Bench(max_request_rows=10, max_queue_rows=12, max_message_bytes=1000)
    bench.ask(['a'] * 10)
    bench.ask(['a'] * 11, request_id=2)
    bench.ask(['a' * 1000], request_id=3)
    bench.ask(['a'] * 3, request_id=4)
    refusals = [message for message in bench.heard(bench.sink) if isinstance(message, Refuse)]
    assert [(r.request_id, r.error.type) for r in refusals] == [(b'2', 'TooLarge'), (b'3', 'TooLarge'), (b'4', 'Busy')]
    counted = bench.statistic()
    assert (counted['num_refused_request'], counted['num_busy_request'], counted['queue_rows']) == (2, 1, 10)
    bench.close()


def test_the_status_counts_from_zero_what_an_operator_needs(bench: Bench) -> None:
    counted = bench.statistic()
    assert counted.pop('num_sys_request') == counted.pop('num_total_request') == counted.pop('num_total_client') == 1
    times = [counted.pop(name) for name in ('queue_time', 'total_time')]
    assert [time['count'] for time in times] == [0, 0]
    numbers = {name: value for name, value in counted.items() if not name.endswith('request_per_client')}
    assert {'num_garbage_message', 'num_worker_restart', 'queue_rows', 'num_requeued_job'} <= numbers.keys()
    assert set(numbers.values()) == {0}
    bench.client.send_multipart([b'x'])
    bench.reactor.run_once(5000)
    assert bench.statistic()['num_garbage_message'] == 1


def test_a_cancelled_request_is_dropped_at_the_worker_and_the_sink(bench: Bench) -> None:
    bench.add_worker()
    bench.ask(['a'])
    bench.client.send_multipart(encode_client_message(b'me', b'CANCEL', 1))
    bench.reactor.run_once(5000)
    assert bench.heard(bench.sink)[1:] == [Drop(1)]
    assert bench.heard_by_worker()[1:] == [Drop(1)]
    assert bench.ventilator.unanswered == 0


def test_the_work_for_a_client_that_has_gone_is_dropped(bench: Bench) -> None:
    bench.ask(['a'])
    bench.tell(ClientGone(b'me', 0.0))
    assert bench.heard(bench.sink)[1:] == [Drop(1)]
    assert bench.ventilator.unanswered == 0


def test_a_request_whose_deadline_has_passed_is_answered_with_that(bench: Bench) -> None:
    frames = encode_client_message(b'me', b'["a"]', 1, 1)
    bench.client.send_multipart([*frames, b'{"deadline_ms": 20}'])
    bench.reactor.run_once(5000)
    assert bench.ventilator.awaits_tick

    def tick() -> bool:
        bench.ventilator.tick()
        return not bench.ventilator.awaits_tick

    wait_until(tick)
    refusal = bench.heard(bench.sink)[-1]
    assert isinstance(refusal, Refuse)
    assert refusal.error.type == 'DeadlineExceeded'


def test_a_new_sink_is_told_of_what_is_unfinished_and_the_workers_of_the_sink(bench: Bench) -> None:
    bench.add_worker()
    bench.ask(['a'])
    bench.heard(bench.worker)
    bench.tell(Collected(0, 1, 0, 0))
    bench.feedback.send_multipart(encode_ring_message(Collected(0, 1, 0, 0)))  # its last words
    next_sink = bench.make_socket(zmq.PULL)
    next_sink.bind('inproc://sink-2')
    bench.ventilator.replace_sink('inproc://feedback-2', 'inproc://sink-2')
    bench.ventilator.sink_ready()
    assert bench.heard(next_sink) == [Register(RequestRef(1, b'me', b'1', 1, 1))]
    moved, job = bench.heard(bench.worker)
    assert moved == SinkMoved('inproc://sink-2')
    assert isinstance(job, Job)
    assert job.header.attempt == 1
    feedback = bench.make_socket(zmq.PUSH)
    feedback.connect('inproc://feedback-2')
    feedback.send_multipart(encode_ring_message(Published(1, True)))
    bench.reactor.run_once(5000)
    assert bench.ventilator.unanswered == 0


def test_what_the_old_sink_published_with_its_last_words_is_not_computed_again(bench: Bench) -> None:
    bench.ask(['a'])
    bench.feedback.send_multipart(encode_ring_message(Published(1, True)))
    bench.ventilator.replace_sink('inproc://feedback-2', 'inproc://sink-2')
    assert bench.ventilator.unanswered == 0
    assert bench.ventilator.outcomes.rows_done == 1


def test_a_worker_that_comes_later_is_told_which_sink_there_is(bench: Bench) -> None:
    bench.ventilator.replace_sink('inproc://feedback-2', 'inproc://sink-2')
    bench.add_worker()
    assert bench.heard(bench.worker) == [SinkMoved('inproc://sink-2')]


def test_while_draining_new_requests_are_refused(bench: Bench) -> None:
    bench.ask(['a'])
    bench.ventilator.start_drain()
    bench.ask(['b'], request_id=2)
    register, drain, refusal = bench.heard(bench.sink)
    assert isinstance(register, Register)
    assert drain == Drain()
    assert isinstance(refusal, Refuse)
    assert refusal.error.type == 'ShuttingDown'


def test_what_has_come_when_the_port_is_let_go_is_refused(bench: Bench) -> None:
    bench.ventilator.start_drain()
    client = bench.make_socket(zmq.PUSH)  # over TCP nobody could tell when both have come
    bench.ventilator._requests.bind('inproc://requests')
    client.connect('inproc://requests')
    for request_id in (1, 2):
        client.send_multipart(encode_client_message(b'me', b'["a"]', request_id, 1))
    bench.ventilator.stop_listening()
    refused = [message.request_id for message in bench.heard(bench.sink) if isinstance(message, Refuse)]
    assert refused == [b'1', b'2']


def test_what_comes_from_the_sink_is_read_before_new_requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(bench.ventilator, '_handle', lambda event: seen.append(type(event).__name__))
    bench.client.send_multipart(encode_client_message(b'me', b'["e"]', 2, 1))
    for part in range(3):
        bench.feedback.send_multipart(encode_ring_message(Collected(0, 1, part, 0)))
    assert bench.ventilator._requests.poll(5000)
    bench.reactor.run_once(5000)
    assert seen == ['Collected'] * 3 + ['EncodeRequest']


def test_a_message_that_breaks_our_own_code_is_its_senders_trouble_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_args: object) -> None:
        raise ZeroDivisionError('not thought of')

    monkeypatch.setattr('bert_serving.server.ventilator.splitting.parse_texts', parse)
    bench.ask(['a'] * 5)
    (refusal,) = bench.heard(bench.sink)
    assert isinstance(refusal, Refuse)
    assert refusal.error.type == 'InternalError'
    monkeypatch.undo()
    bench.ask(['a'], request_id=2)
    assert isinstance(bench.heard(bench.sink)[0], Register)


def test_a_flood_of_terminations_is_one_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level('INFO')
    for _ in range(5):
        bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
        bench.reactor.run_once(5000)
    assert bench.terminations == 5
    assert caplog.text.count('asked the server to stop') == 1


def test_the_jobs_of_a_lost_worker_wait_for_the_next(bench: Bench) -> None:
    bench.add_worker()
    bench.ask(['a'])
    assert len(bench.heard_by_worker()) == 1
    bench.ventilator.remove_worker(0)
    bench.ventilator.remove_worker(0)
    bench.add_worker()
    (job,) = bench.heard_by_worker()
    assert isinstance(job, Job)
    assert job.header.attempt == 1


def test_a_request_alone_on_machine_after_machine_that_is_lost_is_answered_at_last(bench: Bench) -> None:
    bench.ask(['a'])
    for attempt in range(5):
        bench.add_worker()
        (job,) = bench.heard_by_worker()
        assert isinstance(job, Job)
        assert (job.header.attempt, job.header.reduced_batch) == (attempt, False)
        bench.ventilator.remove_worker(0, with_machine=True)
    assert bench.heard(bench.sink) == [Register(RequestRef(1, b'me', b'1', 1, 1))], 'and no error'


def test_workers_and_sink_are_told_to_stop(bench: Bench) -> None:
    bench.add_worker()
    bench.ventilator.stop_workers()
    bench.ventilator.stop_sink()
    assert bench.heard_by_worker() == [Stop()]
    assert bench.heard(bench.sink) == [Stop()]


def test_reports_that_are_no_message_are_dropped_with_a_word(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.feedback.send_multipart([b'NONSENSE'])
    bench.tell(Stop())
    bench.ask(['a'])
    assert bench.heard(bench.sink) == [Register(RequestRef(1, b'me', b'1', 1, 1))]
    assert 'NONSENSE' in caplog.text


def test_a_worker_that_retires_is_told_to_stop_as_soon_as_its_last_job_is_collected(bench: Bench) -> None:
    bench.add_worker()
    bench.ask(['a'] * 5)
    bench.heard(bench.worker)
    stopping: list[int] = []
    bench.ventilator.retire_worker(0, lambda: stopping.append(0))
    bench.tell(Collected(0, 1, 0, 0))
    assert (bench.heard(bench.worker), stopping) == ([], []), 'it holds another job'
    bench.tell(Collected(0, 1, 1, 0))
    assert (bench.heard(bench.worker), stopping) == ([Stop()], [0])
    bench.ventilator.remove_worker(0)


def test_a_worker_that_retires_holds_nothing_any_more_when_the_sink_is_lost(bench: Bench) -> None:
    bench.add_worker()
    bench.ask(['a'])
    bench.heard(bench.worker)
    stopping: list[int] = []
    bench.ventilator.retire_worker(0, lambda: stopping.append(0))
    bench.sink = bench.make_socket(zmq.PULL)
    bench.sink.bind('inproc://next-sink')
    bench.ventilator.replace_sink('inproc://next-feedback', 'inproc://next-sink')
    assert bench.heard(bench.worker) == [SinkMoved('inproc://next-sink'), Stop()]
    assert stopping == [0]


def test_no_longer_than_they_can_come_are_the_last_reports_of_dead_processes_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('bert_serving.server.ventilator.ventilator.LAST_WORDS_MS', 3_600_000)
    bench.add_worker()
    bench.ventilator.remove_worker(0)
    bench.add_worker()
    bench.ask(['a'])
    bench.feedback.send_multipart(encode_ring_message(Collected(0, 1, 0, 0)))
    bench.ventilator.remove_worker(0)
    bench.feedback.send_multipart(encode_ring_message(Published(1, True)))
    bench.sink = bench.make_socket(zmq.PULL)
    bench.sink.bind('inproc://next-sink')
    bench.ventilator.replace_sink('inproc://next-feedback', 'inproc://next-sink')
    assert bench.heard(bench.sink) == [], 'nothing is computed again'


def test_a_poisoned_request_is_logged_with_its_story(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.add_worker()
    bench.ask(['they kill'])
    for _ in range(3):
        bench.ventilator.remove_worker(0)
        bench.add_worker()
    refused, poisoned = (record.getMessage() for record in caplog.records)
    assert refused == 'refused a request id=1 client=me: this request crashed two workers; do not retry it'
    assert poisoned.startswith('poisoned request number=1: 0.000 s: accepted id=1 client=me rows=1 parts=1; ')
    assert poisoned.count('alone=True') == 2


def test_a_request_that_met_something_unusual_is_logged_with_its_story_in_verbose_mode(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('DEBUG', logger=ROOT)  # a server in an earlier test may have set another
    bench.ask(['plain'], request_id=1)
    bench.tell(Published(1, True))
    bench.ask(['unlucky'], request_id=2)
    bench.add_worker()
    bench.ventilator.remove_worker(0)
    bench.tell(Published(2, True))
    bench.ask(['not wanted'], request_id=3)
    bench.client.send_multipart(encode_client_message(b'me', b'CANCEL', 3))
    bench.reactor.run_once(5000)
    told = [record.getMessage() for record in caplog.records if 'finished request' in record.getMessage()]
    assert [line[:26] for line in told] == ['finished request number=2:', 'finished request number=3:']
    assert 'lost part=0 attempt=0 worker=0' in told[0]
    assert told[1].endswith(': cancelled')


def test_a_message_of_very_many_frames_is_read_in_slices_while_reports_are_read(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.add_worker()
    bench.ask(['a'], request_id=1)
    bench.client.send_multipart([b'x'] * 5000)
    bench.reactor.run_once(5000)
    assert 'dropped' not in caplog.text, 'it was read in one go'
    bench.tell(Collected(0, 1, 0, 0))
    bench.tell(Published(1, True))
    assert bench.ventilator.unanswered == 0
    assert wait_until(lambda: bench.reactor.run_once(1) or 'dropped a message of 5000 frames' in caplog.text)
    assert 'closed a connection from 127.0.0.1' in caplog.text
    assert bench.statistic()['num_garbage_message'] == 1


def send_until_cut_off(port: int, data: bytes) -> None:
    """Send `data` again and again. The server must end the connection, not merely stop to read from it."""
    with connect_by_hand(port) as endless:
        try:
            while True:
                endless.sendall(data)
        except ConnectionError:
            pass


def test_a_message_that_never_ends_is_cut_off_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr('bert_serving.server.guard.INTERVAL_S', 0.01)
    bench = Bench(max_message_bytes=1000)
    port = int(bench.client.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(':')[2])
    send_until_cut_off(port, frame(b'x' * 100, more=True))
    assert wait_until(lambda: 'that sent an endless message' in caplog.text)
    bench.ask(['a'])
    assert [type(message) for message in bench.heard(bench.sink)] == [Register]
    bench.close()


def test_a_message_of_millions_of_empty_frames_is_cut_off_while_it_is_small(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A frame takes 64 bytes of memory for two on the wire. Reading them all would delay other messages for seconds."""
    monkeypatch.setattr('bert_serving.server.guard.INTERVAL_S', 0.01)
    monkeypatch.setattr('bert_serving.server.guard.GROWTH_BYTES', 1 << 20)
    bench = Bench()
    port = int(bench.client.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(':')[2])
    send_until_cut_off(port, frame(b'', more=True) * 10_000)
    assert wait_until(lambda: 'that sent an endless message' in caplog.text)
    bench.ask(['a'])
    assert [type(message) for message in bench.heard(bench.sink)] == [Register]
    bench.close()
