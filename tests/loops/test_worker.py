"""The worker's two threads, with inproc sockets and a fake encoder."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import zmq

from bert_serving.server.links.worker_links import LocalLinks
from bert_serving.server.process.reports import StatusCallback
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.ring import (
    Drop,
    DroppedPart,
    FailedPart,
    Job,
    JobHeader,
    Lane,
    Part,
    Published,
    RequestRef,
    RingMessage,
    SinkMoved,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from bert_serving.server.protocol.tracing import JobTrace
from bert_serving.server.stats import WorkerTally
from bert_serving.server.transport import make_socket
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.cache import RowCache
from bert_serving.server.worker.rows import RowEncoder
from bert_serving.server.worker.tokenizer import Template, Tokenizer
from bert_serving.server.worker.wordpiece import WordPiece
from bert_serving.server.worker.worker import Worker
from support.fake_encoder import FakeEncoder, TokenLevelFakeEncoder
from support.waiting import wait_until

VOCAB = {
    token: i
    for i, token in enumerate(['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'a', 'b', 'c', 'poison', 'overflow', 'infinity'])
}

LIMITS = BatchLimits(rows=4, tokens=100, pairs=10_000)


class Bench:
    """A worker between two sockets: jobs are put in at one end, parts come out at the other."""

    def __init__(
        self,
        encoder: FakeEncoder,
        show_tokens: bool = False,
        max_seq_len: int | None = 8,
        embed_length: int | None = None,
        cache: RowCache | None = None,
        limits: BatchLimits = LIMITS,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.parts = make_socket(self.context, zmq.PULL)
        self.parts.bind('inproc://sink')
        tokenizer = WordPiece(VOCAB, lower_case=True) if tokenizer is None else tokenizer
        rows = RowEncoder(tokenizer, max_seq_len, 16, False, False)
        self.worker = Worker(
            5,
            LocalLinks('inproc://jobs'),
            'inproc://sink',
            rows,
            encoder,
            limits,
            show_tokens,
            embed_length,
            cache=cache,
        )
        self.crash: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.jobs = make_socket(self.context, zmq.PUSH)
        self.jobs.connect('inproc://jobs')

    def _run(self) -> None:
        try:
            self.worker.run(self.context, self._report_ready)
        except BaseException as error:
            self.crash = error

    def _report_ready(self, payload: dict[str, Any], status: StatusCallback | None = None) -> None:
        assert status is not None
        self.status = status

    def tell(self, message: RingMessage) -> None:
        self.jobs.send_multipart(encode_ring_message(message))

    def put(
        self,
        number: int,
        texts: Any,
        rows: int | None = None,
        lane: Lane = Lane.URGENT,
        options: EncodingOptions | None = None,
        trace: JobTrace | None = None,
        **flags: bool,
    ) -> JobHeader:
        rows = len(texts) if rows is None else rows
        header = JobHeader(RequestRef(number, b'me', b'1', 1, len(texts)), 0, 0, 0, rows, lane, trace=trace, **flags)
        self.tell(Job(header, texts if isinstance(texts, bytes) else json.dumps(texts).encode(), options))
        return header

    def take(self) -> Part | FailedPart | DroppedPart:
        assert self.parts.poll(10_000), 'no part has come'
        message = decode_ring_message(self.parts.recv_multipart())
        assert isinstance(message, Part | FailedPart | DroppedPart)
        return message

    def stop(self) -> None:
        self.tell(Stop())
        self.thread.join(10)
        assert not self.thread.is_alive()

    def close(self) -> None:
        if self.thread.is_alive():
            self.stop()
        self.jobs.close()
        self.parts.close()
        self.context.term()


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder(fail_on=VOCAB['poison'], not_finite={VOCAB['overflow']: np.nan, VOCAB['infinity']: -np.inf})


@pytest.fixture
def bench(encoder: FakeEncoder) -> Iterator[Bench]:
    bench = Bench(encoder)
    yield bench
    bench.close()


def array_of(part: Part | FailedPart | DroppedPart) -> np.ndarray:
    assert isinstance(part, Part)
    return np.frombuffer(part.answer.body, part.answer.dtype).reshape(part.answer.shape)


def test_a_job_becomes_a_part_with_a_row_for_each_text(bench: Bench) -> None:
    header = bench.put(1, ['a b', 'c ||| a'])
    part = bench.take()
    assert isinstance(part, Part)
    assert (part.worker, part.header, part.width, part.answer.tokens) == (5, header, 0, None)
    np.testing.assert_array_equal(array_of(part), [[2 + 4 + 5 + 3, 4, 0], [2 + 6 + 3 + 4 + 3, 5, 2]])


def test_tokenized_rows_are_looked_up_as_they_are(bench: Bench) -> None:
    bench.put(1, [['a', 'A']])
    np.testing.assert_array_equal(array_of(bench.take()), [[2 + 4 + 1 + 3, 4, 0]])


def test_a_job_has_the_options_of_its_request(bench: Bench) -> None:
    bench.put(1, ['c ||| a'], options=EncodingOptions(prompt='b '))
    bench.put(2, [['c', 'a']], options=EncodingOptions(prompt='b ', pairs=True))
    bench.put(3, ['a b'], options=EncodingOptions(dimensions=1, dtype='ubinary'))
    row = [2 + 5 + 6 + 3 + 4 + 3, 6, 2]
    np.testing.assert_array_equal(array_of(bench.take()), [row])
    np.testing.assert_array_equal(array_of(bench.take()), [row])
    last = array_of(bench.take())
    assert last.dtype == np.uint8
    np.testing.assert_array_equal(last, [[0b1000_0000]])


def test_rows_that_differ_in_what_happens_after_the_graph_are_computed_once(encoder: FakeEncoder, bench: Bench) -> None:
    encoder.gate.clear()
    bench.put(1, ['c'])
    assert encoder.entered.wait(10)
    bench.put(2, ['a b'])
    bench.put(3, ['a b'], options=EncodingOptions(normalize=True))
    bench.put(4, ['a b'], options=EncodingOptions(dimensions=2, dtype='float16'))
    bench.put(5, [['c']], options=EncodingOptions(prompt='b '))
    assert isinstance(bench.take(), FailedPart)  # so the others have been taken in
    encoder.gate.set()
    answers = [array_of(bench.take()) for _ in range(4)][1:]
    assert [rows for rows, _ in encoder.batches] == [1, 1]
    np.testing.assert_allclose(answers[1], answers[0] / np.linalg.norm(answers[0]), rtol=1e-5)
    np.testing.assert_array_equal(answers[2], answers[0][:, :2])


def test_a_row_that_is_not_finite_fails_its_job_by_name_and_is_counted_and_others_are_unharmed(bench: Bench) -> None:
    bench.put(1, ['a', 'a overflow', 'b infinity'])
    bench.put(2, ['a b'])
    bench.put(3, [['infinity']], options=EncodingOptions(dtype='ubinary'))
    parts = {part.header.request.number: part for part in (bench.take() for _ in range(3))}
    np.testing.assert_array_equal(array_of(parts[2]), [[2 + 4 + 5 + 3, 4, 0]])
    for number, says in ((1, 'element 1, and for 1 more elements'), (3, 'element 0')):
        failed = parts[number]
        assert isinstance(failed, FailedPart)
        assert failed.error.type == 'NotFinite'
        assert says in failed.error.message
    assert WorkerTally.from_json(bench.status()['tally']).not_finite_rows == 3


@pytest.mark.parametrize(
    ('payload', 'options', 'type_name', 'says'),
    [
        (b'["a"]', EncodingOptions(pairs=True), 'BadRequest', 'a list of two texts as element 0'),
        (b'[["a"]]', EncodingOptions(prompt='b '), 'BadRequest', 'prompt: expected texts'),
        (b'["a a a a a a a"]', EncodingOptions(truncate='error'), 'TooLong', 'element 0 has 9 tokens'),
        (b'[["a"]]', EncodingOptions(offsets=True), 'BadRequest', 'offsets: expected a text as element 0'),
        (b'["a"]', EncodingOptions(decode=True), 'BadRequest', 'decode: expected a list of ids as element 0'),
    ],
)
def test_options_that_do_not_fit_the_texts_fail_their_job(
    bench: Bench, payload: bytes, options: EncodingOptions, type_name: str, says: str
) -> None:
    bench.put(1, payload, rows=1, options=options)
    part = bench.take()
    assert isinstance(part, FailedPart)
    assert part.error.type == type_name
    assert says in part.error.message


def test_places_and_texts_are_answered_without_a_run(bench: Bench) -> None:
    bench.put(1, b'["a b"]', rows=1, options=EncodingOptions(offsets=True))
    part = bench.take()
    assert isinstance(part, Part)
    assert part.answer.tokens == [['[CLS]', 'a', 'b', '[SEP]']]
    assert part.answer.shape == [1, 4, 3]
    ids = np.frombuffer(part.answer.body, np.int32).reshape(4, 3)[1:3, 0].tolist()
    bench.put(2, b'[%s]' % str(ids).encode(), rows=1, options=EncodingOptions(decode=True))
    part = bench.take()
    assert isinstance(part, Part)
    assert part.answer.tokens == [['a b']]


@pytest.mark.parametrize(
    ('payload', 'says'),
    [
        (b'["a"', 'not JSON'),
        (b'["a", 7]', 'element 1'),
        (b'{"a": 1}', 'dict'),
        (b'["a"]', 'announces 2 rows'),
        (b'[["a"], ["b", null]]', 'token 1'),
    ],
)
def test_a_bad_job_is_answered_with_what_is_wrong_and_the_next_one_computed(
    bench: Bench, payload: bytes, says: str
) -> None:
    bench.put(1, payload, rows=2)
    failed = bench.take()
    assert isinstance(failed, FailedPart)
    assert failed.error.type == 'BadRequest'
    assert says in failed.error.message
    bench.put(2, ['a'])
    assert array_of(bench.take()).shape == (1, 3)


def test_a_batch_that_fails_is_answered_with_the_reason_and_the_next_one_computed(bench: Bench) -> None:
    bench.put(1, ['poison'])
    failed = bench.take()
    assert isinstance(failed, FailedPart)
    assert failed.error.type == 'InternalError'
    assert 'worker 5' in failed.error.message
    assert 'MemoryError: the id 7 is too much for me' in failed.error.message
    bench.put(2, ['a'])
    assert array_of(bench.take()).shape == (1, 3)


def test_equal_texts_of_several_clients_are_computed_once(bench: Bench, encoder: FakeEncoder) -> None:
    encoder.gate.clear()
    bench.put(0, ['b'])
    assert encoder.entered.wait(10)
    headers = [bench.put(number, ['a', 'a']) for number in range(1, 4)]
    bench.put(4, ['c'])
    wait_until(lambda: len(bench.worker._batcher) == 2)
    encoder.gate.set()
    bench.take()
    parts = [bench.take() for _ in range(4)]
    assert {part.header.request.number for part in parts} == {*(header.request.number for header in headers), 4}
    assert [rows for rows, _ in encoder.batches] == [1, 2]


def test_a_batch_that_fails_is_retried_as_two_halves_and_the_fault_of_one_row_is_its_jobs_alone(
    bench: Bench, encoder: FakeEncoder
) -> None:
    encoder.gate.clear()
    bench.put(0, ['b'])
    assert encoder.entered.wait(10)
    for number, text in enumerate(['a', 'c', 'poison', 'a b'], 1):
        bench.put(number, [text])
    wait_until(lambda: len(bench.worker._batcher) == 4)
    encoder.gate.set()
    parts = {part.header.request.number: part for part in (bench.take() for _ in range(5))}
    assert [number for number, part in parts.items() if isinstance(part, FailedPart)] == [3]
    np.testing.assert_array_equal(array_of(parts[4]), [[2 + 4 + 5 + 3, 4, 0]])


def test_jobs_that_wait_are_computed_together(bench: Bench, encoder: FakeEncoder) -> None:
    encoder.gate.clear()
    bench.put(0, ['a'])
    assert encoder.entered.wait(10)
    for number, text in enumerate(['b', 'c', 'a b', 'b c'], 1):
        bench.put(number, [text])
    wait_until(lambda: len(bench.worker._batcher) == 4)
    encoder.gate.set()
    answers = {bench.take().header.request.number for _ in range(5)}
    assert answers == set(range(5))
    assert [rows for rows, _ in encoder.batches] == [1, 4]


def test_what_was_taken_in_is_computed_before_a_stop(encoder: FakeEncoder) -> None:
    bench = Bench(encoder)
    encoder.gate.clear()
    for number in range(6):
        bench.put(number, ['a', 'b', 'c'])
    bench.tell(Stop())
    encoder.gate.set()
    assert [bench.take().header.request.number for _ in range(6)] == list(range(6))
    bench.thread.join(10)
    assert not bench.thread.is_alive()
    bench.close()


def test_tokens_are_shown_as_fed(encoder: FakeEncoder) -> None:
    bench = Bench(encoder, show_tokens=True)
    bench.put(1, ['a zzz', 'b ||| c'])
    part = bench.take()
    assert isinstance(part, Part)
    assert part.answer.tokens == [['[CLS]', 'a', '[UNK]', '[SEP]'], ['[CLS]', 'b', '[SEP]', 'c', '[SEP]']]
    bench.close()


class Bare(WordPiece):
    """A tokenizer without special tokens, like some published ones, so a text without a known word has no token."""

    template = Template((), (), (), (), (), has_types=False)

    def encode_texts(self, texts: Sequence[str], most: int) -> list[list[int]]:
        return [[VOCAB[word] for word in text.split() if word in VOCAB][:most] for text in texts]


@pytest.mark.parametrize('max_seq_len', [None, 8])
@pytest.mark.parametrize('is_token_level', [False, True])
def test_texts_without_any_token_are_answered(max_seq_len: int | None, is_token_level: bool) -> None:
    """Without special tokens or a maximum length, such a job once ended the worker: its batch had no position."""
    encoder = TokenLevelFakeEncoder() if is_token_level else FakeEncoder()
    bench = Bench(encoder, max_seq_len=max_seq_len, tokenizer=Bare(VOCAB, lower_case=True))
    bench.put(1, ['\u200b', '\x01'])
    part = bench.take()
    assert isinstance(part, Part)
    assert part.answer.shape == ([2, 0, 2] if is_token_level else [2, 3])
    bench.put(2, ['\u200b', 'a b'])
    part = bench.take()
    assert isinstance(part, Part)
    assert part.answer.shape == [2, 2, 2] if is_token_level else [2, 3]
    assert set(encoder.batches) == {(1, 1), (1, 2)}, 'equal rows are computed once, and padding is no work'
    bench.close()


@pytest.mark.parametrize(('embed_length', 'width'), [(None, 8), (16, 16)])
def test_a_token_level_part_says_how_wide_its_answer_is(embed_length: int | None, width: int) -> None:
    bench = Bench(TokenLevelFakeEncoder(), embed_length=embed_length)
    bench.put(1, ['a', 'b c'])
    part = bench.take()
    assert isinstance(part, Part)
    assert part.width == width
    assert part.answer.shape == [2, 4, 2], 'what is padding is not computed, and not sent'
    bench.close()


def test_frames_that_are_no_message_are_dropped_with_a_word(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.jobs.send_multipart([b'NONSENSE', b''])
    bench.put(1, ['a'])
    assert array_of(bench.take()).shape == (1, 3)
    assert 'NONSENSE' in caplog.text


def test_a_message_that_is_not_for_a_worker_is_dropped_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.tell(Published(1, True))
    bench.put(1, ['a'])
    assert array_of(bench.take()).shape == (1, 3)
    assert 'dropped a message that is not for a worker kind=Published' in caplog.text


def test_a_crash_of_the_compute_thread_ends_the_worker_with_it(
    bench: Bench, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def encode(*_arrays: object) -> np.ndarray:
        raise Crash

    encoder.encode = encode  # type: ignore[method-assign,assignment]
    monkeypatch.setattr('bert_serving.server.worker.worker.POLL_MS', 10)
    bench.put(1, ['a'])
    bench.thread.join(10)
    assert isinstance(bench.crash, Crash)


def test_a_job_that_wants_no_vectors_is_answered_with_ids_and_tokens(bench: Bench, encoder: FakeEncoder) -> None:
    bench.put(1, ['a zzz', 'b ||| c'], tokenize=True)
    part = bench.take()
    assert isinstance(part, Part)
    assert array_of(part).tolist() == [[2, 4, 1, 3, 0], [2, 5, 3, 6, 3]]
    assert (part.answer.dtype, part.width, part.answer.token_counts) == ('int32', 5, [4, 5])
    assert part.answer.tokens == [['[CLS]', 'a', '[UNK]', '[SEP]'], ['[CLS]', 'b', '[SEP]', 'c', '[SEP]']]
    assert encoder.batches == []


def test_the_tokens_of_each_row_are_counted_if_asked_for(bench: Bench) -> None:
    bench.put(1, ['a', 'b c', 'a'], token_counts=True)
    part = bench.take()
    assert isinstance(part, Part)
    assert (part.answer.token_counts, part.answer.tokens) == ([3, 4, 3], None)


@pytest.mark.parametrize('flag', ['token_counts', 'tokenize'])
def test_the_rows_that_were_cut_are_told_if_asked_for_counted_and_logged_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, flag: str
) -> None:
    caplog.set_level('INFO')
    long = ' '.join('abcabcabc')
    bench.put(1, ['a', long, 'b c', long], token_counts=flag == 'token_counts', tokenize=flag == 'tokenize')
    bench.put(2, [long])
    parts = [part for part in (bench.take(), bench.take()) if isinstance(part, Part)]
    assert {part.header.request.number: part.answer.truncated_rows for part in parts} == {1: [1, 3], 2: None}
    tally = WorkerTally.from_json(bench.status()['tally'])
    assert tally.truncated_rows == 3
    told = [record.getMessage() for record in caplog.records if 'truncated texts' in record.getMessage()]
    assert told == [
        'truncated texts rows=2 tokens=8: the model takes no more; num_truncated_row in the status counts later ones'
    ]


def test_the_times_of_a_traced_job_come_back_with_its_part_in_order(bench: Bench) -> None:
    accepted_at = time.monotonic()
    bench.put(0, ['a'])
    bench.take()
    bench.put(1, ['a', 'b c'], trace=JobTrace('00-1-2-01', accepted_at, dispatched_at=accepted_at))
    part = bench.take()
    assert isinstance(part, Part)
    trace = part.header.trace
    assert trace is not None
    assert (trace.worker, trace.tokens) == (5, 3 + 4)
    times = [trace.dispatched_at, trace.received_at, trace.tokenized_at, trace.computing_at, trace.computed_at]
    assert sorted(times) == times
    assert trace.computed_at <= trace.sent_at <= time.monotonic()
    bench.put(2, [[4, 99]], trace=JobTrace('00-1-2-01', accepted_at, dispatched_at=accepted_at))
    failed = bench.take()
    assert isinstance(failed, FailedPart)
    assert (failed.header.trace.tokenized_at, failed.header.trace.worker) == (None, 5)
    assert failed.header.trace.received_at <= failed.header.trace.sent_at


def test_ids_are_computed_as_the_tokens_they_stand_for_and_an_unknown_one_is_refused(bench: Bench) -> None:
    bench.put(1, [[4, 5]])
    np.testing.assert_array_equal(array_of(bench.take()), [[2 + 4 + 5 + 3, 4, 0]])
    bench.put(2, [[4], [4, 99]])
    failed = bench.take()
    assert isinstance(failed, FailedPart)
    assert failed.error.type == 'BadRequest'
    assert 'element 1 has the id 99' in failed.error.message


def test_what_waits_of_a_dropped_request_is_let_go_of_and_the_rest_computed(bench: Bench, encoder: FakeEncoder) -> None:
    encoder.gate.clear()
    bench.put(0, ['b'])
    assert encoder.entered.wait(10)
    dropped = bench.put(1, ['a', 'c'])
    bench.put(2, ['a'])
    bench.tell(Drop(1))
    assert bench.take() == DroppedPart(5, dropped)
    encoder.gate.set()
    assert [bench.take().header.request.number for _ in range(2)] == [0, 2]
    assert [rows for rows, _ in encoder.batches] == [1, 1]


def test_a_request_that_is_dropped_when_it_is_done_is_no_matter(bench: Bench) -> None:
    bench.put(1, ['a'])
    assert bench.take().header.request.number == 1
    bench.tell(Drop(1))
    bench.put(2, ['a'])
    assert bench.take().header.request.number == 2


def test_when_the_sink_is_another_what_waited_is_dropped_and_what_comes_goes_there(
    bench: Bench, encoder: FakeEncoder
) -> None:
    next_sink = make_socket(bench.context, zmq.PULL)
    next_sink.bind('inproc://sink-2')
    encoder.gate.clear()
    bench.put(0, ['b'])
    assert encoder.entered.wait(10)
    bench.put(1, ['a'])
    bench.tell(SinkMoved('inproc://sink-2'))
    bench.put(2, ['c'])
    bench.put(3, b'nonsense', rows=1)
    first, second = bench.parts, next_sink
    bench.parts = next_sink
    assert bench.take().header.request.number == 3, 'from the intake thread'
    encoder.gate.set()
    assert bench.take().header.request.number == 2
    bench.parts = first
    assert bench.take().header.request.number == 0
    bench.stop()
    assert not first.poll(0), 'the job that waited was dropped, and its worker has sent all'
    second.close()


def test_to_be_told_of_the_sink_that_there_is_changes_nothing(bench: Bench, encoder: FakeEncoder) -> None:
    encoder.gate.clear()
    bench.put(0, ['b'])
    bench.put(1, ['a'])
    bench.tell(SinkMoved('inproc://sink'))
    encoder.gate.set()
    assert {bench.take().header.request.number for _ in range(2)} == {0, 1}


def test_rows_that_come_again_are_answered_from_the_cache_under_any_options(encoder: FakeEncoder) -> None:
    bench = Bench(encoder, cache=RowCache(10))
    try:
        bench.put(1, ['a', 'b'])
        first = array_of(bench.take())
        bench.put(2, ['b', 'a', 'b'])
        np.testing.assert_array_equal(array_of(bench.take()), first[[1, 0, 1]])
        bench.put(3, ['b', 'c'], options=EncodingOptions(dimensions=2))
        np.testing.assert_array_equal(array_of(bench.take())[0], first[1, :2])
        assert encoder.batches == [(2, 3), (1, 3)]
        tally = WorkerTally.from_json(bench.status()['tally']).to_dict()
        assert (tally['num_computed_row'], tally['num_cached_row']) == (3, 4)
    finally:
        bench.close()


def test_the_status_says_how_long_a_batch_has_taken_and_what_has_been_computed(
    bench: Bench, encoder: FakeEncoder
) -> None:
    bench.put(1, ['a', 'b c'])
    bench.take()
    idle = bench.status()
    assert idle['busy_s'] == 0
    assert WorkerTally.from_json(idle['tally']).to_dict()['padding_share'] == pytest.approx(1 / 8)
    encoder.gate.clear()
    encoder.entered.clear()
    sent = time.monotonic()
    bench.put(2, ['a'])
    assert encoder.entered.wait(10)
    entered = time.monotonic()
    asked, busy_s, answered = time.monotonic(), bench.status()['busy_s'], time.monotonic()
    assert asked - entered <= busy_s <= answered - sent
    assert bench.status()['busy_s'] > busy_s, 'it goes on'
    encoder.gate.set()


def test_a_row_that_is_longer_than_a_batch_may_take_as_many_times_as_long(encoder: FakeEncoder) -> None:
    """Or a text of 8,000 tokens, which takes minutes on a CPU, would look as if its worker hung."""
    with contextlib.closing(Bench(encoder, limits=BatchLimits(4, 1, 10_000))) as bench:
        encoder.gate.clear()
        sent = time.monotonic()
        bench.put(1, ['a b c'])  # and two special tokens
        assert encoder.entered.wait(10)
        entered = time.monotonic()
        asked, busy_s, answered = time.monotonic(), bench.status()['busy_s'], time.monotonic()
        assert (asked - entered) / 5 <= busy_s <= (answered - sent) / 5
        encoder.gate.set()


def test_the_first_batch_of_a_size_may_take_as_long_as_it_takes(bench: Bench, encoder: FakeEncoder) -> None:
    encoder.will_compile = lambda rows, width: True  # type: ignore[method-assign]
    encoder.gate.clear()
    bench.put(1, ['a'])
    assert encoder.entered.wait(10)
    assert bench.status()['busy_s'] == 0
    encoder.gate.set()


def test_a_row_that_is_not_finite_is_an_error_each_time_from_the_cache_too(encoder: FakeEncoder) -> None:
    bench = Bench(encoder, cache=RowCache(10))
    try:
        for number in (1, 2, 3):
            bench.put(number, ['overflow'])
            part = bench.take()
            assert isinstance(part, FailedPart)
            assert part.error.type == 'NotFinite'
        assert WorkerTally.from_json(bench.status()['tally']).not_finite_rows == 3
    finally:
        bench.close()
