"""The ventilator's decisions: which job goes to which worker, and when a request is over.

Pure: typed messages and the time go in, a list of actions comes out. No socket, process, clock or random source. The
loop in `ventilator.py` performs the actions: `for action in scheduler.handle(event, now): perform(action)`.

Jobs wait in two lanes, urgent (at most `priority_batch_size` rows) and bulk. In each lane, clients get equal shares of
the rows, and the requests of each client take turns (`turns.py`). Each worker has a separate credit for each lane,
counted in rows. Together they make the `prefetch_size` batches that it can hold. Separate credits let a small request
reach a worker immediately, however much bulk is queued. The worker's batcher (`worker/batcher.py`) then orders the two
lanes, and limits how often urgent jobs overtake a bulk job.

The scheduler keeps the input of a request until the sink has published its reply (rule 1 of the ring,
docs/architecture.md). Until then, another worker can take over the jobs of a lost worker, and all jobs can be computed
again after the loss of the sink.

A worker computes rows of many requests together, so after its death all of its jobs are suspects. They go to
quarantine, where they run one at a time on a reserved worker. Only a death while a job runs alone is a strike against
its request. After the second strike, the request gets an error (rule 4). Requests are treated likewise after deaths of
the sink (`suspects.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from ..errors import Busy, DeadlineExceeded, PoisonedRequest, QuotaExceeded, RequestError, ShuttingDown, TooLarge
from ..protocol.options import EncodingOptions
from ..protocol.ring import ClientGone, Collected, Drop, Job, Published, Refuse, Register, RequestRef
from ..protocol.tracing import JobTrace
from ..protocol.wire import BadRequest, CancelRequest, EncodeRequest
from ..security.shares import Shares
from ..stats import Histogram, Outcomes
from .admission import Admission
from .deadlines import Deadlines
from .events import (
    Action,
    DrainStarted,
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
from .invariants import InvariantError
from .leaving import Leaving
from .limits import AdmissionLimits
from .places import Places
from .quarantine import Quarantine
from .records import Key, RequestRecord, key_of, memory_bytes
from .registry import RequestRegistry
from .reply_size import ReplySize
from .served_model import Resolve, as_it_is
from .split_queue import SplitQueue
from .splitting import Chunk, is_large, make_jobs, split_in_slices, split_request
from .stories import MAX_FINISHED, Story
from .suspects import CRASHED_SINKS, CRASHED_WORKERS, LOST_MACHINE, LOST_MACHINES, MAX_STRIKES, Suspects
from .turns import LANES, TurnQueue
from .workers import WorkerPool


class Scheduler:
    """The queue of jobs and the credit of every worker. For the ventilator's thread only."""

    def __init__(self, limits: AdmissionLimits, resolve: Resolve = as_it_is, traces: bool = False) -> None:
        """`resolve` checks the options of a request against the model, and replaces names by the model's values.

        With `traces`, the scheduler records the times of requests with a `traceparent`.
        """
        self.limits = limits
        self.reply_size = ReplySize()
        self._traces = traces
        self._resolve = resolve
        self.outcomes = Outcomes()
        self.queue_time = Histogram()
        """Seconds from the arrival of a request until a worker gets one of its jobs, for each job."""
        self.total_time = Histogram()
        """Seconds from the arrival of a request until its vectors are published."""
        self._requests = RequestRegistry()
        self._turns = TurnQueue()
        self._splits = SplitQueue()
        self._admission = Admission(self._requests)
        self._deadlines = Deadlines()
        self._workers = WorkerPool(limits.lane_rows)
        self._quarantine = Quarantine()
        self._suspects = Suspects()
        self._places = Places(self._requests, self._turns, self._quarantine, self._suspects, self._workers)
        self._leaving = Leaving(self._requests)
        # Kept until the next event only: the stories of a flood, scattered over its memory, would keep all of that.
        self._finished_stories: deque[tuple[int, Story]] = deque(maxlen=MAX_FINISHED)
        self._has_sink = True

    def share_by(self, shares: Shares) -> None:
        """Give shares and quotas to principals instead of clients. Call it before there is a request."""
        self._admission.shares = shares
        self._requests.share_by(shares.owner_of)
        self._turns.share_by(shares.weight_of, shares.owner_of)

    def owner_of(self, identity: bytes) -> bytes:
        """Whose client has an identity."""
        return self._admission.shares.owner_of(identity)

    @property
    def unanswered(self) -> int:
        """The number of requests accepted and not yet published."""
        return len(self._requests)

    @property
    def awaits_tick(self) -> bool:
        """Whether a `Tick` should come soon."""
        return bool(self._deadlines) or bool(self._leaving)

    @property
    def is_splitting(self) -> bool:
        """Whether a `Tick` should come as soon as everything that has come is handled."""
        return bool(self._splits)

    @property
    def memory_bytes(self) -> int:
        """The estimated memory of all unfinished requests."""
        return self._requests.memory_bytes

    def holds_jobs(self, worker: int) -> bool:
        """Whether a worker that was ready, and is not lost, holds jobs."""
        return bool(self._workers[worker].held)

    def gauge(self) -> dict[str, int]:
        """The current amounts, by the keys of the status."""
        return self._places.gauge()

    def story(self, number: int) -> list[str]:
        """The events of a request that is unfinished, or that finished in the last `handle` after an unusual event.

        Times are seconds since the request was accepted. For an unfinished request, the last line says where its parts
        are.
        """
        request = self._requests.get(number)
        if request is not None:
            story = request.story or Story(request.ref, request.arrived_at)
            return [*story.tell(), self._places.describe(request)]
        return self.finished_stories().get(number, [])

    def finished_stories(self) -> dict[int, list[str]]:
        """The stories of requests that finished in the last `handle` after an unusual event, by number."""
        return {number: story.tell() for number, story in self._finished_stories}

    def handle(self, event: Event, now: float) -> list[Action]:
        """Handle one event, and return the resulting actions in order. `now` is in seconds of a monotonic clock."""
        actions: list[Action] = []
        self._finished_stories.clear()
        match event:
            case EncodeRequest():
                actions += self._accept(event, now)
            case Collected():
                self._give_credit(event, now)
            case Published():
                actions += self._publish(event, now)
            case BadRequest(identity, request_id, error):
                self.outcomes.refused += 1
                actions.append(SendToSink(Refuse(identity, request_id, error)))
            case CancelRequest(identity, request_id):
                actions += self._cancel(identity, request_id, now)
            case ClientGone(identity, away_s):
                self._leaving.note(identity, now - away_s)
            case WorkerReady(worker):
                self._workers.add(worker)
            case WorkerDying(worker):
                self._workers.mark_dying(worker)
            case WorkerLost(worker, with_machine):
                actions += self._requeue(worker, with_machine, now)
            case SinkLost():
                actions += self._restart_after_sink_loss(now)
            case SinkReady():
                self._has_sink = True
            case DrainStarted():
                self._admission.is_draining = True
            case Tick():
                actions += self._expire(now)
                if self._splits:
                    actions += self._split_some(now)
            case _:
                assert_never(event)
        if self._leaving:
            actions += self._drop_leaving(now)
        actions += self._dispatch(now)
        return actions

    # ---- requests come and go

    def _accept(self, request: EncodeRequest, now: float) -> Iterator[Action]:
        try:
            self.limits.check_size(request)
            self.reply_size.check(request)
        except TooLarge as refusal:
            self.outcomes.refused += 1
            yield SendToSink(Refuse(request.identity, request.request_id, refusal))
            return
        key = key_of(request)
        known = self._requests.find(key)
        if known is not None:  # a reconnected client sends pending requests again
            known.last_seen_at = now
            known.note(now, 'came again')
            return
        try:
            self._admission.check(request, self.limits, now)
            encoding = request.options.encoding
            if encoding is not None:
                encoding = self._resolve(encoding)
            is_split_later = is_large(request, self.limits)
            chunks = None if is_split_later else split_request(request, self.limits.max_batch_size)
        except (Busy, QuotaExceeded, ShuttingDown) as refusal:
            self.outcomes.busy += not isinstance(refusal, ShuttingDown)
            yield SendToSink(Refuse(request.identity, request.request_id, refusal))
        except RequestError as fault:
            self.outcomes.refused += 1
            yield SendToSink(Refuse(request.identity, request.request_id, fault))
        else:
            yield self._enter(request, key, chunks, encoding, now)

    def _enter(
        self,
        request: EncodeRequest,
        key: Key,
        chunks: Sequence[Chunk] | None,
        encoding: EncodingOptions | None,
        now: float,
    ) -> Action:
        """Keep an accepted request, and let its jobs wait for their turns; without `chunks` it is split later."""
        number, parts = self._requests.next_number(), -(-request.rows // self.limits.max_batch_size)
        owner = self.owner_of(request.identity)
        self._admission.note(owner, request.rows, now)
        ref = RequestRef(number, request.identity, request.request_id, parts, request.rows)
        traceparent = request.options.traceparent if self._traces else None
        trace = None if traceparent is None else JobTrace(traceparent, accepted_at=now)
        jobs = list(make_jobs(ref, request, chunks or (), self.limits.priority_batch_size, encoding, trace))
        if chunks is None:
            self._splits.add(owner, number, split_in_slices(ref, request, self.limits, encoding, trace))
        self._requests.add(RequestRecord(ref, key, memory_bytes(request), jobs, arrived_at=now, last_seen_at=now))
        for job in jobs:
            self._turns.add(job)
        if request.options.deadline_ms is not None:
            self._deadlines.push(number, now + request.options.deadline_ms / 1000)
        return SendToSink(Register(ref))

    def _split_some(self, now: float) -> Iterator[Action]:
        """Split another slice of a large request. One that turns out to be wrong is answered with the error."""
        number, slices = self._splits.take_turn()
        request = self._requests[number]
        try:
            jobs = next(slices, None)
        except RequestError as fault:
            self.outcomes.refused += 1
            reason = type(fault)(fault.message)  # without a traceback, by which the request would hold its own message
            yield from self._refuse(request, reason, now)
            return
        if jobs is None:
            self._splits.discard(number)
            return
        request.jobs += jobs
        if number not in self._suspects:
            for job in jobs:
                self._turns.add(job)

    def _publish(self, published: Published, now: float) -> Iterator[Action]:
        request = self._requests.get(published.number)
        if request is None:
            return
        if published.answered:
            self.outcomes.published += 1
            self.outcomes.rows_done += request.rows
            self.total_time.add(now - request.arrived_at)
        elif request.refusal is None:
            self.outcomes.failed += 1
        if request.story is not None:
            request.note(now, 'published answered=%s' % published.answered)
        yield from self._forget(request)

    def _cancel(self, identity: bytes, request_id: bytes, now: float) -> Iterator[Action]:
        for request in self._requests.with_id(identity, request_id):
            if request.refusal is None:
                self.outcomes.cancelled += 1
                request.note(now, 'cancelled')
                yield from self._drop(request)

    def _drop_leaving(self, now: float) -> Iterator[Action]:
        for request, left_at in self._leaving.take_some():
            self.outcomes.gone += 1
            request.note(now, 'dropped: its client has been away for %.1f s' % (now - left_at))
            yield from self._drop(request)

    def _expire(self, now: float) -> Iterator[Action]:
        for number in self._deadlines.expired(now):
            request = self._requests[number]
            waited_ms = 1000 * (now - request.arrived_at)
            self.outcomes.expired += 1
            reason = (
                'the deadline of the request has passed: it waited %.0f ms; retry later, or with a longer deadline'
                % waited_ms
            )
            yield from self._refuse(request, DeadlineExceeded(reason), now)

    def _drop(self, request: RequestRecord) -> Iterator[Action]:
        """Drop an unfinished request that nobody waits for any more."""
        yield SendToSink(Drop(request.number))
        yield from self._forget(request)

    def _refuse(self, request: RequestRecord, reason: RequestError, now: float) -> Iterator[Action]:
        """Answer an accepted request with the error `reason`. The request is kept until the reply is published."""
        request.refusal = reason
        request.note(now, 'refused type=%s' % reason.type)
        self._deadlines.discard(request.number)
        yield self._send_refusal(request, reason)
        yield from self._cancel_jobs(request)

    def _send_refusal(self, request: RequestRecord, reason: RequestError) -> Action:
        return SendToSink(Refuse(request.identity, request.ref.request_id, reason, request.number))

    def _forget(self, request: RequestRecord) -> Iterator[Action]:
        """Remove all traces of a request."""
        yield from self._cancel_jobs(request)
        self._requests.remove(request)
        if request.story is not None:
            self._finished_stories.append((request.number, request.story))
        self._deadlines.discard(request.number)

    def _cancel_jobs(self, request: RequestRecord) -> Iterator[Action]:
        """Stop handing out jobs of a request, and tell the workers to skip the jobs that they hold."""
        number = request.number
        self._suspects.discard(number)
        self._splits.discard(number)
        if request.is_collected:
            return
        self._turns.drop_request(number)
        self._quarantine.drop_request(number)
        for name in self._workers.holders_of(number):
            yield SendToWorker(name, Drop(number))

    # ---- jobs go out

    def _dispatch(self, now: float) -> Iterator[Action]:
        if self._suspects:
            self._try_suspects()
        if self._quarantine or self._workers.reserved is not None:
            yield from self._dispatch_quarantine(now)
        for lane in LANES:
            while (job := self._turns.next_job(lane)) is not None:
                worker = self._workers.choose(lane, job.header.rows)
                if worker is None:  # no job overtakes the head of a lane, or the largest job would wait forever
                    break
                yield self._hand_over(worker, self._turns.take(lane), now)

    def _dispatch_quarantine(self, now: float) -> Iterator[Action]:
        """Reserve one worker while there are quarantined jobs, and give it one of them at a time.

        Without a sink none begins: its part could not be collected, so a later death would count against a finished
        job.
        """
        name = self._workers.reserve()
        if name is None:
            return
        worker = self._workers[name]
        if not worker.held and self._quarantine and self._has_sink and not worker.is_dying:
            yield self._hand_over(name, self._quarantine.popleft(), now)
            worker.is_running_alone = True
        if not (worker.is_running_alone or self._quarantine):
            self._workers.reserved = None

    def _try_suspects(self) -> None:
        """Queue the jobs of the next suspect, unless another suspect is on trial."""
        while (number := self._suspects.try_next()) is not None:
            request = self._requests[number]
            if request.is_collected:  # late arrivals from before the loss of the sink
                self._suspects.acquit(number)
            for job in self._places.left_of(number):
                self._turns.add(job)

    def _hand_over(self, name: int, job: Job, now: float) -> SendJob:
        header = job.header
        if header.trace is not None:
            header = replace(header, trace=replace(header.trace, dispatched_at=now))
            job = replace(job, header=header)
        self._workers.take(name, job)
        request = self._requests[header.request.number]
        if header.attempt == 0:
            self.queue_time.add(now - request.arrived_at)
        if request.story is not None:
            request.note(now, 'handed out part=%d attempt=%d worker=%d' % (header.part, header.attempt, name))
        return SendJob(name, job)

    def _give_credit(self, collected: Collected, now: float) -> None:
        self._workers.give_credit(collected)
        request = self._requests.get(collected.number)
        if request is not None:
            request.collected.add(collected.part)
            if request.story is not None:
                place = collected.part, collected.attempt, collected.worker
                request.note(now, 'collected part=%d attempt=%d worker=%d' % place)
            if request.is_collected:
                self._suspects.acquit(request.number)
            if request.jobs[collected.part].header.attempt != collected.attempt:
                self._turns.withdraw(collected.number, collected.part)
                self._quarantine.withdraw(collected.number, collected.part)

    # ---- a process is lost

    def _requeue(self, name: int, with_machine: bool, now: float) -> Iterator[Action]:
        """Quarantine every job of a dead worker. A job that it ran alone gets a strike."""
        last_words, strike = (LOST_MACHINES, LOST_MACHINE) if with_machine else (CRASHED_WORKERS, 1)
        if (worker := self._workers.remove(name)) is None:
            return
        lost = [job for job in worker.held.values() if self._is_wanted(job)]
        for job in lost:
            request = self._requests[job.header.request.number]
            place = job.header.part, job.header.attempt, name, worker.is_running_alone
            request.note(now, 'lost part=%d attempt=%d worker=%d alone=%s' % place)
            if not worker.is_running_alone:
                self._quarantine.append(self._next_attempt(job))
                continue
            yield from self._strike(request, last_words, now, strike)
            if request.refusal is None:
                self._quarantine.appendleft(self._next_attempt(job, reduced_batch=not with_machine))

    def _strike(self, request: RequestRecord, last_words: str, now: float, strike: float = 1) -> Iterator[Action]:
        """Record that a request has crashed a process. After the last strike, answer it with an error."""
        request.strikes += strike
        if request.strikes >= MAX_STRIKES:
            self.outcomes.poisoned += 1
            yield from self._refuse(request, PoisonedRequest(last_words), now)

    def _is_wanted(self, job: Job) -> bool:
        request = self._requests.get(job.header.request.number)
        return request is not None and request.refusal is None and job.header.part not in request.collected

    def _next_attempt(self, job: Job, reduced_batch: bool = False) -> Job:
        """The same job for another attempt."""
        self.outcomes.requeued += 1
        header = job.header
        reduced_batch = reduced_batch or header.reduced_batch
        again = replace(job, header=replace(header, attempt=header.attempt + 1, reduced_batch=reduced_batch))
        self._requests[header.request.number].jobs[header.part] = again
        return again

    def _restart_after_sink_loss(self, now: float) -> Iterator[Action]:
        """Compute all unpublished requests again, in order of arrival, but suspects one at a time."""
        untouched = {(job.header.request.number, job.header.part) for job in self._turns}
        for number in self._suspects:
            untouched |= {(number, job.header.part) for job in self._places.left_of(number)}
        guilty = None
        if self._has_sink:
            handed_out = {number for worker in self._workers for number in worker.jobs_of}
            guilty = self._suspects.judge([each for each in self._requests if each.refusal is None], handed_out)
        else:  # it died while it started
            self._suspects.begin_again()
        self._has_sink = False
        for worker in self._workers:
            if worker.is_running_alone:  # its jobs stay in quarantine
                for job in filter(self._is_wanted, worker.held.values()):
                    self._quarantine.appendleft(self._next_attempt(job))
            worker.forget_all()
        quarantined = self._quarantine.places
        self._turns.clear()
        for request in self._requests:
            if request.refusal is not None:
                yield self._send_refusal(request, request.refusal)
                continue
            if request.number == guilty:
                request.note(now, 'was alone in the sink that died')
                yield from self._strike(request, CRASHED_SINKS, now)
                if request.refusal is not None:
                    continue
            yield SendToSink(Register(request.ref))
            request.note(now, 'began again: the sink was lost collected=%d' % len(request.collected))
            request.collected.clear()
            for job in request.jobs.copy():
                place = (request.number, job.header.part)
                if place in quarantined:
                    continue
                again = job if place in untouched else self._next_attempt(job)
                if request.number not in self._suspects:
                    self._turns.add(again)

    # ---- invariants

    def check_invariants(self) -> None:
        """Raise InvariantError if the state is inconsistent, with the story of the affected request.

        The tests call it after every event.
        """
        try:
            for collaborator in (
                self._requests,
                self._turns,
                self._splits,
                self._deadlines,
                self._workers,
                self._places,
            ):
                collaborator.check()
        except InvariantError as error:
            if error.number is None:
                raise
            story = '\n  '.join(self.story(error.number))
            raise InvariantError('%s: request %d\n  %s' % (error, error.number, story), error.number) from error
