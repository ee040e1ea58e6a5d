"""The ventilator's decisions: turns, lanes, credit, and what happens to the jobs of a dead worker."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bert_serving.server.errors import RequestError
from bert_serving.server.scheduling import (
    Arrived,
    Cut,
    DrainStarted,
    Limits,
    Scheduler,
    SendJob,
    TellSink,
    WorkerLost,
    WorkerReady,
    cut_request,
)
from bert_serving.server.wire import Collected, EncodeRequest, Published, Refuse, Register, decode_texts

LIMITS = Limits(max_batch_size=8, priority_batch_size=2, prefetch_size=4)


def a_request(
    rows: int, request_id: int = 1, identity: bytes = b'client', payload: bytes | None = None
) -> EncodeRequest:
    if payload is None:
        payload = json.dumps(['text'] * rows).encode()
    return EncodeRequest(identity, b'%d' % request_id, rows, payload)


def arrival(rows: int, request_id: int = 1, **more: bytes) -> Arrived:
    request = a_request(rows, request_id, **more)
    return Arrived(request, cut_request(request, LIMITS.max_batch_size))


def jobs_of(actions: list[SendJob | TellSink]) -> list[tuple[int, int, int]]:
    """(worker, number, part) of every job that is sent, in order."""
    return [(a.worker, a.job.header.number, a.job.header.part) for a in actions if isinstance(a, SendJob)]


def a_scheduler(workers: int = 1) -> Scheduler:
    scheduler = Scheduler(LIMITS)
    for worker in range(workers):
        assert scheduler.handle(WorkerReady(worker), 0) == []
    return scheduler


def collect_and_publish(scheduler: Scheduler, action: SendJob) -> list[SendJob | TellSink]:
    header = action.job.header
    actions = scheduler.handle(Collected(action.worker, header.number, header.part, header.attempt), 0)
    return actions + scheduler.handle(Published(header.number, True), 0)


def test_a_request_that_fits_is_passed_on_undecoded() -> None:
    request = a_request(8, payload=b'not even JSON')
    assert cut_request(request, 8) == [Cut(8, b'not even JSON')]


def test_a_larger_request_is_cut_into_runs_of_max_batch_size_in_order() -> None:
    texts = ['text %d' % i for i in range(19)]
    cuts = cut_request(a_request(19, payload=json.dumps(texts).encode()), 8)
    assert [cut.rows for cut in cuts] == [8, 8, 3]
    assert [text for cut in cuts for text in decode_texts(cut.payload)] == texts


def test_a_larger_request_whose_row_count_lies_is_refused() -> None:
    with pytest.raises(RequestError, match='announces 20 rows'):
        cut_request(a_request(20, payload=json.dumps(['text'] * 19).encode()), 8)


def test_the_sink_is_told_before_any_job_is_sent() -> None:
    actions = a_scheduler().handle(arrival(19), 0)
    assert actions[0] == TellSink(Register(1, 3, 19, b'client', b'1'))
    assert jobs_of(actions) == [(0, 1, 0), (0, 1, 1)]


def test_job_headers_cover_the_rows_of_the_request() -> None:
    headers = [a.job.header for a in a_scheduler().handle(arrival(10), 0) if isinstance(a, SendJob)]
    assert sorted((h.first_row, h.rows, h.total_rows, h.parts, h.urgent) for h in headers) == [
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
            new = scheduler.handle(Collected(0, header.number, header.part, 0), 0)
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
    sent = [a for a in scheduler.handle(arrival(16), 0) if isinstance(a, SendJob)]
    assert [a.worker for a in sent] == [0, 1]
    again = [a for a in scheduler.handle(WorkerLost(0), 0) if isinstance(a, SendJob)]
    assert [(a.worker, a.job.header.part, a.job.header.attempt) for a in again] == [(1, 0, 1)]
    assert again[0].job.payload == sent[0].job.payload


def test_the_jobs_of_the_last_worker_wait_for_the_next_in_their_order() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(16), 0)
    assert scheduler.handle(WorkerLost(0), 0) == []
    assert scheduler.workers == 0
    assert jobs_of(scheduler.handle(WorkerReady(1), 0)) == [(1, 1, 0), (1, 1, 1)]


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
    assert scheduler.rows_answered == 0


def test_an_answered_request_with_waiting_jobs_gives_its_turn_up() -> None:
    scheduler = Scheduler(LIMITS)
    scheduler.handle(arrival(16), 0)
    scheduler.handle(Published(1, True), 0)
    scheduler.check_invariants()
    assert scheduler.handle(WorkerReady(0), 0) == []
    assert scheduler.rows_answered == 16


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
    assert isinstance(refusal, TellSink)
    assert isinstance(refusal.message, Refuse)
    assert refusal.message.error.type == 'ShuttingDown'
    assert len(jobs_of(scheduler.handle(Collected(0, 1, 0, 0), 0))) == 1


def test_every_lane_has_credit_for_its_largest_job_even_with_a_prefetch_of_one() -> None:
    assert Limits(8, 2, 1).lane_rows == {True: 8, False: 8}
    assert Limits(8, 2, 10).lane_rows == {True: 40, False: 40}


def test_a_broken_invariant_is_noticed() -> None:
    scheduler = a_scheduler()
    scheduler.handle(arrival(8), 0)
    scheduler._workers[0].rows[False] = 0
    with pytest.raises(AssertionError, match='rows held'):
        scheduler.check_invariants()


class SchedulerMachine(RuleBasedStateMachine):
    """A ring of imaginary workers and an imaginary sink, in any order of events.

    At the end, when the workers work everything off, each part of each request has reached the sink.
    """

    @initialize(
        batch=st.integers(1, 9), priority=st.integers(0, 10), prefetch=st.integers(1, 4), workers=st.integers(0, 3)
    )
    def start(self, batch: int, priority: int, prefetch: int, workers: int) -> None:
        self.limits = Limits(batch, priority, prefetch)
        self.scheduler = Scheduler(self.limits)
        self.in_workers: dict[int, list[SendJob]] = {}
        self.parts: dict[int, int] = {}
        self.collected: dict[int, Counter[int]] = {}
        self.published: set[int] = set()
        self.sizes: list[int] = []
        self.next_worker = 0
        self.next_id = 0
        for _ in range(workers):
            self.add_worker()

    def do(self, actions: list[SendJob | TellSink]) -> None:
        for action in actions:
            if isinstance(action, SendJob):
                self.in_workers[action.worker].append(action)
            elif isinstance(action.message, Register):
                self.parts[action.message.number] = action.message.parts
                self.collected[action.message.number] = Counter()

    @rule(rows=st.integers(1, 40))
    def send_request(self, rows: int) -> None:
        self.next_id += 1
        request = a_request(rows, self.next_id)
        self.do(self.scheduler.handle(Arrived(request, cut_request(request, self.limits.max_batch_size)), 0))
        self.sizes.append(rows)

    @rule()
    def add_worker(self) -> None:
        self.in_workers[self.next_worker] = []
        self.next_worker += 1
        self.do(self.scheduler.handle(WorkerReady(self.next_worker - 1), 0))

    @precondition(lambda self: any(self.in_workers.values()))
    @rule(data=st.data())
    def finish_a_job(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from([w for w, jobs in self.in_workers.items() if jobs]))
        jobs = self.in_workers[worker]
        self.finish(worker, jobs.pop(data.draw(st.integers(0, len(jobs) - 1))))

    def finish(self, worker: int, action: SendJob) -> None:
        header = action.job.header
        self.collected[header.number][header.part] += 1
        self.do(self.scheduler.handle(Collected(worker, header.number, header.part, header.attempt), 0))
        if header.number not in self.published and len(self.collected[header.number]) == self.parts[header.number]:
            self.published.add(header.number)
            self.do(self.scheduler.handle(Published(header.number, True), 0))

    @precondition(lambda self: self.in_workers)
    @rule(data=st.data())
    def kill_a_worker(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_workers)))
        del self.in_workers[worker]
        self.do(self.scheduler.handle(WorkerLost(worker), 0))

    @invariant()
    def nothing_contradicts_itself(self) -> None:
        if hasattr(self, 'scheduler'):
            self.scheduler.check_invariants()

    def teardown(self) -> None:
        if not hasattr(self, 'scheduler'):
            return
        self.add_worker()
        while any(self.in_workers.values()):
            for worker, jobs in list(self.in_workers.items()):
                if jobs:
                    self.finish(worker, jobs.pop(0))
        assert self.published == set(self.parts), 'a request was never answered'
        assert self.scheduler.unanswered == 0
        assert self.scheduler.rows_answered == sum(self.sizes)


TestSchedulerMachine = SchedulerMachine.TestCase
TestSchedulerMachine.settings = hypothesis_settings(max_examples=100, stateful_step_count=40, deadline=None)
