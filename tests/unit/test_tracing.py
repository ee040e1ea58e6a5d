"""Traces: which parents are valid, what the ring notes of a traced job, and the spans that become of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import NotFinite, RequestError
from bert_serving.server.protocol.options import Options, decode_options
from bert_serving.server.protocol.ring import FailedPart, Job, JobHeader, Lane, RequestRef, encode_ring_message
from bert_serving.server.protocol.tracing import JobTrace, Span, TraceContext, read_traceparent
from bert_serving.server.sink.events import Subscribed
from bert_serving.server.sink.spans import ReplyTrace
from bert_serving.server.ventilator.events import WorkerLost, WorkerReady
from bert_serving.server.ventilator.scheduler import Scheduler
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.batcher import Batcher, ReadyJob
from bert_serving.server.worker.rows import Row
from bert_serving.server.worker.tracing import note_computed, note_computing, note_sent, note_tokenized
from support.scheduling import LIMITS, a_request, jobs_in
from unit.sink_double import ME, SinkDouble, a_part

PARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
CONTEXT = TraceContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True)


# the parent ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('text', 'context'),
    [
        (PARENT, CONTEXT),
        (' %s\t' % PARENT, CONTEXT),
        (PARENT[:-2] + '00', replace(CONTEXT, is_sampled=False)),
        (PARENT[:-2] + 'ff', CONTEXT),
        ('cc' + PARENT[2:], CONTEXT),
        ('cc' + PARENT[2:] + '-what-the-future-will-be-like', CONTEXT),
    ],
)
def test_a_parent_is_read_as_the_trace_context_of_w3c_says(text: str, context: TraceContext) -> None:
    assert read_traceparent(text) == context


@pytest.mark.parametrize(
    'text',
    [
        '',
        'abc',
        PARENT + '-more',
        'ff' + PARENT[2:],
        'cc' + PARENT[2:] + '.future',
        PARENT.upper(),
        PARENT.replace('-', '_'),
        PARENT[1:],
        '00-%032d-00f067aa0ba902b7-01' % 0,
        '00-4bf92f3577b34da6a3ce929d0e0e4736-%016d-01' % 0,
        '%s, %s' % (PARENT, PARENT),
        PARENT.replace('4', '\u0664'),
    ],
)
def test_a_parent_that_is_not_valid_is_ignored(text: str) -> None:
    assert read_traceparent(text) is None


@given(st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.booleans())
def test_a_parent_is_read_as_it_was_written(trace_id: int, span_id: int, is_sampled: bool) -> None:
    context = TraceContext(trace_id, span_id, is_sampled)
    assert read_traceparent(context.to_traceparent()) == context


def test_a_request_has_a_parent_only_if_that_is_valid_and_sampled() -> None:
    assert decode_options(b'{"traceparent": "%s"}' % PARENT.encode()) == Options(traceparent=PARENT)
    for ignored in (PARENT[:-2] + '00', 'nonsense'):
        assert decode_options(b'{"traceparent": "%s"}' % ignored.encode()) == Options()
    with pytest.raises(RequestError, match='traceparent: expected a string'):
        decode_options(b'{"traceparent": 1}')


# the ventilator ------------------------------------------------------------------------------------------------------


def a_tracing_scheduler(traces: bool = True) -> Scheduler:
    scheduler = Scheduler(LIMITS, traces=traces)
    scheduler.handle(WorkerReady(0), 0)
    return scheduler


def test_each_job_of_a_traced_request_has_the_times_of_its_acceptance_and_dispatch() -> None:
    scheduler = a_tracing_scheduler()
    jobs = jobs_in(scheduler.handle(a_request(12, traceparent=PARENT), 3.5))
    assert [action.job.header.trace for action in jobs] == [JobTrace(PARENT, 3.5, dispatched_at=3.5)] * 2
    scheduler.check_invariants()


def test_a_job_that_is_handed_out_again_has_the_time_of_that() -> None:
    scheduler = a_tracing_scheduler()
    scheduler.handle(a_request(1, traceparent=PARENT), 1)
    scheduler.handle(WorkerLost(0), 2)
    (again,) = jobs_in(scheduler.handle(WorkerReady(1), 5))
    assert again.job.header.trace == JobTrace(PARENT, 1, dispatched_at=5)
    scheduler.check_invariants()


@pytest.mark.parametrize(('traces', 'parent'), [(True, None), (False, PARENT)])
def test_nothing_is_noted_of_a_request_without_a_parent_or_by_a_server_without_traces(
    traces: bool, parent: str | None
) -> None:
    (action,) = jobs_in(a_tracing_scheduler(traces).handle(a_request(1, traceparent=parent), 1))
    assert action.job.header.trace is None


# the worker ----------------------------------------------------------------------------------------------------------


def a_ready_job(number: int, rows: list[Row], trace: JobTrace | None) -> ReadyJob:
    header = JobHeader(RequestRef(number, ME, b'1', 1, len(rows)), 0, 0, 0, len(rows), Lane.URGENT, trace=trace)
    return ReadyJob(header, rows, 9)


def test_a_worker_notes_when_a_job_waits_is_computed_first_and_last_and_is_sent() -> None:
    trace = JobTrace(PARENT, 0)
    rows = [Row([2, id_, 3], 3, (), 9) for id_ in (5, 6)]
    traced, other = a_ready_job(1, rows, trace), a_ready_job(2, rows, None)
    batcher = Batcher(BatchLimits(rows=1, tokens=100, pairs=100))
    batcher.add(traced)
    batcher.add(other)
    for job in (traced, other):
        note_tokenized(job, 1.0)
    for now in (2.0, 3.0):
        batch = batcher.next_batch()
        assert batch is not None
        note_computing(batch, now)
    for job in (traced, other):
        note_computed(job, 4.0)
        note_sent(job.header, 7, 5.0)
    assert trace == JobTrace(
        PARENT, 0, worker=7, tokenized_at=1.0, tokens=6, computing_at=2.0, computed_at=4.0, sent_at=5.0
    )
    assert other.header.trace is None


# the sink ------------------------------------------------------------------------------------------------------------


def a_trace(start: float = 0, **more: object) -> JobTrace:
    """A job whose worker took a second for each step, `start` seconds after another."""
    times = ('dispatched_at', 'received_at', 'tokenized_at', 'computing_at', 'computed_at', 'sent_at', 'collected_at')
    whole = {name: start + number for number, name in enumerate(times, 1)}
    return JobTrace(PARENT, start, **{'worker': 4, 'tokens': 9, **whole, **more})  # type: ignore[arg-type]


def traced(part: int, parts: int, trace: JobTrace) -> JobHeader:
    return JobHeader(RequestRef(8, ME, b'1', parts, 2 * parts), part, 1, 2 * part, 2, Lane.BULK, trace=trace)


def test_the_spans_of_a_request_follow_each_other_and_have_its_rows_and_tokens() -> None:
    trace = ReplyTrace.of([traced(1, 2, a_trace(10)), traced(0, 2, a_trace())])
    assert trace is not None
    assert trace.traceparent == PARENT
    queue, worker, second_queue, second_worker, sink = trace.spans(30)
    about = {'bert_serving.request': 8, 'bert_serving.part': 0, 'bert_serving.attempt': 1, 'bert_serving.rows': 2}
    assert queue == Span('ventilator queue', 0, 1, {**about, 'bert_serving.lane': 'bulk'})
    steps = [Span('tokenize', 2, 3), Span('wait', 3, 4), Span('compute', 4, 5)]
    assert worker == Span('worker', 1, 6, {**about, 'bert_serving.worker': 4, 'bert_serving.tokens': 9}, steps)
    assert (second_queue.began_at, second_worker.attributes['bert_serving.part']) == (10, 1)
    assert sink == Span('sink', 7, 30, {'bert_serving.rows': 4, 'bert_serving.parts': 2})


def test_a_job_that_a_cache_answered_was_not_computed() -> None:
    trace = ReplyTrace.of([traced(0, 1, a_trace(computing_at=None, computed_at=None))])
    assert trace is not None
    assert [step.name for step in trace.spans(9)[1].children] == ['tokenize']


def test_of_a_job_without_times_there_is_only_the_sink() -> None:
    """A part can come from a worker that has noted nothing."""
    assert ReplyTrace([traced(0, 1, JobTrace(PARENT, 0))]).spans(9) == [
        Span('sink', 9, 9, {'bert_serving.rows': 2, 'bert_serving.parts': 1})
    ]
    trace = ReplyTrace([traced(0, 1, JobTrace(PARENT, 0, dispatched_at=1, received_at=2, sent_at=3))])
    assert [(span.name, len(span.children)) for span in trace.spans(9)] == [
        ('ventilator queue', 0),
        ('worker', 0),
        ('sink', 0),
    ]
    assert 'bert_serving.tokens' not in trace.spans(9)[1].attributes
    assert [span.name for span in ReplyTrace([traced(0, 1, JobTrace(PARENT, 0, dispatched_at=1))]).spans(9)] == [
        'ventilator queue',
        'sink',
    ]


def test_spans_are_made_when_a_reply_is_published_not_before() -> None:
    sink = SinkDouble()
    parts = [a_part(part=part, parts=2, first_row=2 * part, total=4) for part in range(2)]
    for part in parts:
        sink.handle(replace(part, header=replace(part.header, trace=a_trace())))
    assert sink.emitted == []
    sink.handle(Subscribed(ME), 50.0)
    (action,) = sink.emitted
    assert action.traceparent == PARENT
    assert [span.name for span in action.spans] == [*['ventilator queue', 'worker'] * 2, 'sink']
    assert action.spans[-1].ended_at == 50.0
    assert action.spans[-1].error is None


def test_the_span_of_an_error_has_its_type() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(FailedPart(4, replace(a_part().header, trace=a_trace()), NotFinite('no number')))
    assert [action.spans[-1].error for action in sink.emitted] == ['NotFinite']


def test_a_reply_to_a_request_without_a_trace_makes_no_span() -> None:
    sink = SinkDouble()
    sink.handle(Subscribed(ME))
    sink.handle(a_part())
    sink.handle(FailedPart(4, a_part(number=2).header, NotFinite('no number')))
    assert sink.ids == [b'1', b'2']
    assert sink.emitted == []


def test_a_job_without_a_trace_has_no_frame_for_it() -> None:
    plain = Job(a_part().header, b'["a"]')
    traced_job = Job(replace(plain.header, trace=a_trace()), b'["a"]')
    assert (len(encode_ring_message(plain)), len(encode_ring_message(traced_job))) == (5, 6)
