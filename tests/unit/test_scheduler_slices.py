"""A large request is split in slices: its jobs go out while the rest is split, and nobody waits for that."""

from __future__ import annotations

import gc
import json
import sys
import time
import weakref
from dataclasses import replace

import pytest

from bert_serving.server.protocol.elements import SLICE_BYTES
from bert_serving.server.protocol.ring import Collected, Drop, Published, Refuse, Register
from bert_serving.server.protocol.texts import decode_texts
from bert_serving.server.protocol.wire import CancelRequest, EncodeRequest
from bert_serving.server.ventilator.events import Action, SendJob, SendToSink, SinkLost, SinkReady, Tick, WorkerReady
from bert_serving.server.ventilator.limits import AdmissionLimits
from bert_serving.server.ventilator.scheduler import Scheduler
from support.scheduling import LIMITS, a_request, collect_and_publish, jobs_in, jobs_of, messages_in

SLICED = replace(LIMITS, split_bytes=200)
"""Some fifteen texts of the requests below."""

LONGEST_STEP_S = 0.05 if sys.gettrace() is None else 0.25
"""A parser takes several times as long, and more where each line is traced."""


def a_scheduler(limits: AdmissionLimits = SLICED) -> Scheduler:
    scheduler = Scheduler(limits)
    scheduler.handle(WorkerReady(0), 0)
    return scheduler


def tick_until_split(scheduler: Scheduler) -> list[Action]:
    actions: list[Action] = []
    while scheduler.is_splitting:
        actions += scheduler.handle(Tick(), 0)
        scheduler.check_invariants()
    return actions


def work_off(scheduler: Scheduler, actions: list[Action]) -> list[SendJob]:
    """Let the worker compute all that it gets; return its jobs."""
    jobs = jobs_in(actions)
    for job in jobs:
        header = job.job.header
        jobs += jobs_in(collect(scheduler, job))
        assert header.request.parts == 5
    return jobs


def collect(scheduler: Scheduler, job: SendJob) -> list[Action]:
    header = job.job.header
    return scheduler.handle(Collected(job.worker, header.request.number, header.part, header.attempt), 0)


def test_it_is_registered_at_once_and_its_jobs_are_those_of_a_request_that_is_split_at_once() -> None:
    texts = ['the text %d' % number for number in range(35)]
    request = a_request(35, payload=json.dumps(texts).encode())
    scheduler = a_scheduler()
    (registered,) = messages_in(scheduler.handle(request, 0))
    assert isinstance(registered, Register)
    assert (registered.request.parts, registered.request.total_rows) == (5, 35)
    first = scheduler.handle(Tick(), 0)
    assert jobs_of(first) == [(0, 1, 0)], 'what was split is handed out'
    assert scheduler.is_splitting
    jobs = work_off(scheduler, first + tick_until_split(scheduler))
    in_order = sorted((job.job for job in jobs), key=lambda job: job.header.part)
    assert [job.header.part for job in in_order] == [0, 1, 2, 3, 4]
    assert [job.header.first_row for job in in_order] == [0, 8, 16, 24, 32]
    assert [job.header.rows for job in in_order] == [8, 8, 8, 8, 3]
    assert [text for job in in_order for text in decode_texts(job.payload)] == texts
    assert scheduler.unanswered == 1


def test_others_are_served_between_two_slices_and_two_large_ones_take_turns() -> None:
    scheduler = a_scheduler()
    for number, identity in enumerate((b'a', b'b'), 1):
        scheduler.handle(a_request(40, request_id=number, identity=identity, payload=payload_of(40)), 0)
    (single,) = jobs_in(scheduler.handle(a_request(1, request_id=3, identity=b'c'), 0))
    assert single.job.header.request.number == 3
    steps = [scheduler.handle(Tick(), 0) for _ in range(2)]
    assert len(jobs_in(steps[0])) > 0
    assert {number for number in (1, 2) if scheduler._requests[number].jobs} == {1, 2}


def payload_of(rows: int) -> bytes:
    return json.dumps(['the text'] * rows).encode()


def test_one_that_turns_out_to_be_wrong_is_answered_with_the_error_and_its_jobs_are_dropped() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(40, payload=payload_of(39)), 0)
    assert jobs_in(scheduler.handle(Tick(), 0))
    refusals = [action for action in tick_until_split(scheduler) if isinstance(action, SendToSink)]
    (refusal,) = (action.message for action in refusals)
    assert isinstance(refusal, Refuse)
    assert (refusal.number, refusal.error.type) == (1, 'BadRequest')
    assert 'announces 40 rows, but its list has 39 elements' in refusal.error.message
    assert scheduler.outcomes.refused == 1
    assert scheduler.gauge()['queue_rows'] == 0


def test_what_is_refused_is_forgotten_with_its_message_without_the_help_of_the_garbage_collector() -> None:
    """It may not run for minutes in a server that is idle, and the message can have 128 MB."""
    scheduler = a_scheduler()
    scheduler.handle(a_request(40, payload=payload_of(39)), 0)
    record = weakref.ref(scheduler._requests[1])
    gc.disable()
    try:
        tick_until_split(scheduler)
        scheduler.handle(Published(1, False), 0)
        assert record() is None
    finally:
        gc.enable()


