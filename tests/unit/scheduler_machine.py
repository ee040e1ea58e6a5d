"""A Hypothesis machine that drives the real scheduler through any order of events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bert_serving.server.protocol.ring import ClientGone, Collected, Drop, Published, Refuse, Register
from bert_serving.server.protocol.wire import CancelRequest, EncodeRequest
from bert_serving.server.ventilator.events import (
    Event,
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
from bert_serving.server.ventilator.scheduler import Scheduler
from support.scheduling import LIMITS, a_request

CLIENTS = st.sampled_from([b'a', b'b'])


class SchedulerMachine(RuleBasedStateMachine):
    """A ring of imaginary workers and an imaginary sink, in any order of events.

    At the end, when the workers work everything off, each request that was not dropped has been answered once.
    """

    @initialize(
        batch=st.integers(1, 9),
        priority=st.integers(0, 10),
        prefetch=st.integers(1, 4),
        workers=st.integers(0, 3),
        split_bytes=st.sampled_from([100_000, 60]),
    )
    def start(self, batch: int, priority: int, prefetch: int, workers: int, split_bytes: int) -> None:
        self.limits = replace(
            LIMITS,
            max_batch_size=batch,
            priority_batch_size=priority,
            prefetch_size=prefetch,
            max_queue_rows=150,
            split_bytes=split_bytes,
        )
        self.scheduler = Scheduler(self.limits)
        self.now = 0.0
        self.in_workers: dict[int, list[SendJob]] = {}
        self.let_go: dict[int, list[SendJob]] = {}
        self.dying: set[int] = set()
        self.sent: list[EncodeRequest] = []
        self.last_sent: dict[tuple[bytes, bytes], float] = {}
        self.registered: dict[tuple[bytes, bytes], int] = {}
        self.parts: dict[int, int] = {}
        self.collected: dict[int, set[int]] = {}
        self.accepted: dict[int, int] = {}
        self.published: Counter[int] = Counter()
        self.dropped: set[int] = set()
        self.refusing: set[int] = set()
        self.refused: Counter[str] = Counter()
        self.next_worker = 0
        for _ in range(workers):
            self.add_worker()

    def tell(self, event: Event) -> None:
        for action in self.scheduler.handle(event, self.now):
            match action:
                case SendJob(worker):
                    assert worker not in self.dying, 'a worker that is dying got a job'
                    assert action.job.header.request.number not in self.dropped
                    self.in_workers[worker].append(action)
                case SendToWorker(worker, Drop(number)):
                    held = self.in_workers[worker]
                    self.let_go.setdefault(worker, []).extend(a for a in held if a.job.header.request.number == number)
                    self.in_workers[worker] = [a for a in held if a.job.header.request.number != number]
                case SendToSink(Register(request)):
                    self.registered[request.identity, request.request_id] = request.number
                    self.accepted[request.number] = request.total_rows
                    self.parts[request.number] = request.parts
                    self.collected[request.number] = set()
                case SendToSink(Drop(number)):
                    self.dropped.add(number)
                case SendToSink(Refuse() as refusal):
                    if refusal.number not in self.dropped:  # not told again, to the next sink
                        self.refused[refusal.error.type] += 1
                    self.dropped |= {refusal.number} - {0}
                    self.refusing |= {refusal.number} - {0}
        self.scheduler.check_invariants()

    def is_unfinished(self, number: int) -> bool:
        """Whether the request is accepted, and neither its answer nor its error is published."""
        return number in self.refusing or (number not in self.dropped and not self.published[number])

    @rule(rows=st.integers(1, 40), client=CLIENTS, deadline_ms=st.none() | st.integers(1, 5000))
    def send_request(self, rows: int, client: bytes, deadline_ms: int | None) -> None:
        request = a_request(rows, len(self.sent) + 1, identity=client, deadline_ms=deadline_ms)
        self.sent.append(request)
        self.send(request)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_a_request_again(self, data: st.DataObject) -> None:
        """As a client does that has reconnected, whether or not the request is finished."""
        request = data.draw(st.sampled_from(self.sent))
        number = self.registered.get((request.identity, request.request_id))
        refused = self.refused.copy()
        self.send(request)
        if number is not None and self.is_unfinished(number):
            again = self.registered[request.identity, request.request_id]
            assert (again, self.refused) == (number, refused), 'what is on its way was accepted or refused once more'

    def send(self, request: EncodeRequest) -> None:
        self.last_sent[request.identity, request.request_id] = self.now
        self.tell(request)

    @rule()
    def add_worker(self) -> None:
        self.in_workers[self.next_worker] = []
        self.next_worker += 1
        self.tell(WorkerReady(self.next_worker - 1))

    @precondition(lambda self: any(self.in_workers.values()))
    @rule(data=st.data(), fails=st.booleans())
    def finish_a_job(self, data: st.DataObject, fails: bool) -> None:
        """A worker's part reaches the sink: one that is dying had sent it before."""
        worker = data.draw(st.sampled_from([w for w, jobs in self.in_workers.items() if jobs]))
        jobs = self.in_workers[worker]
        self.finish(worker, jobs.pop(data.draw(st.integers(0, len(jobs) - 1))), fails)

    def finish(self, worker: int, action: SendJob, fails: bool = False) -> None:
        header = action.job.header
        number = header.request.number
        self.tell(Collected(worker, number, header.part, header.attempt))
        if number not in self.dropped and not self.published[number]:
            self.collected[number].add(header.part)
            if fails or len(self.collected[number]) == self.parts[number]:
                self.published[number] += 1
                self.tell(Published(number, not fails))

    @precondition(lambda self: any(self.let_go.values()))
    @rule()
    def workers_let_go_of_what_is_dropped(self) -> None:
        let_go, self.let_go = self.let_go, {}
        for worker, actions in let_go.items():
            for action in actions:
                header = action.job.header
                self.tell(Collected(worker, header.request.number, header.part, header.attempt))

    @precondition(lambda self: len(self.dying) < len(self.in_workers))
    @rule(data=st.data())
    def find_a_worker_dying(self, data: st.DataObject) -> None:
        """Its process is gone. From now until `lose_a_worker`, only its last reports come."""
        worker = data.draw(st.sampled_from(sorted(set(self.in_workers) - self.dying)))
        self.dying.add(worker)
        self.tell(WorkerDying(worker))

    @precondition(lambda self: self.in_workers)
    @rule(data=st.data(), late=st.booleans(), with_machine=st.booleans())
    def lose_a_worker(self, data: st.DataObject, late: bool, with_machine: bool) -> None:
        worker = data.draw(st.sampled_from(sorted(self.in_workers)))
        jobs = self.in_workers.pop(worker)
        self.let_go.pop(worker, None)
        self.dying.discard(worker)
        self.tell(WorkerLost(worker, with_machine))
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
        for worker, action in computed:  # a batch whose parts go to the next sink
            self.finish(worker, action)

    @precondition(lambda self: self.refusing)
    @rule()
    def publish_an_error(self) -> None:
        self.tell(Published(self.refusing.pop(), False))

    @rule()
    def start_a_sink(self) -> None:
        self.tell(SinkReady())

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), client=CLIENTS)
    def cancel_a_request(self, data: st.DataObject, client: bytes) -> None:
        self.tell(CancelRequest(client, b'%d' % data.draw(st.integers(1, len(self.sent)))))

    @rule(client=CLIENTS, away_s=st.just(0.0) | st.floats(0, 5))
    def lose_a_client(self, client: bytes, away_s: float) -> None:
        """Requests that it sent after it had left stay: it is back."""
        left_at = self.now - away_s
        stays = {
            number
            for key, number in self.registered.items()
            if key[0] == client and self.last_sent[key] > left_at and self.is_unfinished(number)
        }
        before = self.dropped.copy()
        self.tell(ClientGone(client, away_s))
        assert not stays & (self.dropped - before), 'a request was dropped that its client had sent since it left'

    @rule(seconds=st.floats(0.001, 2))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick())

    def teardown(self) -> None:
        if not hasattr(self, 'scheduler'):
            return
        self.start_a_sink()
        for worker in sorted(self.dying):
            del self.in_workers[worker]
            self.let_go.pop(worker, None)
            self.tell(WorkerLost(worker))
        self.dying.clear()
        self.workers_let_go_of_what_is_dropped()
        self.add_worker()
        while any(self.in_workers.values()) or any(self.let_go.values()) or self.scheduler.is_splitting:
            self.tell(Tick())
            for worker, jobs in list(self.in_workers.items()):
                if jobs:
                    self.finish(worker, jobs.pop(0))
            self.workers_let_go_of_what_is_dropped()
        while self.refusing:
            self.publish_an_error()
        wanted = set(self.accepted) - self.dropped
        assert self.published == Counter(wanted), 'answered never, or twice: %s' % self.stories_of(
            number for number in wanted if self.published[number] != 1
        )
        assert self.scheduler.unanswered == 0
        assert not any(self.scheduler.gauge().values())
        assert not self.scheduler.awaits_tick
        outcomes = self.scheduler.outcomes
        assert outcomes.published + outcomes.failed == len(wanted)
        assert outcomes.expired + outcomes.cancelled + outcomes.gone + outcomes.poisoned == len(self.dropped)
        assert self.refused == Counter(
            DeadlineExceeded=outcomes.expired, PoisonedRequest=outcomes.poisoned, Busy=outcomes.busy
        )

    def stories_of(self, numbers: Iterable[int]) -> str:
        """The stories of these requests, for the reader of a failure."""
        return '\n'.join('\n  '.join(['request %d' % number, *self.scheduler.story(number)]) for number in numbers)
