"""The ventilator's decisions: turns, lanes, credit, and what happens to the jobs of a dead worker."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.ring import ClientGone, Collected, Drop, Lane, Published, Refuse, Register, RequestRef
from bert_serving.server.protocol.texts import decode_texts
from bert_serving.server.protocol.wire import BadRequest, CancelRequest, EncodeRequest, Options
from bert_serving.server.ventilator.events import (
    Action,
    DrainStarted,
    SendJob,
    SendToSink,
    SendToWorker,
    SinkLost,
    SinkReady,
    Tick,
    WorkerDying,
    WorkerLost,
    WorkerReady,
)
from bert_serving.server.ventilator.events import Event as SchedulerEvent
from bert_serving.server.ventilator.limits import AdmissionLimits
from bert_serving.server.ventilator.scheduler import Scheduler
from bert_serving.server.ventilator.splitting import Chunk, split_request
from support.scheduling import LIMITS


def a_request(
    rows: int, request_id: int = 1, identity: bytes = b'client', payload: bytes | None = None, **options: Any
) -> EncodeRequest:
    if payload is None:
        payload = json.dumps(['text'] * rows).encode()
    return EncodeRequest(identity, b'%d' % request_id, rows, payload, Options(**options))


def arrival(rows: int, request_id: int = 1, **more: Any) -> EncodeRequest:
    return a_request(rows, request_id, **more)


def jobs_of(actions: list[Action]) -> list[tuple[int, int, int]]:
    """(worker, number, part) of every job that is sent, in order."""
    return [(a.worker, a.job.header.request.number, a.job.header.part) for a in actions if isinstance(a, SendJob)]


def jobs_in(actions: list[Action]) -> list[SendJob]:
    return [action for action in actions if isinstance(action, SendJob)]


def messages_in(actions: list[Action]) -> list[object]:
    """What the sink is told, in order."""
    return [action.message for action in actions if isinstance(action, SendToSink)]


def a_scheduler(workers: int = 1) -> Scheduler:
    scheduler = Scheduler(LIMITS)
    for worker in range(workers):
        assert scheduler.handle(WorkerReady(worker), 0) == []
    return scheduler


def collect_and_publish(scheduler: Scheduler, action: SendJob) -> list[Action]:
    header = action.job.header
    actions = scheduler.handle(Collected(action.worker, header.request.number, header.part, header.attempt), 0)
    return actions + scheduler.handle(Published(header.request.number, True), 0)


def test_a_request_that_fits_is_passed_on_undecoded() -> None:
    request = a_request(8, payload=b'not even JSON')
    assert split_request(request, 8) == [Chunk(8, b'not even JSON')]


def test_a_larger_request_is_cut_into_runs_of_max_batch_size_in_order() -> None:
    texts = ['text %d' % i for i in range(19)]
    chunks = split_request(a_request(19, payload=json.dumps(texts).encode()), 8)
    assert [chunk.rows for chunk in chunks] == [8, 8, 3]
    assert [text for chunk in chunks for text in decode_texts(chunk.payload)] == texts


def test_a_larger_request_whose_row_count_lies_is_refused() -> None:
    with pytest.raises(RequestError, match='announces 20 rows'):
        split_request(a_request(20, payload=json.dumps(['text'] * 19).encode()), 8)


def test_the_sink_is_told_before_any_job_is_sent() -> None:
    actions = a_scheduler().handle(arrival(19), 0)
    assert actions[0] == SendToSink(Register(RequestRef(1, b'client', b'1', 3, 19)))
    assert jobs_of(actions) == [(0, 1, 0), (0, 1, 1)]


def test_job_headers_cover_the_rows_of_the_request() -> None:
    headers = [a.job.header for a in a_scheduler().handle(arrival(10), 0) if isinstance(a, SendJob)]
    assert sorted(
        (h.first_row, h.rows, h.request.total_rows, h.request.parts, h.lane is Lane.URGENT) for h in headers
    ) == [
        (0, 8, 10, 2, False),
        (8, 2, 10, 2, True),
    ]


def test_requests_wait_for_the_first_worker() -> None:
    scheduler = Scheduler(LIMITS)
    assert jobs_of(scheduler.handle(arrival(1), 0)) == []
    assert jobs_of(scheduler.handle(WorkerReady(7), 0)) == [(7, 1, 0)]


def test_a_worker_gets_no_more_rows_than_its_credit() -> None:
    scheduler = a_scheduler()
    sent = [a for a in scheduler.handle(arrival(40), 0) if isinstance(a, SendJob)]
    assert len(sent) == 2  # half of four batches is the bulk lane's
    more = scheduler.handle(Collected(0, 1, sent[0].job.header.part, 0), 0)
    assert len(jobs_of(more)) == 1


def test_a_small_request_is_sent_though_all_credit_for_bulk_is_used() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(80), 0)
    assert jobs_of(scheduler.handle(arrival(2, request_id=2), 0)) == [(0, 2, 0)]


def test_requests_of_one_lane_take_turns_job_by_job() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(24, request_id=1), 0)
    scheduler.handle(arrival(16, request_id=2), 0)
    sent = scheduler.handle(WorkerReady(0), 0)
    order = [number for _, number, _ in jobs_of(sent)]
    while sent:
        action = sent.pop(0)
        if isinstance(action, SendJob):
            header = action.job.header
            new = scheduler.handle(Collected(0, header.request.number, header.part, 0), 0)
            order += [number for _, number, _ in jobs_of(new)]
            sent += new
    assert order == [1, 2, 1, 2, 1]


def test_jobs_go_to_the_worker_that_holds_the_fewest_rows() -> None:
    scheduler = a_scheduler(workers=2)
    assert [worker for worker, _, _ in jobs_of(scheduler.handle(arrival(32), 0))] == [0, 1, 0, 1]


def test_a_request_that_comes_again_while_it_is_on_its_way_is_dropped() -> None:
    scheduler = a_scheduler()
    first = scheduler.handle(arrival(1), 0)
    assert scheduler.handle(arrival(1), 0) == []
    assert scheduler.unanswered == 1
    collect_and_publish(scheduler, next(a for a in first if isinstance(a, SendJob)))
    assert jobs_of(scheduler.handle(arrival(1), 0)) == [(0, 2, 0)], 'once published, the same request is a new one'


def test_clones_with_one_request_id_and_different_texts_are_two_requests() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(1, payload=b'["one"]'), 0)
    assert jobs_of(scheduler.handle(arrival(1, payload=b'["two"]'), 0)) == [(0, 2, 0)]


def test_the_jobs_of_a_dead_worker_go_to_another_with_the_next_attempt() -> None:
    scheduler = a_scheduler(workers=2)
    sent = jobs_in(scheduler.handle(arrival(16), 0))
    assert [a.worker for a in sent] == [0, 1]
    assert scheduler.handle(WorkerLost(0), 0) == [], 'the other worker still holds a job, and suspects run alone'
    (again,) = jobs_in(scheduler.handle(Collected(1, 1, 1, 0), 0))
    assert (again.worker, again.job.header.part, again.job.header.attempt) == (1, 0, 1)
    assert again.job.payload == sent[0].job.payload
    assert not again.job.header.reduced_batch, 'it was not alone, and perhaps it is not its fault'
    assert scheduler.outcomes.requeued == 1


def test_suspects_run_one_at_a_time_on_a_worker_that_gets_nothing_else() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(16), 0)
    assert scheduler.handle(WorkerLost(0), 0) == []
    assert jobs_of(scheduler.handle(WorkerReady(1), 0)) == [(1, 1, 0)]
    assert jobs_of(scheduler.handle(arrival(1, request_id=2), 0)) == [], 'though it has credit'
    assert jobs_of(scheduler.handle(Collected(1, 1, 0, 1), 0)) == [(1, 1, 1)]
    assert jobs_of(scheduler.handle(Collected(1, 1, 1, 1), 0)) == [(1, 2, 0)]


def test_while_one_worker_has_the_suspects_another_serves_the_rest() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(arrival(8), 0)
    assert jobs_of(scheduler.handle(WorkerLost(0), 0)) == [(1, 1, 0)]
    assert jobs_of(scheduler.handle(arrival(1, request_id=2), 0)) == []
    assert jobs_of(scheduler.handle(WorkerReady(2), 0)) == [(2, 2, 0)]


def test_a_suspect_that_kills_again_is_tried_gently_and_then_answered_with_an_error() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    (alone,) = jobs_in(scheduler.handle(WorkerReady(1), 0))
    assert not alone.job.header.reduced_batch
    scheduler.handle(WorkerLost(1), 0)
    (gently,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert gently.job.header.reduced_batch
    (refusal,) = messages_in(scheduler.handle(WorkerLost(2), 0))
    assert isinstance(refusal, Refuse)
    assert (refusal.number, refusal.error.type) == (1, 'PoisonedRequest')
    assert (scheduler.outcomes.poisoned, scheduler.outcomes.requeued) == (1, 2)
    scheduler.handle(Published(1, False), 0)
    assert scheduler.unanswered == 0
    assert scheduler.outcomes.failed == 0
    assert scheduler.handle(WorkerReady(3), 0) == []


def test_a_suspect_whose_part_came_before_its_worker_died_has_no_death_to_answer_for() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    assert scheduler.handle(WorkerLost(1), 0) == []
    (next_suspect,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert (next_suspect.job.header.part, next_suspect.job.header.reduced_batch) == (1, False)


def test_a_death_among_others_counts_against_nobody() -> None:
    scheduler = a_scheduler()
    for request_id in (1, 2):
        scheduler.handle(arrival(8, request_id=request_id), 0)
    for worker in range(1, 6):
        scheduler.handle(WorkerLost(worker - 1), 0)
        suspects = jobs_in(scheduler.handle(WorkerReady(worker), 0))
        while suspects:
            header = suspects.pop().job.header
            suspects += jobs_in(
                scheduler.handle(Collected(worker, header.request.number, header.part, header.attempt), 0)
            )
        scheduler.handle(SinkLost(), 0)  # everything is handed out once more, together
        scheduler.handle(SinkReady(), 0)
    assert scheduler.outcomes.poisoned == 0
    assert scheduler.unanswered == 2


def test_a_late_part_of_an_earlier_attempt_withdraws_the_suspect() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    assert scheduler.gauge()['queue_rows'] == 8
    assert jobs_of(scheduler.handle(WorkerReady(1), 0)) == [(1, 1, 1)]


def test_a_late_part_withdraws_the_job_that_waits_to_be_computed_for_a_new_sink() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(32), 0)
    for part in (0, 1):
        scheduler.handle(Collected(0, 1, part, 0), 0)
    assert jobs_of(scheduler.handle(SinkLost(), 0)) == [(0, 1, 0), (0, 1, 1)]
    assert scheduler.gauge()['queue_rows'] == 16
    for part in (2, 3):  # they were being computed, and have reached the new sink
        assert scheduler.handle(Collected(0, 1, part, 0), 0) == []
        scheduler.check_invariants()
    assert scheduler.gauge()['queue_rows'] == 0


def test_a_new_sink_is_told_of_every_request_and_gets_everything_computed_again() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(9), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    actions = scheduler.handle(SinkLost(), 0)
    assert messages_in(actions) == [Register(RequestRef(1, b'client', b'1', 2, 9))]
    assert {(a.job.header.part, a.job.header.attempt) for a in jobs_in(actions)} == {(0, 1), (1, 1)}
    assert scheduler.outcomes.requeued == 2
    scheduler.check_invariants()


def test_what_waits_while_the_sink_is_lost_is_still_at_its_first_attempt() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(16), 0)
    scheduler.handle(SinkLost(), 0)
    assert scheduler.outcomes.requeued == 0
    assert [a.job.header.attempt for a in jobs_in(scheduler.handle(WorkerReady(0), 0))] == [0, 0]


def test_a_suspect_stays_one_when_the_sink_is_lost_before_its_turn() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(SinkLost(), 0)
    scheduler.check_invariants()
    assert scheduler.handle(WorkerReady(1), 0) == [], 'no part can come back before there is a sink'
    assert jobs_of(scheduler.handle(SinkReady(), 0)) == [(1, 1, 0)]
    assert scheduler.outcomes.requeued == 2


def test_a_part_that_the_sink_has_is_not_computed_again() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(arrival(16), 0)
    scheduler.handle(Collected(1, 1, 0, 0), 0)  # reported under another worker's name: late news
    assert jobs_of(scheduler.handle(WorkerLost(0), 0)) == []


def test_what_a_dead_worker_held_of_a_published_request_is_forgotten() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(arrival(16), 0)
    scheduler.handle(Published(1, False), 0)
    assert scheduler.handle(WorkerLost(0), 0) == []
    assert (scheduler.outcomes.failed, scheduler.outcomes.published, scheduler.outcomes.rows_done) == (1, 0, 0)


def test_an_answered_request_with_waiting_jobs_gives_its_turn_up() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(16), 0)
    scheduler.handle(Published(1, True), 0)
    scheduler.check_invariants()
    assert scheduler.handle(WorkerReady(0), 0) == []
    assert scheduler.outcomes.rows_done == 16


def test_reports_about_the_unknown_change_nothing() -> None:
    scheduler = a_scheduler()
    for event in (Collected(5, 1, 0, 0), Collected(0, 1, 0, 0), Published(3, True), WorkerLost(9)):
        assert scheduler.handle(event, 0) == []
    assert scheduler.unanswered == 0


def test_while_draining_new_requests_are_refused_and_old_ones_go_on() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(40), 0)
    scheduler.handle(DrainStarted(), 0)
    assert scheduler.handle(arrival(40), 0) == [], 'what was accepted is no new request'
    (refusal,) = scheduler.handle(arrival(1, request_id=2), 0)
    assert isinstance(refusal, SendToSink)
    assert isinstance(refusal.message, Refuse)
    assert refusal.message.error.type == 'ShuttingDown'
    assert len(jobs_of(scheduler.handle(Collected(0, 1, 0, 0), 0))) == 1


def refusal_of(actions: list[Action]) -> str:
    """The type of the error that is the only thing to be done."""
    (refusal,) = messages_in(actions)
    assert len(actions) == 1
    assert isinstance(refusal, Refuse)
    return refusal.error.type


def test_a_request_that_made_no_sense_is_refused_and_counted() -> None:
    scheduler = a_scheduler()
    assert refusal_of(scheduler.handle(BadRequest(b'me', b'1', RequestError('no')), 0)) == 'BadRequest'
    assert refusal_of(scheduler.handle(arrival(20, payload=b'["too few"]'), 0)) == 'BadRequest'
    assert scheduler.outcomes.refused == 2
    assert scheduler.unanswered == 0


def test_a_request_that_breaks_our_own_code_is_its_senders_trouble_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_args: object) -> None:
        raise ZeroDivisionError('not thought of')

    monkeypatch.setattr('bert_serving.server.ventilator.splitting.parse_texts', parse)
    assert refusal_of(a_scheduler().handle(arrival(20), 0)) == 'InternalError'


@pytest.mark.parametrize('request_', [a_request(1001), a_request(1, payload=b'x' * 100_001)], ids=['rows', 'bytes'])
def test_a_request_that_is_too_large_is_told_the_option_that_says_so(request_: EncodeRequest) -> None:
    scheduler = a_scheduler()
    assert refusal_of(scheduler.handle(request_, 0)) == 'TooLarge'
    assert (scheduler.outcomes.refused, scheduler.outcomes.busy) == (1, 0)


@pytest.mark.parametrize(
    'limits',
    [replace(LIMITS, max_queue_rows=10), replace(LIMITS, max_queue_bytes=100)],
    ids=['rows', 'bytes'],
)
def test_a_full_queue_answers_busy_until_there_is_room(limits: AdmissionLimits) -> None:
    scheduler = Scheduler(limits)
    scheduler.handle(WorkerReady(0), 0)
    (first,) = jobs_in(scheduler.handle(arrival(8), 0))
    assert refusal_of(scheduler.handle(arrival(8, request_id=2), 0)) == 'Busy'
    assert (scheduler.outcomes.refused, scheduler.outcomes.busy) == (0, 1)
    collect_and_publish(scheduler, first)
    assert jobs_of(scheduler.handle(arrival(8, request_id=2), 0)) == [(0, 2, 0)]


def test_one_request_alone_is_never_refused_by_the_bound_of_the_queue() -> None:
    scheduler = Scheduler(replace(LIMITS, max_queue_rows=10, max_queue_bytes=10))
    assert isinstance(messages_in(scheduler.handle(arrival(1000), 0))[0], Register)
    assert scheduler.unanswered == 1


def test_a_cancelled_request_is_dropped_everywhere_and_nobody_is_answered() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(arrival(40), 0)
    scheduler.handle(arrival(1, request_id=2), 0)
    actions = scheduler.handle(CancelRequest(b'client', b'1'), 0)
    assert actions == [SendToSink(Drop(1)), SendToWorker(0, Drop(1)), SendToWorker(1, Drop(1))]
    assert scheduler.outcomes.cancelled == 1
    assert scheduler.gauge()['queue_rows'] == 0
    assert scheduler.gauge()['in_flight_rows'] == 33, 'until the workers have let go of them'
    for worker, number, part in [(0, 1, 0), (1, 1, 1), (0, 1, 2), (1, 1, 3)]:
        assert scheduler.handle(Collected(worker, number, part, 0), 0) == []
    assert scheduler.gauge()['in_flight_rows'] == 1


@pytest.mark.parametrize(
    'cancel', [CancelRequest(b'client', b'7'), CancelRequest(b'other', b'1'), ClientGone(b'other', 0.0)]
)
def test_nothing_is_dropped_for_what_is_not_there(cancel: CancelRequest | ClientGone) -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(1), 0)
    assert scheduler.handle(cancel, 0) == []
    assert scheduler.unanswered == 1


def test_a_suspect_that_is_cancelled_is_not_computed_again() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    assert scheduler.handle(CancelRequest(b'client', b'1'), 0) == [SendToSink(Drop(1))]
    assert scheduler.handle(WorkerReady(1), 0) == []


def test_a_suspect_that_is_cancelled_while_it_runs_frees_its_worker_when_that_lets_go() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    assert scheduler.handle(CancelRequest(b'client', b'1'), 0) == [SendToSink(Drop(1)), SendToWorker(1, Drop(1))]
    assert jobs_of(scheduler.handle(arrival(1, request_id=2), 0)) == []
    assert jobs_of(scheduler.handle(Collected(1, 1, 0, 1), 0)) == [(1, 2, 0)]


def test_what_a_client_asked_for_again_after_it_had_left_is_not_dropped() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(1, request_id=1), 10)
    scheduler.handle(arrival(1, request_id=2), 10)
    scheduler.handle(arrival(1, request_id=2), 31)  # it is back; the sink does not know of its subscription yet
    assert scheduler.handle(ClientGone(b'client', 20.5), 31.01) == [SendToSink(Drop(1))]
    assert scheduler.unanswered == 1


def test_all_that_a_client_that_is_gone_had_asked_for_is_dropped() -> None:
    scheduler = Scheduler(LIMITS)
    for request_id in (1, 2):
        scheduler.handle(arrival(9, request_id=request_id), 0)
    scheduler.handle(arrival(1, identity=b'other'), 0)
    assert scheduler.handle(ClientGone(b'client', 0.0), 0) == [SendToSink(Drop(1)), SendToSink(Drop(2))]
    assert scheduler.outcomes.gone == 2
    assert jobs_of(scheduler.handle(WorkerReady(0), 0)) == [(0, 3, 0)]


def test_what_is_not_answered_at_its_deadline_is_dropped_and_says_so() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(8, deadline_ms=1500), 10.0)
    assert scheduler.awaits_deadline
    assert scheduler.handle(Tick(), 11.4) == []
    (refusal,) = messages_in(scheduler.handle(Tick(), 11.5))
    assert isinstance(refusal, Refuse)
    assert (refusal.number, refusal.error.type) == (1, 'DeadlineExceeded')
    assert scheduler.outcomes.expired == 1
    assert not scheduler.awaits_deadline
    assert scheduler.handle(WorkerReady(0), 12) == []


def test_an_error_that_a_dead_sink_had_not_published_is_sent_to_the_next() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(8, deadline_ms=1000), 0)
    (refusal,) = messages_in(scheduler.handle(Tick(), 1))
    assert messages_in(scheduler.handle(SinkLost(), 1)) == [refusal]
    assert scheduler.handle(CancelRequest(b'client', b'1'), 1) == [], 'it is answered already'
    assert scheduler.handle(Published(1, False), 1) == []
    assert scheduler.unanswered == 0


def test_a_suspect_that_was_alone_when_the_sink_was_lost_is_still_a_suspect() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    scheduler.handle(SinkLost(), 0)
    scheduler.handle(arrival(1, request_id=2), 0)
    assert jobs_of(scheduler.handle(SinkReady(), 0)) == [(1, 1, 0)]
    scheduler.check_invariants()


def test_a_worker_that_is_dying_gets_no_more_jobs_and_no_more_suspects() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8, request_id=1), 0)
    scheduler.handle(arrival(8, request_id=2), 0)
    scheduler.handle(WorkerLost(0), 0)
    (first,) = jobs_in(scheduler.handle(WorkerReady(1), 0))
    scheduler.handle(WorkerDying(1), 0)
    assert scheduler.handle(Collected(1, first.job.header.request.number, 0, 1), 0) == [], 'its last words'
    assert scheduler.handle(arrival(1, request_id=3), 0)[1:] == []
    scheduler.handle(WorkerLost(1), 0)
    (second,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert not second.job.header.reduced_batch, 'it was never begun, so no death counts against it'


def test_a_request_that_is_answered_with_an_error_already_has_no_deadline_any_more() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8, deadline_ms=5000), 0)
    for worker in range(3):
        scheduler.handle(WorkerLost(worker), 0)
        scheduler.handle(WorkerReady(worker + 1), 0)
    assert scheduler.outcomes.poisoned == 1
    assert scheduler.handle(Tick(), 6) == []
    assert scheduler.outcomes.expired == 0


def test_the_death_of_an_unknown_worker_changes_nothing() -> None:
    assert a_scheduler().handle(WorkerDying(7), 0) == []


def test_a_deadline_does_not_outlive_its_request() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(1, request_id=0, deadline_ms=1000), 0)
    for request_id in range(1, 100):
        actions = scheduler.handle(arrival(1, request_id=request_id, deadline_ms=86_400_000), 0)
        collect_and_publish(scheduler, jobs_in(actions)[0])
    scheduler.check_invariants()
    assert len(messages_in(scheduler.handle(Tick(), 1))) == 1
    assert not scheduler.awaits_deadline


def test_the_options_of_a_request_go_with_its_jobs_and_make_it_another_one() -> None:
    scheduler = a_scheduler()
    (plain,) = jobs_in(scheduler.handle(arrival(1), 0))
    (tokens,) = jobs_in(scheduler.handle(arrival(1, tokenize=True), 0))
    (counts,) = jobs_in(scheduler.handle(arrival(1, token_counts=True), 0))
    assert [(a.job.header.tokenize, a.job.header.token_counts) for a in (plain, tokens, counts)] == [
        (False, False), (True, False), (False, True),
    ]  # fmt: skip


def test_what_waits_what_is_with_workers_and_what_is_unfinished_is_told() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(40), 0)
    assert scheduler.gauge() == {
        'queue_rows': 24, 'queue_requests': 1, 'in_flight_rows': 16, 'unfinished_requests': 1, 'unfinished_rows': 40,
    }  # fmt: skip


def test_the_counters_have_the_names_of_the_status_and_begin_at_zero() -> None:
    assert Scheduler(LIMITS).outcomes.to_dict() == dict.fromkeys(
        [
            'num_rows_done', 'num_published_request', 'num_failed_request', 'num_refused_request', 'num_busy_request',
            'num_expired_request', 'num_cancelled_request', 'num_gone_request', 'num_poisoned_request',
            'num_requeued_job',
        ], 0,
    )  # fmt: skip


def test_the_times_are_measured_to_the_first_attempt_of_a_job_and_to_the_answer() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(8), 10.0)
    scheduler.handle(WorkerReady(0), 12.0)
    scheduler.handle(WorkerLost(0), 20.0)
    scheduler.handle(WorkerReady(1), 30.0)
    scheduler.handle(Published(1, True), 15.0)
    assert scheduler.queue_time.to_dict()['count'] == 1
    assert scheduler.queue_time.to_dict()['sum_s'] == 2.0
    assert scheduler.total_time.to_dict()['sum_s'] == 5.0


def test_every_lane_has_credit_for_its_largest_job_even_with_a_prefetch_of_one() -> None:
    assert replace(LIMITS, prefetch_size=1).lane_rows == {Lane.URGENT: 8, Lane.BULK: 8}
    assert replace(LIMITS, prefetch_size=10).lane_rows == {Lane.URGENT: 40, Lane.BULK: 40}


def test_a_broken_invariant_is_noticed() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler._workers[0].rows[Lane.BULK] = 0
    with pytest.raises(AssertionError, match='rows held'):
        scheduler.check_invariants()


class SchedulerMachine(RuleBasedStateMachine):
    """A ring of imaginary workers and an imaginary sink, in any order of events.

    At the end, when the workers work everything off, each request that was not dropped has been answered once.
    """

    @initialize(
        batch=st.integers(1, 9), priority=st.integers(0, 10), prefetch=st.integers(1, 4), workers=st.integers(0, 3)
    )
    def start(self, batch: int, priority: int, prefetch: int, workers: int) -> None:
        self.limits = replace(
            LIMITS, max_batch_size=batch, priority_batch_size=priority, prefetch_size=prefetch, max_queue_rows=150
        )
        self.scheduler = Scheduler(self.limits)
        self.now = 0.0
        self.in_workers: dict[int, list[SendJob]] = {}
        self.let_go: dict[int, list[SendJob]] = {}
        self.parts: dict[int, int] = {}
        self.collected: dict[int, set[int]] = {}
        self.accepted: dict[int, int] = {}
        self.published: Counter[int] = Counter()
        self.dropped: set[int] = set()
        self.refusing: set[int] = set()
        self.refused: Counter[str] = Counter()
        self.next_worker = 0
        self.next_id = 0
        for _ in range(workers):
            self.add_worker()

    def tell(self, event: SchedulerEvent) -> None:
        for action in self.scheduler.handle(event, self.now):
            match action:
                case SendJob(worker):
                    assert action.job.header.request.number not in self.dropped
                    self.in_workers[worker].append(action)
                case SendToWorker(worker, Drop(number)):
                    held = self.in_workers[worker]
                    self.let_go.setdefault(worker, []).extend(a for a in held if a.job.header.request.number == number)
                    self.in_workers[worker] = [a for a in held if a.job.header.request.number != number]
                case SendToSink(Register() as register):
                    self.accepted[register.request.number] = register.request.total_rows
                    self.parts[register.request.number] = register.request.parts
                    self.collected[register.request.number] = set()
                case SendToSink(Drop(number)):
                    self.dropped.add(number)
                case SendToSink(Refuse() as refusal):
                    if refusal.number not in self.dropped:  # not told again, to the next sink
                        self.refused[refusal.error.type] += 1
                    self.dropped |= {refusal.number} - {0}
                    self.refusing |= {refusal.number} - {0}
        self.scheduler.check_invariants()

    @rule(rows=st.integers(1, 40), client=st.sampled_from([b'a', b'b']), deadline_ms=st.none() | st.integers(1, 5000))
    def send_request(self, rows: int, client: bytes, deadline_ms: int | None) -> None:
        self.next_id += 1
        self.tell(arrival(rows, self.next_id, identity=client, deadline_ms=deadline_ms))

    @rule()
    def add_worker(self) -> None:
        self.in_workers[self.next_worker] = []
        self.next_worker += 1
        self.tell(WorkerReady(self.next_worker - 1))

    @precondition(lambda self: any(self.in_workers.values()))
    @rule(data=st.data(), fails=st.booleans())
    def finish_a_job(self, data: st.DataObject, fails: bool) -> None:
        worker = data.draw(st.sampled_from([w for w, jobs in self.in_workers.items() if jobs]))
        jobs = self.in_workers[worker]
        self.finish(worker, jobs.pop(data.draw(st.integers(0, len(jobs) - 1))), fails)

    def finish(self, worker: int, action: SendJob, fails: bool = False) -> None:
        header = action.job.header
        self.tell(Collected(worker, header.request.number, header.part, header.attempt))
        if header.request.number not in self.dropped and not self.published[header.request.number]:
            self.collected[header.request.number].add(header.part)
            if fails or len(self.collected[header.request.number]) == self.parts[header.request.number]:
                self.published[header.request.number] += 1
                self.tell(Published(header.request.number, not fails))

    @precondition(lambda self: any(self.let_go.values()))
    @rule()
    def workers_let_go_of_what_is_dropped(self) -> None:
        let_go, self.let_go = self.let_go, {}
        for worker, actions in let_go.items():
            for action in actions:
                header = action.job.header
                self.tell(Collected(worker, header.request.number, header.part, header.attempt))

    @precondition(lambda self: self.in_workers)
    @rule(data=st.data(), late=st.booleans())
    def kill_a_worker(self, data: st.DataObject, late: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_workers)))
        jobs = self.in_workers.pop(worker)
        self.let_go.pop(worker, None)
        self.tell(WorkerLost(worker))
        for action in jobs[: 1 if late else 0]:  # it had sent a part before it died
            self.finish(worker, action)

    @rule(late=st.booleans())
    def lose_the_sink(self, late: bool) -> None:
        computed = [(worker, jobs[0]) for worker, jobs in self.in_workers.items() if jobs] if late else []
        for jobs in self.in_workers.values():
            jobs.clear()
        for collected in self.collected.values():
            collected.clear()
        self.let_go.clear()
        self.tell(SinkLost())
        for worker, action in computed:  # a run of which the parts go to the next sink
            self.finish(worker, action)

    @precondition(lambda self: self.refusing)
    @rule()
    def publish_an_error(self) -> None:
        self.tell(Published(self.refusing.pop(), False))

    @rule()
    def start_a_sink(self) -> None:
        self.tell(SinkReady())

    @precondition(lambda self: self.next_id)
    @rule(data=st.data(), client=st.sampled_from([b'a', b'b']))
    def cancel_a_request(self, data: st.DataObject, client: bytes) -> None:
        self.tell(CancelRequest(client, b'%d' % data.draw(st.integers(1, self.next_id))))

    @rule(client=st.sampled_from([b'a', b'b']))
    def lose_a_client(self, client: bytes) -> None:
        self.tell(ClientGone(client, 0.0))

    @rule(seconds=st.floats(0.001, 2))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick())

    def teardown(self) -> None:
        if not hasattr(self, 'scheduler'):
            return
        self.start_a_sink()
        self.workers_let_go_of_what_is_dropped()
        self.add_worker()
        while any(self.in_workers.values()) or any(self.let_go.values()):
            for worker, jobs in list(self.in_workers.items()):
                if jobs:
                    self.finish(worker, jobs.pop(0))
            self.workers_let_go_of_what_is_dropped()
        while self.refusing:
            self.publish_an_error()
        wanted = set(self.accepted) - self.dropped
        assert self.published == Counter(wanted), 'a request was answered never, or twice'
        assert self.scheduler.unanswered == 0
        assert not any(self.scheduler.gauge().values())
        assert not self.scheduler.awaits_deadline
        outcomes = self.scheduler.outcomes
        assert outcomes.published + outcomes.failed == len(wanted)
        assert outcomes.expired + outcomes.cancelled + outcomes.gone + outcomes.poisoned == len(self.dropped)
        assert self.refused == Counter(
            DeadlineExceeded=outcomes.expired, PoisonedRequest=outcomes.poisoned, Busy=outcomes.busy
        )


TestSchedulerMachine = pytest.mark.slow(SchedulerMachine.TestCase)
TestSchedulerMachine.settings = hypothesis_settings(max_examples=150, stateful_step_count=40, deadline=None)