def test_one_that_breaks_our_own_code_is_its_senders_trouble_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_args: object) -> None:
        raise ZeroDivisionError('not thought of')

    monkeypatch.setattr('bert_serving.server.protocol.elements._ListCutter.advance', cut)
    scheduler = a_scheduler()
    scheduler.handle(a_request(40, payload=payload_of(40)), 0)
    (refusal,) = messages_in(tick_until_split(scheduler))
    assert isinstance(refusal, Refuse)
    assert refusal.error.type == 'InternalError'


def test_one_that_is_cancelled_is_split_no_further() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(40, payload=payload_of(40)), 0)
    scheduler.handle(Tick(), 0)
    actions = scheduler.handle(CancelRequest(b'client', b'1'), 0)
    assert Drop(1) in messages_in(actions)
    assert not scheduler.is_splitting
    assert scheduler.unanswered == 0


def test_one_that_comes_again_is_known() -> None:
    scheduler = a_scheduler()
    request = a_request(40, payload=payload_of(40))
    scheduler.handle(request, 0)
    assert scheduler.handle(request, 0) == []
    assert scheduler.unanswered == 1


def test_a_sink_that_dies_meanwhile_gets_the_jobs_again() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(35, payload=payload_of(35)), 0)
    first = scheduler.handle(Tick(), 0)
    collect(scheduler, jobs_in(first)[0])
    again = scheduler.handle(SinkLost(), 0) + scheduler.handle(SinkReady(), 0)
    jobs = work_off(scheduler, again + tick_until_split(scheduler))
    assert sorted(job.job.header.part for job in jobs) == [0, 1, 2, 3, 4]
    scheduler.check_invariants()


def test_the_jobs_of_a_suspect_wait_for_its_trial_even_if_they_are_split_meanwhile() -> None:
    scheduler = a_scheduler()
    for number, identity in enumerate((b'a', b'b'), 1):
        scheduler.handle(a_request(35, request_id=number, identity=identity, payload=payload_of(35)), 0)
    work_off(scheduler, scheduler.handle(Tick(), 0) + scheduler.handle(Tick(), 0))
    assert {number for number in (1, 2) if scheduler._requests[number].collected} == {1, 2}
    actions = scheduler.handle(SinkLost(), 0) + scheduler.handle(SinkReady(), 0) + tick_until_split(scheduler)
    assert {job.job.header.request.number for job in jobs_in(actions)} == {1}, 'on trial'
    jobs = work_off(scheduler, actions)
    assert sorted((job.job.header.request.number, job.job.header.part) for job in jobs) == [
        (number, part) for number in (1, 2) for part in range(5)
    ]


def test_a_large_request_of_one_job_is_looked_at_and_passed_on_as_it_is() -> None:
    scheduler = a_scheduler()
    texts = ['the long text ' * 30, '"[,']
    request = a_request(2, payload=json.dumps(texts).encode())
    scheduler.handle(request, 0)
    (job,) = jobs_in(tick_until_split(scheduler))
    assert job.job.payload is request.payload
    scheduler.handle(a_request(1, request_id=2, payload=b'[' + b'[],' * 100 + b'[]]'), 0)
    (refusal,) = messages_in(tick_until_split(scheduler))
    assert isinstance(refusal, Refuse)
    assert 'announces 1 rows' in refusal.error.message


def test_an_answer_ends_it_as_any_other() -> None:
    scheduler = a_scheduler()
    actions = scheduler.handle(a_request(35, payload=payload_of(35)), 0) + tick_until_split(scheduler)
    *_, last = work_off(scheduler, actions)
    collect_and_publish(scheduler, last)
    assert scheduler.unanswered == 0
    assert scheduler.outcomes.rows_done == 35


@pytest.mark.parametrize(
    ('rows', 'payload'),
    [
        pytest.param(1_000_000, b'[' + b'"abcdefghijk",' * 999_999 + b'"a"]', id='short texts'),
        pytest.param(1_000_000, b'[' + b'[7592,2088],' * 999_999 + b'[1]]', id='ids'),
        pytest.param(300, b'[' + b'[],' * 4_000_000 + b'[]]', id='empty lists'),
        pytest.param(300, b'[' * 12_000_000, id='nested'),
        pytest.param(300, b'["' + b'\\' * 12_000_000 + b'"]', id='backslashes'),
        pytest.param(300, b'[' + b'"' * 12_000_000, id='quotes'),
        pytest.param(300, b'[' + b' ' * 12_000_000, id='blanks'),
    ],
)
def test_no_step_takes_long_for_twelve_megabytes_of_anything(rows: int, payload: bytes) -> None:
    """The best of three: a busy machine can lengthen a step, but a slow step is slow each time."""
    limits = replace(
        LIMITS,
        max_batch_size=256,
        max_request_rows=rows,
        max_message_bytes=1 << 27,
        max_queue_rows=2 * rows,
        max_queue_bytes=1 << 30,
        split_bytes=SLICE_BYTES // 2,
    )
    request = EncodeRequest(b'client', b'1', rows, payload)
    attempts = (longest_step(a_scheduler(limits), request) for _ in range(3))
    assert any(longest < LONGEST_STEP_S for longest in attempts)


def longest_step(scheduler: Scheduler, request: EncodeRequest) -> float:
    """Seconds of this thread, without the collections of garbage, which depend on the tests before."""
    gc.collect()
    gc.disable()
    try:
        longest = step(scheduler, request)
        while scheduler.is_splitting:
            longest = max(longest, step(scheduler, Tick()))
    finally:
        gc.enable()
    return longest


def step(scheduler: Scheduler, event: EncodeRequest | Tick) -> float:
    started = time.thread_time()
    scheduler.handle(event, 0)
    return time.thread_time() - started
