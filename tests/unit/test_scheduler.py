"""The ventilator's decisions: admission, turns, credit, and what happens to the jobs of a dead worker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bert_serving.server.errors import Busy, RequestError
from bert_serving.server.protocol.ring import ClientGone, Collected, Drop, Lane, Published, Refuse, Register, RequestRef
from bert_serving.server.protocol.wire import BadRequest, CancelRequest, EncodeRequest
from bert_serving.server.ventilator.events import (
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
from bert_serving.server.ventilator.leaving import DROPPED_AT_ONCE
from bert_serving.server.ventilator.limits import AdmissionLimits
from bert_serving.server.ventilator.scheduler import Scheduler
from support.scheduling import (
    LIMITS,
    a_request,
    a_scheduler,
    collect_and_publish,
    jobs_in,
    jobs_of,
    messages_in,
    refusal_of,
)


def test_the_sink_is_told_before_any_job_is_sent() -> None:
    actions = a_scheduler().handle(a_request(19), 0)
    assert actions[0] == SendToSink(Register(RequestRef(1, b'client', b'1', 3, 19)))
    assert jobs_of(actions) == [(0, 1, 0), (0, 1, 1)]


def test_job_headers_cover_the_rows_of_the_request() -> None:
    headers = [a.job.header for a in a_scheduler().handle(a_request(10), 0) if isinstance(a, SendJob)]
    assert sorted(
        (h.first_row, h.rows, h.request.total_rows, h.request.parts, h.lane is Lane.URGENT) for h in headers
    ) == [
        (0, 8, 10, 2, False),
        (8, 2, 10, 2, True),
    ]


def test_requests_wait_for_the_first_worker() -> None:
    scheduler = Scheduler(LIMITS)
    assert jobs_of(scheduler.handle(a_request(1), 0)) == []
    assert jobs_of(scheduler.handle(WorkerReady(7), 0)) == [(7, 1, 0)]


def test_a_worker_gets_no_more_rows_than_its_credit() -> None:
    scheduler = a_scheduler()
    sent = [a for a in scheduler.handle(a_request(40), 0) if isinstance(a, SendJob)]
    assert len(sent) == 2  # half of four batches is the bulk lane's
    more = scheduler.handle(Collected(0, 1, sent[0].job.header.part, 0), 0)
    assert len(jobs_of(more)) == 1


def test_a_small_request_is_sent_though_all_credit_for_bulk_is_used() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(80), 0)
    assert jobs_of(scheduler.handle(a_request(2, request_id=2), 0)) == [(0, 2, 0)]


def test_requests_of_one_lane_take_turns_job_by_job() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(24, request_id=1), 0)
    scheduler.handle(a_request(16, request_id=2), 0)
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
    assert [worker for worker, _, _ in jobs_of(scheduler.handle(a_request(32), 0))] == [0, 1, 0, 1]


def test_a_request_that_comes_again_while_it_is_on_its_way_is_dropped() -> None:
    scheduler = a_scheduler()
    first = scheduler.handle(a_request(1), 0)
    assert scheduler.handle(a_request(1), 0) == []
    assert scheduler.unanswered == 1
    collect_and_publish(scheduler, next(a for a in first if isinstance(a, SendJob)))
    assert jobs_of(scheduler.handle(a_request(1), 0)) == [(0, 2, 0)], 'once published, the same request is a new one'


def test_clones_with_one_request_id_and_different_texts_are_two_requests() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(1, payload=b'["one"]'), 0)
    assert jobs_of(scheduler.handle(a_request(1, payload=b'["two"]'), 0)) == [(0, 2, 0)]


def test_the_jobs_of_a_dead_worker_go_to_another_with_the_next_attempt() -> None:
    scheduler = a_scheduler(workers=2)
    sent = jobs_in(scheduler.handle(a_request(16), 0))
    assert [a.worker for a in sent] == [0, 1]
    assert scheduler.handle(WorkerLost(0), 0) == [], (
        'the other worker still holds a job, and quarantined jobs run alone'
    )
    (again,) = jobs_in(scheduler.handle(Collected(1, 1, 1, 0), 0))
    assert (again.worker, again.job.header.part, again.job.header.attempt) == (1, 0, 1)
    assert again.job.payload == sent[0].job.payload
    assert not again.job.header.reduced_batch, 'it was not alone, and perhaps it is not its fault'
    assert scheduler.outcomes.requeued == 1


def test_quarantined_jobs_run_one_at_a_time_on_a_worker_that_gets_nothing_else() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(16), 0)
    assert scheduler.handle(WorkerLost(0), 0) == []
    assert jobs_of(scheduler.handle(WorkerReady(1), 0)) == [(1, 1, 0)]
    assert jobs_of(scheduler.handle(a_request(1, request_id=2), 0)) == [], 'though it has credit'
    assert jobs_of(scheduler.handle(Collected(1, 1, 0, 1), 0)) == [(1, 1, 1)]
    assert jobs_of(scheduler.handle(Collected(1, 1, 1, 1), 0)) == [(1, 2, 0)]


def test_while_one_worker_has_the_quarantined_jobs_another_serves_the_rest() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(a_request(8), 0)
    assert jobs_of(scheduler.handle(WorkerLost(0), 0)) == [(1, 1, 0)]
    assert jobs_of(scheduler.handle(a_request(1, request_id=2), 0)) == []
    assert jobs_of(scheduler.handle(WorkerReady(2), 0)) == [(2, 2, 0)]


def test_a_quarantined_job_that_kills_again_is_tried_in_reduced_batches_and_then_answered_with_an_error() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    (alone,) = jobs_in(scheduler.handle(WorkerReady(1), 0))
    assert not alone.job.header.reduced_batch
    scheduler.handle(WorkerLost(1), 0)
    (reduced,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert reduced.job.header.reduced_batch
    (refusal,) = messages_in(scheduler.handle(WorkerLost(2), 0))
    assert isinstance(refusal, Refuse)
    assert (refusal.number, refusal.error.type) == (1, 'PoisonedRequest')
    assert (scheduler.outcomes.poisoned, scheduler.outcomes.requeued) == (1, 2)
    scheduler.handle(Published(1, False), 0)
    assert scheduler.unanswered == 0
    assert scheduler.outcomes.failed == 0
    assert scheduler.handle(WorkerReady(3), 0) == []


def test_a_worker_that_is_lost_with_its_machine_says_nothing_about_the_request_that_it_had_alone() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerLost(0, with_machine=True), 0)
    for worker in (1, 2, 3):
        (alone,) = jobs_in(scheduler.handle(WorkerReady(worker), 0))
        assert not alone.job.header.reduced_batch
        assert messages_in(scheduler.handle(WorkerLost(worker, with_machine=True), 0)) == []
    scheduler.handle(WorkerReady(4), 0)
    scheduler.handle(WorkerLost(4), 0)
    assert scheduler.outcomes.poisoned == 0, 'that was the first crash'
    scheduler.handle(WorkerReady(5), 0)
    assert len(messages_in(scheduler.handle(WorkerLost(5), 0))) == 1


def test_a_request_that_loses_machine_after_machine_is_not_retried_for_ever() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    refusals: list[object] = []
    for worker in range(9):
        assert refusals == []
        refusals += messages_in(scheduler.handle(WorkerLost(worker, with_machine=True), 0))
        scheduler.handle(WorkerReady(worker + 1), 0)
    (refusal,) = refusals
    assert isinstance(refusal, Refuse)
    assert (refusal.error.type, 'lost with their machines' in refusal.error.message) == ('PoisonedRequest', True)


def test_a_quarantined_job_whose_part_came_before_its_worker_died_gets_no_strike() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    assert scheduler.handle(WorkerLost(1), 0) == []
    (next_job,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert (next_job.job.header.part, next_job.job.header.reduced_batch) == (1, False)


def test_a_death_among_others_counts_against_nobody() -> None:
    scheduler = a_scheduler()
    for request_id in (1, 2):
        scheduler.handle(a_request(8, request_id=request_id), 0)
    for worker in range(1, 6):
        scheduler.handle(WorkerLost(worker - 1), 0)
        quarantined = jobs_in(scheduler.handle(WorkerReady(worker), 0))
        while quarantined:
            header = quarantined.pop().job.header
            quarantined += jobs_in(
                scheduler.handle(Collected(worker, header.request.number, header.part, header.attempt), 0)
            )
        scheduler.handle(SinkLost(), 0)  # everything is handed out once more, together
        scheduler.handle(SinkReady(), 0)
    assert scheduler.outcomes.poisoned == 0
    assert scheduler.unanswered == 2


def test_a_late_part_of_an_earlier_attempt_withdraws_the_quarantined_job() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    assert scheduler.gauge()['queue_rows'] == 8
    assert jobs_of(scheduler.handle(WorkerReady(1), 0)) == [(1, 1, 1)]


def test_a_late_part_withdraws_the_job_that_waits_to_be_computed_for_a_new_sink() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(32), 0)
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
    scheduler.handle(a_request(9), 0)
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    actions = scheduler.handle(SinkLost(), 0)
    assert messages_in(actions) == [Register(RequestRef(1, b'client', b'1', 2, 9))]
    assert {(a.job.header.part, a.job.header.attempt) for a in jobs_in(actions)} == {(0, 1), (1, 1)}
    assert scheduler.outcomes.requeued == 2
    scheduler.check_invariants()


def test_what_waits_while_the_sink_is_lost_is_still_at_its_first_attempt() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(16), 0)
    scheduler.handle(SinkLost(), 0)
    assert scheduler.outcomes.requeued == 0
    assert [a.job.header.attempt for a in jobs_in(scheduler.handle(WorkerReady(0), 0))] == [0, 0]


def test_a_quarantined_job_stays_one_when_the_sink_is_lost_before_its_turn() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(16), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(SinkLost(), 0)
    scheduler.check_invariants()
    assert scheduler.handle(WorkerReady(1), 0) == [], 'no part can come back before there is a sink'
    assert jobs_of(scheduler.handle(SinkReady(), 0)) == [(1, 1, 0)]
    assert scheduler.outcomes.requeued == 2


def test_a_part_that_the_sink_has_is_not_computed_again() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(a_request(16), 0)
    scheduler.handle(Collected(1, 1, 0, 0), 0)  # reported under another worker's name: late news
    assert jobs_of(scheduler.handle(WorkerLost(0), 0)) == []


def test_what_a_dead_worker_held_of_a_published_request_is_forgotten() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(a_request(16), 0)
    scheduler.handle(Published(1, False), 0)
    assert scheduler.handle(WorkerLost(0), 0) == []
    assert (scheduler.outcomes.failed, scheduler.outcomes.published, scheduler.outcomes.rows_done) == (1, 0, 0)


def test_an_answered_request_with_waiting_jobs_gives_its_turn_up() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(16), 0)
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
    scheduler.handle(a_request(40), 0)
    scheduler.handle(DrainStarted(), 0)
    assert scheduler.handle(a_request(40), 0) == [], 'what was accepted is no new request'
    (refusal,) = scheduler.handle(a_request(1, request_id=2), 0)
    assert isinstance(refusal, SendToSink)
    assert isinstance(refusal.message, Refuse)
    assert refusal.message.error.type == 'ShuttingDown'
    assert len(jobs_of(scheduler.handle(Collected(0, 1, 0, 0), 0))) == 1


def test_a_request_that_made_no_sense_is_refused_and_counted() -> None:
    scheduler = a_scheduler()
    assert refusal_of(scheduler.handle(BadRequest(b'me', b'1', RequestError('no')), 0)) == 'BadRequest'
    assert refusal_of(scheduler.handle(a_request(20, payload=b'["too few"]'), 0)) == 'BadRequest'
    assert scheduler.outcomes.refused == 2
    assert scheduler.unanswered == 0


def test_a_request_that_breaks_our_own_code_is_its_senders_trouble_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_args: object) -> None:
        raise ZeroDivisionError('not thought of')

    monkeypatch.setattr('bert_serving.server.ventilator.splitting.parse_texts', parse)
    assert refusal_of(a_scheduler().handle(a_request(20), 0)) == 'InternalError'


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
    (first,) = jobs_in(scheduler.handle(a_request(8), 0))
    assert refusal_of(scheduler.handle(a_request(8, request_id=2), 0)) == 'Busy'
    assert (scheduler.outcomes.refused, scheduler.outcomes.busy) == (0, 1)
    collect_and_publish(scheduler, first)
    assert jobs_of(scheduler.handle(a_request(8, request_id=2), 0)) == [(0, 2, 0)]


def test_one_request_alone_is_never_refused_by_the_bound_of_the_queue() -> None:
    scheduler = Scheduler(replace(LIMITS, max_queue_rows=10, max_queue_bytes=10))
    assert isinstance(messages_in(scheduler.handle(a_request(1000), 0))[0], Register)
    assert scheduler.unanswered == 1


def test_a_cancelled_request_is_dropped_everywhere_and_nobody_is_answered() -> None:
    scheduler = a_scheduler(workers=2)
    scheduler.handle(a_request(40), 0)
    scheduler.handle(a_request(1, request_id=2), 0)
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
    scheduler.handle(a_request(1), 0)
    assert scheduler.handle(cancel, 0) == []
    assert scheduler.unanswered == 1


def test_a_quarantined_job_that_is_cancelled_is_not_computed_again() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    assert scheduler.handle(CancelRequest(b'client', b'1'), 0) == [SendToSink(Drop(1))]
    assert scheduler.handle(WorkerReady(1), 0) == []


def test_a_quarantined_job_that_is_cancelled_while_it_runs_frees_its_worker_when_that_lets_go() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    assert scheduler.handle(CancelRequest(b'client', b'1'), 0) == [SendToSink(Drop(1)), SendToWorker(1, Drop(1))]
    assert jobs_of(scheduler.handle(a_request(1, request_id=2), 0)) == []
    assert jobs_of(scheduler.handle(Collected(1, 1, 0, 1), 0)) == [(1, 2, 0)]


def test_what_a_client_asked_for_again_after_it_had_left_is_not_dropped() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(1, request_id=1), 10)
    scheduler.handle(a_request(1, request_id=2), 10)
    scheduler.handle(a_request(1, request_id=2), 31)  # it is back; the sink does not know of its subscription yet
    assert scheduler.handle(ClientGone(b'client', 20.5), 31.01) == [SendToSink(Drop(1))]
    assert scheduler.unanswered == 1


def test_all_that_a_client_that_is_gone_had_asked_for_is_dropped() -> None:
    scheduler = Scheduler(LIMITS)
    for request_id in (1, 2):
        scheduler.handle(a_request(9, request_id=request_id), 0)
    scheduler.handle(a_request(1, identity=b'other'), 0)
    assert scheduler.handle(ClientGone(b'client', 0.0), 0) == [SendToSink(Drop(1)), SendToSink(Drop(2))]
    assert scheduler.outcomes.gone == 2
    assert jobs_of(scheduler.handle(WorkerReady(0), 0)) == [(0, 3, 0)]


def test_what_is_not_answered_at_its_deadline_is_dropped_and_says_so() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(8, deadline_ms=1500), 10.0)
    assert scheduler.awaits_tick
    assert scheduler.handle(Tick(), 11.4) == []
    (refusal,) = messages_in(scheduler.handle(Tick(), 11.5))
    assert isinstance(refusal, Refuse)
    assert (refusal.number, refusal.error.type) == (1, 'DeadlineExceeded')
    assert scheduler.outcomes.expired == 1
    assert not scheduler.awaits_tick
    assert scheduler.handle(WorkerReady(0), 12) == []


def test_an_error_that_a_dead_sink_had_not_published_is_sent_to_the_next() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(8, deadline_ms=1000), 0)
    (refusal,) = messages_in(scheduler.handle(Tick(), 1))
    assert messages_in(scheduler.handle(SinkLost(), 1)) == [refusal]
    assert scheduler.handle(CancelRequest(b'client', b'1'), 1) == [], 'it is answered already'
    assert scheduler.handle(Published(1, False), 1) == []
    assert scheduler.unanswered == 0


def test_a_quarantined_job_that_ran_alone_when_the_sink_was_lost_is_still_quarantined() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerLost(0), 0)
    scheduler.handle(WorkerReady(1), 0)
    scheduler.handle(SinkLost(), 0)
    scheduler.handle(a_request(1, request_id=2), 0)
    assert jobs_of(scheduler.handle(SinkReady(), 0)) == [(1, 1, 0)]
    scheduler.check_invariants()


def test_a_worker_that_is_to_retire_holds_its_jobs_until_they_are_collected() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler.handle(WorkerDying(0), 0)
    assert scheduler.holds_jobs(0)
    assert jobs_in(scheduler.handle(a_request(1, request_id=2), 0)) == []
    scheduler.handle(Collected(0, 1, 0, 0), 0)
    assert not scheduler.holds_jobs(0)


def test_a_worker_that_is_dying_gets_no_more_jobs_and_no_quarantined_ones() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8, request_id=1), 0)
    scheduler.handle(a_request(8, request_id=2), 0)
    scheduler.handle(WorkerLost(0), 0)
    (first,) = jobs_in(scheduler.handle(WorkerReady(1), 0))
    scheduler.handle(WorkerDying(1), 0)
    assert scheduler.handle(Collected(1, first.job.header.request.number, 0, 1), 0) == [], 'its last words'
    assert scheduler.handle(a_request(1, request_id=3), 0)[1:] == []
    scheduler.handle(WorkerLost(1), 0)
    (second,) = jobs_in(scheduler.handle(WorkerReady(2), 0))
    assert not second.job.header.reduced_batch, 'it was never begun, so there is no strike'


def test_a_request_that_is_answered_with_an_error_already_has_no_deadline_any_more() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8, deadline_ms=5000), 0)
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
    scheduler.handle(a_request(1, request_id=0, deadline_ms=1000), 0)
    for request_id in range(1, 100):
        actions = scheduler.handle(a_request(1, request_id=request_id, deadline_ms=86_400_000), 0)
        collect_and_publish(scheduler, jobs_in(actions)[0])
    scheduler.check_invariants()
    assert len(messages_in(scheduler.handle(Tick(), 1))) == 1
    assert not scheduler.awaits_tick


def test_the_options_of_a_request_go_with_its_jobs_and_make_it_another_one() -> None:
    scheduler = a_scheduler()
    (plain,) = jobs_in(scheduler.handle(a_request(1), 0))
    (tokens,) = jobs_in(scheduler.handle(a_request(1, tokenize=True), 0))
    (counts,) = jobs_in(scheduler.handle(a_request(1, token_counts=True), 0))
    assert [(a.job.header.tokenize, a.job.header.token_counts) for a in (plain, tokens, counts)] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_what_waits_what_is_with_workers_and_what_is_unfinished_is_told() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(40), 0)
    assert scheduler.gauge() == {
        'queue_rows': 24,
        'queue_requests': 1,
        'in_flight_rows': 16,
        'unfinished_requests': 1,
        'unfinished_rows': 40,
    }


def test_the_counters_have_the_names_of_the_status_and_begin_at_zero() -> None:
    assert Scheduler(LIMITS).outcomes.to_dict() == dict.fromkeys(
        [
            'num_rows_done',
            'num_published_request',
            'num_failed_request',
            'num_refused_request',
            'num_busy_request',
            'num_expired_request',
            'num_cancelled_request',
            'num_gone_request',
            'num_poisoned_request',
            'num_requeued_job',
        ],
        0,
    )


def test_the_times_are_measured_to_the_first_attempt_of_a_job_and_to_the_answer() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(a_request(8), 10.0)
    scheduler.handle(WorkerReady(0), 12.0)
    scheduler.handle(WorkerLost(0), 20.0)
    scheduler.handle(WorkerReady(1), 30.0)
    scheduler.handle(Published(1, True), 15.0)
    assert scheduler.queue_time.to_dict()['count'] == 1
    assert scheduler.queue_time.to_dict()['sum_s'] == 2.0
    assert scheduler.total_time.to_dict()['sum_s'] == 5.0


def test_a_broken_invariant_is_noticed() -> None:
    scheduler = a_scheduler()
    scheduler.handle(a_request(8), 0)
    scheduler._workers[0].rows[Lane.BULK] = 0
    with pytest.raises(AssertionError, match='rows held'):
        scheduler.check_invariants()


def test_no_request_is_tried_alone_while_there_is_no_sink_to_say_that_it_is_done() -> None:
    scheduler = Scheduler(LIMITS)
    for worker in (0, 1):
        scheduler.handle(WorkerReady(worker), 0)
    scheduler.handle(EncodeRequest(b'me', b'1', 1, b'["the"]'), 0)
    scheduler.handle(SinkLost(), 0)
    assert not [action for action in scheduler.handle(WorkerLost(0), 0) if isinstance(action, SendJob)]
    (tried,) = scheduler.handle(SinkReady(), 0)
    assert isinstance(tried, SendJob)
    assert tried.worker == 1


# ---- clients among each other


def test_one_client_cannot_fill_the_queue_for_all_others() -> None:
    scheduler = a_scheduler(workers=0)
    limits = scheduler.limits
    taken = 0
    while not isinstance((message := messages_in(scheduler.handle(a_request(500, taken, b'flooder'), 0))[0]), Refuse):
        taken += 1
    assert taken * 500 == limits.max_queue_rows // 2
    assert message.error.type == 'Busy'
    assert 'this client has 5000 rows pending, and its share is 5000' in message.error.message
    (accepted,) = messages_in(scheduler.handle(a_request(500, 1, b'victim'), 0))
    assert isinstance(accepted, Register)


def test_one_client_cannot_fill_the_memory_for_all_others() -> None:
    limits = replace(LIMITS, max_queue_bytes=200 << 20, max_message_bytes=1 << 30)
    limits.check_share_of_memory(99 << 20, 99 << 20, 1 << 20)
    with pytest.raises(Busy, match='this client has requests of 99 MB pending, and its share is 100 MB'):
        limits.check_share_of_memory(99 << 20, 99 << 20, 2 << 20)
    limits.check_share_of_memory(199 << 20, 0, 64 << 20)


def test_a_client_with_many_requests_leaves_and_others_are_served_meanwhile() -> None:
    scheduler = Scheduler(replace(LIMITS, max_queue_bytes=1 << 30))
    for number in range(4 * DROPPED_AT_ONCE):
        scheduler.handle(a_request(1, number, b'leaver'), 0)
    dropped = [len(messages_in(scheduler.handle(ClientGone(b'leaver', 20), 20)))]
    assert scheduler.awaits_tick
    while scheduler.awaits_tick:
        dropped.append(len(messages_in(scheduler.handle(Tick(), 21))))
    assert dropped == [DROPPED_AT_ONCE] * 4
    assert scheduler.unanswered == 0
    scheduler.check_invariants()


def test_a_request_that_comes_again_while_those_of_its_client_are_dropped_is_kept() -> None:
    scheduler = Scheduler(replace(LIMITS, max_queue_bytes=1 << 30))
    for number in range(DROPPED_AT_ONCE + 1):
        scheduler.handle(a_request(1, number, b'leaver'), 0)
    scheduler.handle(ClientGone(b'leaver', 20), 20)
    scheduler.handle(a_request(1, DROPPED_AT_ONCE, b'leaver'), 21)
    assert scheduler.unanswered == 1


def test_the_memory_of_a_request_is_counted_until_it_is_published() -> None:
    scheduler = a_scheduler()
    (job,) = jobs_in(scheduler.handle(a_request(2, payload=b'["text", "text"]'), 0))
    assert scheduler.memory_bytes > len(b'["text", "text"]')
    collect_and_publish(scheduler, job)
    assert scheduler.memory_bytes == 0
