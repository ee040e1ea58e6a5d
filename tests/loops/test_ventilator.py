"""The ventilator's loop on real sockets: from a client's frames to jobs and to words for the sink."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from bert_serving.server.settings import Settings
from bert_serving.server.transport import Reactor, make_socket
from bert_serving.server.ventilator import Ventilator
from bert_serving.server.wire import (
    Collected,
    Drain,
    Job,
    Published,
    Refuse,
    Register,
    RingMessage,
    Status,
    Stop,
    decode_ring_message,
    encode_client_message,
    encode_ring_message,
)


class Bench:
    """A ventilator whose sink and worker are sockets of the test's; `turn` lets it work off what has come."""

    def __init__(self) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.terminations = 0
        settings = Settings(port=0, port_out=0, max_batch_size=4, priority_batch_size=1, prefetch_size=2)
        self.ventilator = Ventilator(settings, lambda: {'server_version': '1.10.0'}, self._terminate)
        self.sink = make_socket(self.context, zmq.PULL)
        self.sink.bind('inproc://sink')
        port = self.ventilator.bind(self.context, 'inproc://feedback', 'inproc://sink')
        self.feedback = make_socket(self.context, zmq.PUSH)
        self.feedback.connect('inproc://feedback')
        self.client = make_socket(self.context, zmq.PUSH)
        self.client.connect('tcp://127.0.0.1:%d' % port)
        self.worker = make_socket(self.context, zmq.PULL)
        self.worker.bind('inproc://worker')
        self.reactor = Reactor()
        self.ventilator.listen(self.reactor)

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
        messages = []
        while socket.poll(50):
            messages.append(decode_ring_message(socket.recv_multipart()))
        return messages

    def close(self) -> None:
        self.context.destroy(linger=0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_request_is_registered_cut_and_handed_out_by_credit(bench: Bench) -> None:
    bench.add_worker()
    texts = ['text %d' % i for i in range(9)]
    bench.ask(texts)
    assert bench.heard(bench.sink) == [Register(1, 3, 9, b'me', b'1')]
    jobs = [message for message in bench.heard(bench.worker) if isinstance(message, Job)]
    assert [(job.header.part, job.header.rows) for job in jobs] == [(2, 1), (0, 4)], 'the urgent lane, then bulk'
    assert json.loads(bytes(jobs[1].payload)) == texts[:4]
    bench.tell(Collected(0, 1, 0, 0))
    (job,) = bench.heard(bench.worker)
    assert isinstance(job, Job)
    assert job.header.part == 1
    assert bench.ventilator.unanswered == 1
    bench.tell(Published(1, True))
    assert bench.ventilator.unanswered == 0
    assert bench.ventilator.rows_answered == 9


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
    assert bench.heard(bench.sink) == [Register(1, 1, 1, b'me', b'1')]
    assert 'dropped' in caplog.text


def test_an_identity_with_a_hash_or_bytes_beyond_ascii_is_one_like_any_other(bench: Bench) -> None:
    for request_id, identity in enumerate((b'me#1', 'mé'.encode('latin-1')), 1):
        bench.client.send_multipart(encode_client_message(identity, b'["a"]', request_id, 1))
        bench.reactor.run_once(5000)
    registered = [message for message in bench.heard(bench.sink) if isinstance(message, Register)]
    assert [message.identity for message in registered] == [b'me#1', b'm\xe9']


def test_a_status_goes_to_the_one_who_asked(bench: Bench) -> None:
    for command in (b'SHOW_CONFIG', b'SHOW_STATUS'):
        bench.client.send_multipart(encode_client_message(b'me', command, 7))
        bench.reactor.run_once(5000)
    config, status = bench.heard(bench.sink)
    assert isinstance(config, Status)
    assert isinstance(status, Status)
    assert json.loads(config.body) == {'client': 'me', 'server_version': '1.10.0'}
    assert json.loads(status.body)['statistic']['num_sys_request'] == 2


def test_a_termination_is_passed_on(bench: Bench) -> None:
    bench.client.send_multipart(encode_client_message(b'0', b'TERMINATION', 0))
    bench.reactor.run_once(5000)
    assert bench.terminations == 1


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
    for request_id in (1, 2):
        bench.client.send_multipart(encode_client_message(b'me', b'["a"]', request_id, 1))
    assert bench.ventilator._requests.poll(5000)
    time.sleep(0.2)  # the second, which came by the same connection, is there too
    bench.ventilator.stop_listening(bench.reactor)
    refused = [message.request_id for message in bench.heard(bench.sink) if isinstance(message, Refuse)]
    assert refused == [b'1', b'2']


def test_what_comes_from_the_sink_is_read_before_new_requests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(bench.ventilator, '_handle', lambda event: seen.append(type(event).__name__))
    bench.client.send_multipart(encode_client_message(b'me', b'["e"]', 2, 1))
    for part in range(3):
        bench.feedback.send_multipart(encode_ring_message(Collected(0, 1, part, 0)))
    assert bench.ventilator._requests.poll(5000)
    assert bench.ventilator._feedback.poll(5000)
    time.sleep(0.1)
    bench.reactor.run_once(5000)
    assert seen == ['Collected'] * 3 + ['Arrived']


def test_a_message_that_breaks_our_own_code_is_its_senders_trouble_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_args: object) -> None:
        raise ZeroDivisionError('not thought of')

    monkeypatch.setattr('bert_serving.server.ventilator.cut_request', cut)
    bench.ask(['a'])
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
    assert len(bench.heard(bench.worker)) == 1
    bench.ventilator.remove_worker(0)
    bench.ventilator.remove_worker(0)
    assert bench.ventilator.num_worker == 0
    bench.add_worker()
    (job,) = bench.heard(bench.worker)
    assert isinstance(job, Job)
    assert job.header.attempt == 1


def test_workers_and_sink_are_told_to_stop(bench: Bench) -> None:
    bench.add_worker()
    bench.ventilator.stop_workers()
    bench.ventilator.stop_sink()
    assert bench.heard(bench.worker) == [Stop()]
    assert bench.heard(bench.sink) == [Stop()]


def test_reports_that_are_no_message_are_dropped_with_a_word(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.feedback.send_multipart([b'NONSENSE'])
    bench.tell(Stop())
    bench.ask(['a'])
    assert bench.heard(bench.sink) == [Register(1, 1, 1, b'me', b'1')]
    assert 'NONSENSE' in caplog.text
