"""What the ventilator decides: which job goes to which worker, and when a request is over.

Pure: typed messages and the time go in, a list of actions comes out. No socket, process, clock or random source; the
loop in `ventilator.py` does what the actions say: `for action in scheduler.handle(event, now): perform(action)`.

Jobs wait in two lanes, urgent (at most `priority_batch_size` rows) and bulk. Within a lane the requests take turns,
job by job, so that a request of a hundred jobs does not hold up one of two. Each worker has credit for each lane,
counted in rows; together they are the `prefetch_size` batches it may hold. A lane of its own credit is what lets a
small request reach a worker at once, however much bulk is queued; the worker's batcher then orders the two
(`worker/batcher.py`), and bounds how often a bulk job is overtaken.

The input of a request is kept until the sink has published its answer (rule 1 of the ring): until then a worker's
death can be mended by handing its jobs to another, and the sink's by having everything computed again.

A worker computes rows of many requests together, so its death taints all that it held. These suspects wait in a line of
their own and are computed alone, by one worker that gets nothing else meanwhile (`WorkerRecord.running_alone`); only a death while
alone counts against a request, and the second is answered with an error (rule 4).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import assert_never

from ..errors import Busy, DeadlineExceeded, PoisonedRequest, RequestError, ShuttingDown, TooLarge
from ..protocol.ring import ClientGone, Collected, Drop, Job, JobHeader, Lane, Published, Refuse, Register, RequestRef
from ..protocol.wire import BadRequest, CancelRequest, EncodeRequest
from ..stats import Histogram, Outcomes
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
from .limits import AdmissionLimits
from .records import Key, RequestRecord, WorkerRecord, bytes_kept
from .splitting import Chunk, split_request


class Scheduler:
    """The queue of jobs and the credit of every worker. Used by the ventilator's thread alone."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self.outcomes = Outcomes()
        self.queue_time = Histogram()
        """From a request's arrival until a job of it is handed to a worker."""
        self.total_time = Histogram()
        """From a request's arrival until its vectors are published."""
        self._lane_rows = limits.lane_rows
        self._requests: dict[int, RequestRecord] = {}
        self._numbers: dict[Key, int] = {}
        self._numbers_of: dict[bytes, set[int]] = {}
        self._turns: dict[Lane, deque[int]] = {lane: deque() for lane in Lane}
        self._quarantine: deque[Job] = deque()
        self._deadlines: list[tuple[float, int]] = []
        self._workers: dict[int, WorkerRecord] = {}
        self._next_number = 1
        self._rows = 0
        self._bytes = 0
        self._draining = False
        self._has_sink = True

    @property
    def unanswered(self) -> int:
        """Requests accepted and not yet published."""
        return len(self._requests)

    @property
    def awaits_deadline(self) -> bool:
        """Whether a `Tick` should come soon."""
        return bool(self._deadlines)

    def gauge(self) -> dict[str, int]:
        """How much there is at this moment, in the keys of the status."""
        in_flight = sum(sum(worker.rows.values()) for worker in self._workers.values())
        waiting = [job for request in self._requests.values() for jobs in request.waiting.values() for job in jobs]
        waiting += self._quarantine
        return {
            'queue_rows': sum(job.header.rows for job in waiting),
            'queue_requests': len({job.header.request.number for job in waiting}),
            'in_flight_rows': in_flight,
            'unfinished_requests': len(self._requests),
            'unfinished_rows': self._rows,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event in; return what is to be done, in order."""
        actions: list[Action] = []
        match event:
            case EncodeRequest():
                actions += self._accept(event, now)
            case BadRequest(identity, request_id, error):
                self.outcomes.refused += 1
                actions.append(SendToSink(Refuse(identity, request_id, error)))
            case WorkerReady(worker):
                self._workers[worker] = WorkerRecord()
            case WorkerDying(worker):
                if worker in self._workers:
                    self._workers[worker].dying = True
            case WorkerLost(worker):
                actions += self._requeue(worker)
            case SinkLost():
                actions += self._restart_after_sink_loss()
            case SinkReady():
                self._has_sink = True
            case DrainStarted():
                self._draining = True
            case Collected():
                self._give_credit(event)
            case Published():
                actions += self._publish(event, now)
            case CancelRequest(identity, request_id):
                actions += self._cancel(identity, request_id)
            case ClientGone(identity, away_s):
                actions += self._drop_those_of(identity, left=now - away_s)
            case Tick():
                actions += self._expire(now)
            case _:
                assert_never(event)
        actions += self._dispatch(now)
        return actions

    # Requests come and go ----------------------------------------------------------------------------------------------

    def _accept(self, request: EncodeRequest, now: float) -> Iterator[Action]:
        try:
            self._check_size(request)
        except TooLarge as refusal:
            self.outcomes.refused += 1
            yield SendToSink(Refuse(request.identity, request.request_id, refusal))
            return
        digest = blake2b(request.payload, digest_size=16).digest()
        key = (request.identity, request.request_id, digest, request.options)
        if key in self._numbers:  # a client that lost its connection asks again for what is already on its way
            self._requests[self._numbers[key]].last_seen_at = now
            return
        try:
            self._check_time(request)
            chunks = split_request(request, self.limits.max_batch_size)
        except (Busy, ShuttingDown) as refusal:
            self.outcomes.busy += isinstance(refusal, Busy)
            yield SendToSink(Refuse(request.identity, request.request_id, refusal))
        except RequestError as fault:
            self.outcomes.refused += 1
            yield SendToSink(Refuse(request.identity, request.request_id, fault))
        else:
            yield self._enter(request, key, chunks, now)

    def _check_size(self, request: EncodeRequest) -> None:
        """Raise TooLarge, before anything is done with the message that takes time."""
        limits, size = self.limits, len(request.payload)
        if request.rows > limits.max_request_rows:
            raise TooLarge('the request has %d rows, and -max_request_rows of the server is %d: send it in parts'
                           % (request.rows, limits.max_request_rows))  # fmt: skip
        if size > limits.max_message_bytes:
            raise TooLarge('the message has %d bytes, and -max_message_bytes of the server is %d: send it in parts'
                           % (size, limits.max_message_bytes))  # fmt: skip

    def _check_time(self, request: EncodeRequest) -> None:
        """Raise RequestError if the request comes at a time at which no more are accepted."""
        limits = self.limits
        if self._draining:
            raise ShuttingDown('the server is shutting down and takes no new requests: send it again later')
        rows_after, bytes_after = self._rows + request.rows, self._bytes + bytes_kept(request)
        if self._requests and (rows_after > limits.max_queue_rows or bytes_after > limits.max_queue_bytes):
            raise Busy('the server has %d rows to finish, and takes %d rows or %d MB at a time: send the request again '
                       'later' % (self._rows, limits.max_queue_rows, limits.max_queue_bytes >> 20))  # fmt: skip

    def _enter(self, request: EncodeRequest, key: Key, chunks: Sequence[Chunk], now: float) -> Action:
        """Keep an accepted request, and let its jobs wait for their turns."""
        number, self._next_number = self._next_number, self._next_number + 1
        jobs = list(self._make_jobs(number, request, chunks))
        waiting = {lane: deque(job for job in jobs if job.header.lane is lane) for lane in Lane}
        self._requests[number] = RequestRecord(key, now, now, bytes_kept(request), jobs, waiting)
        self._numbers[key] = number
        self._numbers_of.setdefault(request.identity, set()).add(number)
        self._rows += request.rows
        self._bytes += bytes_kept(request)
        for lane in Lane:
            if waiting[lane]:
                self._turns[lane].append(number)
        if request.options.deadline_ms is not None:
            heappush(self._deadlines, (now + request.options.deadline_ms / 1000, number))
        return SendToSink(self._registration(number))

    def _make_jobs(self, number: int, request: EncodeRequest, chunks: Sequence[Chunk]) -> Iterator[Job]:
        reference = RequestRef(number, request.identity, request.request_id, len(chunks), request.rows)
        first_row = 0
        for part, chunk in enumerate(chunks):
            header = JobHeader(
                request=reference,
                part=part,
                attempt=0,
                first_row=first_row,
                rows=chunk.rows,
                lane=Lane.URGENT if chunk.rows <= self.limits.priority_batch_size else Lane.BULK,
                token_counts=request.options.token_counts,
                tokenize=request.options.tokenize,
            )
            yield Job(header, chunk.payload)
            first_row += chunk.rows

    def _registration(self, number: int) -> Register:
        return Register(self._requests[number].jobs[0].header.request)

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
        yield from self._forget(published.number)

    def _cancel(self, identity: bytes, request_id: bytes) -> Iterator[Action]:
        for number in sorted(self._numbers_of.get(identity, ())):
            request = self._requests[number]
            if request.key[1] == request_id and request.refusal is None:
                self.outcomes.cancelled += 1
                yield from self._drop(number)

    def _drop_those_of(self, identity: bytes, left: float) -> Iterator[Action]:
        """Drop what an identity asked for before it left; what it asks for again comes before its subscription."""
        for number in sorted(self._numbers_of.get(identity, ())):
            request = self._requests[number]
            if request.last_seen_at > left or request.refusal is not None:
                continue
            self.outcomes.gone += 1
            yield from self._drop(number)

    def _expire(self, now: float) -> Iterator[Action]:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number = heappop(self._deadlines)
            request = self._requests.get(number)
            if request is None or request.refusal is not None:
                continue
            self.outcomes.expired += 1
            yield from self._refuse(number, DeadlineExceeded(
                'the request was not answered within its deadline: it waited %.0f ms' % (1000 * (now - request.arrived_at))))  # fmt: skip
        self._prune_deadlines()

    def _drop(self, number: int) -> Iterator[Action]:
        """Let go of a request that is not finished, and for which nobody waits any more."""
        yield SendToSink(Drop(number))
        yield from self._forget(number)

    def _refuse(self, number: int, reason: RequestError) -> Iterator[Action]:
        """Answer an accepted request with `reason`. It is kept until that is published, like one that is computed."""
        self._requests[number].refusal = reason
        yield SendToSink(self._refusal(number, reason))
        yield from self._cancel_jobs(number)

    def _refusal(self, number: int, reason: RequestError) -> Refuse:
        request = self._requests[number].jobs[0].header.request
        return Refuse(request.identity, request.request_id, reason, number)

    def _forget(self, number: int) -> Iterator[Action]:
        """Keep nothing of a request."""
        yield from self._cancel_jobs(number)
        request = self._requests.pop(number)
        del self._numbers[request.key]
        identity = request.key[0]
        self._numbers_of[identity].discard(number)
        if not self._numbers_of[identity]:
            del self._numbers_of[identity]
        self._rows -= request.rows
        self._bytes -= request.bytes
        self._prune_deadlines()

    def _cancel_jobs(self, number: int) -> Iterator[Action]:
        """Hand no more jobs of a request out; workers that hold jobs of it need not begin with them."""
        request = self._requests[number]
        if len(request.collected) == len(request.jobs):
            return
        for lane, waiting in request.waiting.items():
            if waiting:
                self._turns[lane].remove(number)
                waiting.clear()
        self._quarantine = deque(job for job in self._quarantine if job.header.request.number != number)
        for name, worker in self._workers.items():
            if any(held == number for held, _, _ in worker.held):
                yield SendToWorker(name, Drop(number))

    def _prune_deadlines(self) -> None:
        """Keep no more deadlines than twice the requests; the first is always that of one."""
        if len(self._deadlines) > 2 * len(self._requests):
            self._deadlines = [deadline for deadline in self._deadlines if deadline[1] in self._requests]
            heapify(self._deadlines)
        while self._deadlines and self._deadlines[0][1] not in self._requests:
            heappop(self._deadlines)

    # Jobs go out -------------------------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> Iterator[Action]:
        yield from self._dispatch_quarantine(now)
        for lane in Lane:
            turns = self._turns[lane]
            while turns:
                waiting = self._requests[turns[0]].waiting[lane]
                worker = self._choose_worker(lane, waiting[0].header.rows)
                if worker is None:  # nobody steps past the head of a lane: the largest job would wait for ever
                    break
                job = waiting.popleft()
                number = turns.popleft()
                if waiting:
                    turns.append(number)
                yield self._hand_over(worker, job, now)

    def _dispatch_quarantine(self, now: float) -> Iterator[Action]:
        """Keep one worker for the quarantined jobs as long as there are any, and give it one at a time.

        Without a sink none begins: it would be taken for unfinished until there is one, and answer for a death after it.
        """
        reserved = next((name for name, worker in self._workers.items() if worker.reserved), None)
        living = [name for name, worker in self._workers.items() if not worker.dying]
        if reserved is None and self._quarantine and living:
            reserved = min(living, key=lambda name: sum(self._workers[name].rows.values()))
            self._workers[reserved].reserved = True
        if reserved is None:
            return
        worker = self._workers[reserved]
        if not worker.held and self._quarantine and self._has_sink and not worker.dying:
            job = self._quarantine.popleft()
            yield self._hand_over(reserved, job, now)
            worker.running_alone = job.header.request.number
        worker.reserved = worker.running_alone is not None or bool(self._quarantine)

    def _choose_worker(self, lane: Lane, rows: int) -> int | None:
        """The worker that holds the fewest rows among those with credit for `rows` more of `lane`."""
        best = None
        for name, worker in self._workers.items():
            if worker.reserved or worker.dying or worker.rows[lane] + rows > self._lane_rows[lane]:
                continue
            load = sum(worker.rows.values())
            if best is None or load < best[0]:
                best = (load, name)
        return None if best is None else best[1]

    def _hand_over(self, name: int, job: Job, now: float) -> SendJob:
        self._workers[name].take(job)
        if job.header.attempt == 0:
            self.queue_time.add(now - self._requests[job.header.request.number].arrived_at)
        return SendJob(name, job)

    def _give_credit(self, collected: Collected) -> None:
        worker = self._workers.get(collected.worker)
        if worker is not None:
            worker.let_go((collected.number, collected.part, collected.attempt))
        request = self._requests.get(collected.number)
        if request is not None:
            request.collected.add(collected.part)
            if request.jobs[collected.part].header.attempt != collected.attempt:
                self._withdraw(collected.number, request, collected.part)

    def _withdraw(self, number: int, request: RequestRecord, part: int) -> None:
        """Do not hand a job out again whose part has come after all."""
        for lane, waiting in request.waiting.items():
            if any(job.header.part == part for job in waiting):
                request.waiting[lane] = deque(job for job in waiting if job.header.part != part)
                if not request.waiting[lane]:
                    self._turns[lane].remove(number)
        if self._quarantine:
            self._quarantine = deque(
                job for job in self._quarantine if (job.header.request.number, job.header.part) != (number, part)
            )

    # A process is lost -------------------------------------------------------------------------------------------------

    def _requeue(self, name: int) -> Iterator[Action]:
        """Suspect every job that a dead worker held; one that it held alone has a death to answer for."""
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        lost = [job for job in worker.held.values() if self._is_wanted(job)]
        if worker.running_alone is None:
            self._quarantine.extend(self._make_again(job) for job in lost)
            return
        for job in lost:
            request = self._requests[job.header.request.number]
            request.strikes += 1
            if request.strikes >= 2:
                self.outcomes.poisoned += 1
                yield from self._refuse(job.header.request.number, PoisonedRequest(
                    'two workers died while they computed this request and nothing else: do not send it again'))  # fmt: skip
            else:
                self._quarantine.appendleft(self._make_again(job, reduced_batch=True))

    def _is_wanted(self, job: Job) -> bool:
        request = self._requests.get(job.header.request.number)
        return request is not None and request.refusal is None and job.header.part not in request.collected

    def _make_again(self, job: Job, reduced_batch: bool = False) -> Job:
        """The same job, to be handed out once more."""
        self.outcomes.requeued += 1
        header = replace(
            job.header, attempt=job.header.attempt + 1, reduced_batch=job.header.reduced_batch or reduced_batch
        )
        again = Job(header, job.payload)
        self._requests[job.header.request.number].jobs[job.header.part] = again
        return again

    def _restart_after_sink_loss(self) -> Iterator[Action]:
        """Everything that is not published is computed again, in the order in which it came."""
        self._has_sink = False
        for worker in self._workers.values():
            if worker.running_alone is not None:  # it stays in quarantine
                self._quarantine.extendleft(
                    self._make_again(job) for job in worker.held.values() if self._is_wanted(job)
                )
            worker.forget_all()
        quarantined = {(job.header.request.number, job.header.part) for job in self._quarantine}
        for turns in self._turns.values():
            turns.clear()
        for number, request in self._requests.items():
            if request.refusal is not None:
                yield SendToSink(self._refusal(number, request.refusal))
                continue
            yield SendToSink(self._registration(number))
            for part in self._parts_that_were_out(request, quarantined):
                self._make_again(request.jobs[part])
            request.collected.clear()
            for lane in Lane:
                request.waiting[lane] = deque(
                    job for job in request.jobs
                    if job.header.lane is lane and (number, job.header.part) not in quarantined
                )  # fmt: skip
                if request.waiting[lane]:
                    self._turns[lane].append(number)

    def _parts_that_were_out(self, request: RequestRecord, quarantined: set[tuple[int, int]]) -> list[int]:
        """The parts that a worker or the lost sink had."""
        still_here = {job.header.part for waiting in request.waiting.values() for job in waiting}
        headers = (job.header for job in request.jobs)
        return [h.part for h in headers if h.part not in still_here and (h.request.number, h.part) not in quarantined]

    def check_invariants(self) -> None:
        """Raise AssertionError where the state contradicts itself; called by the tests after every event."""
        for lane, most in self._lane_rows.items():
            for worker in self._workers.values():
                held = sum(job.header.rows for job in worker.held.values() if job.header.lane is lane)
                _check(held == worker.rows[lane], 'the rows held are not the sum of the jobs held')
                _check(held <= most, 'a worker holds more rows than its credit')
            turns = self._turns[lane]
            _check(len(set(turns)) == len(turns), 'a request has two turns in a lane')
            having = {number for number, request in self._requests.items() if request.waiting[lane]}
            _check(set(turns) == having, 'a request with waiting jobs has no turn, or one without has')
        for worker in self._workers.values():
            _check(worker.running_alone is None or len(worker.held) == 1, 'a quarantined job is not alone')
        _check(
            sum(worker.reserved for worker in self._workers.values()) <= 1, 'two workers are kept for the quarantine'
        )
        _check({r.key for r in self._requests.values()} == set(self._numbers), 'keys and requests differ')
        _check(set().union(*self._numbers_of.values()) == set(self._requests), 'identities and requests differ')
        _check(self._rows == sum(r.rows for r in self._requests.values()), 'the rows are miscounted')
        _check(self._bytes == sum(r.bytes for r in self._requests.values()), 'the bytes are miscounted')
        self._check_that_no_job_is_lost()

    def _check_that_no_job_is_lost(self) -> None:
        """Every part of every request is somewhere: waiting, quarantined, held or collected."""
        places = {(job.header.request.number, job.header.part) for job in self._quarantine}
        places |= {(number, part) for worker in self._workers.values() for number, part, _ in worker.held}
        for number, request in self._requests.items():
            if request.refusal is not None:
                continue
            waiting = [job.header.part for jobs in request.waiting.values() for job in jobs]
            _check(len(set(waiting)) == len(waiting), 'a job waits twice')
            known = set(waiting) | request.collected | {part for held, part in places if held == number}
            _check(known == set(range(len(request.jobs))), 'a job is nowhere')


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)
