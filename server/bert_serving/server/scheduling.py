"""What the ventilator decides: which job goes to which worker, and when a request is over.

Pure: typed messages and the time go in, a list of actions comes out. No socket, process, clock or random source; the
loop in `ventilator.py` does what the actions say: `for action in scheduler.handle(event, now): perform(action)`.

Jobs wait in two lanes, urgent (at most `priority_batch_size` rows) and bulk. Within a lane the requests take turns,
job by job, so that a request of a hundred jobs does not hold up one of two. Each worker has credit for each lane,
counted in rows; together they are the `prefetch_size` batches it may hold. A lane of its own credit is what lets a
small request reach a worker at once, however much bulk is queued; the worker's batcher then orders the two
(`batching.py`), and bounds how often a bulk job is overtaken.

The input of a request is kept until the sink has published its answer (rule 1 of the ring): until then a worker's
death can be mended by handing its jobs to another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from .errors import ShuttingDown
from .features import parse_texts
from .wire import Collected, EncodeRequest, Job, JobHeader, Published, Refuse, Register, decode_texts, encode_texts

# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request has come; `cuts` are its jobs in order, as `cut_request` made them."""

    request: EncodeRequest
    cuts: Sequence[Cut]


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows of one job: their number and their JSON."""

    rows: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker can take jobs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker has died, with all it held."""

    worker: int


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """From now on new requests are refused."""


def cut_request(request: EncodeRequest, max_batch_size: int) -> list[Cut]:
    """The jobs of a request, in order: runs of `max_batch_size` rows, as 1.10 cut them, the last of what is left.

    A request that fits into one is passed on undecoded; the worker checks its rows against the claim.

    Raises:
        RequestError: the message is not what it claims to be.
    """
    if request.rows <= max_batch_size:
        return [Cut(request.rows, request.payload)]
    texts = parse_texts(decode_texts(request.payload), request.rows)
    runs = (texts[start : start + max_batch_size] for start in range(0, len(texts), max_batch_size))
    return [Cut(len(run), encode_texts(run)) for run in runs]


Event = Arrived | WorkerReady | WorkerLost | DrainStarted | Collected | Published

# --- actions ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendJob:
    """Hand `job` to `worker`."""

    worker: int
    job: Job


@dataclass(frozen=True, slots=True)
class TellSink:
    """Send `message` to the sink."""

    message: Register | Refuse


Action = SendJob | TellSink


# --- state -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """The options that the scheduler goes by; rows, except `prefetch_size` in batches."""

    max_batch_size: int
    priority_batch_size: int
    prefetch_size: int

    @property
    def lane_rows(self) -> dict[bool, int]:
        """Rows of each lane, urgent (True) and bulk (False), that one worker may hold.

        They share `prefetch_size` batches; each has at least one, or its largest job could never be sent.
        """
        urgent = max(1, self.prefetch_size // 2)
        bulk = max(1, self.prefetch_size - urgent)
        return {True: urgent * self.max_batch_size, False: bulk * self.max_batch_size}


@dataclass(slots=True)
class _Request:
    key: tuple[bytes, bytes, bytes]
    waiting: dict[bool, deque[Job]]
    """Jobs not with a worker, by lane."""
    jobs: list[Job]
    """All of them, by part: what a new sink would need computed again."""
    collected: set[int] = field(default_factory=set)
    """Parts that the sink has."""


@dataclass(slots=True)
class _Worker:
    held: dict[tuple[int, int, int], Job] = field(default_factory=dict)
    """Jobs sent and not collected, by (number, part, attempt)."""
    rows: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    """Rows held, by lane."""


class Scheduler:
    """The queue of jobs and the credit of every worker. Used by the ventilator's thread alone."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lane_rows = limits.lane_rows
        self._requests: dict[int, _Request] = {}
        self._numbers: dict[tuple[bytes, bytes, bytes], int] = {}
        self._turns: dict[bool, deque[int]] = {True: deque(), False: deque()}
        self._workers: dict[int, _Worker] = {}
        self._next_number = 1
        self._draining = False
        self.rows_answered = 0
        """Rows of all requests answered with their vectors so far."""

    @property
    def unanswered(self) -> int:
        """Requests accepted and not yet published."""
        return len(self._requests)

    @property
    def workers(self) -> int:
        """Workers that can take jobs."""
        return len(self._workers)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event in; return what is to be done, in order."""
        actions: list[Action] = []
        match event:
            case Arrived():
                actions += self._accept(event)
            case WorkerReady(worker):
                self._workers[worker] = _Worker()
            case WorkerLost(worker):
                self._take_back(worker)
            case DrainStarted():
                self._draining = True
            case Collected():
                self._give_credit(event)
            case _:
                self._forget(event)
        actions += self._dispatch()
        return actions

    def _accept(self, arrived: Arrived) -> Iterator[Action]:
        request = arrived.request
        key = (request.identity, request.request_id, blake2b(request.payload, digest_size=16).digest())
        if key in self._numbers:  # a client that lost its connection asks again for what is already on its way
            return
        if self._draining:
            refusal = ShuttingDown('the server is shutting down and takes no new requests: send it again later')
            yield TellSink(Refuse(request.identity, request.request_id, refusal))
            return
        number, self._next_number = self._next_number, self._next_number + 1
        self._numbers[key] = number
        jobs = self._make_jobs(number, request, arrived.cuts)
        waiting = {lane: deque(job for job in jobs if job.header.urgent is lane) for lane in (True, False)}
        self._requests[number] = _Request(key, waiting, jobs)
        for lane in (True, False):
            if waiting[lane]:
                self._turns[lane].append(number)
        yield TellSink(Register(number, len(jobs), request.rows, request.identity, request.request_id))

    def _make_jobs(self, number: int, request: EncodeRequest, cuts: Sequence[Cut]) -> list[Job]:
        jobs = []
        first_row = 0
        for part, cut in enumerate(cuts):
            header = JobHeader(
                number=number, part=part, attempt=0, parts=len(cuts), first_row=first_row, rows=cut.rows,
                total_rows=request.rows, urgent=cut.rows <= self.limits.priority_batch_size,
                identity=request.identity, request_id=request.request_id,
            )  # fmt: skip
            jobs.append(Job(header, cut.payload))
            first_row += cut.rows
        return jobs

    def _dispatch(self) -> Iterator[Action]:
        for lane in (True, False):
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
                yield self._hand_over(worker, job)

    def _choose_worker(self, lane: bool, rows: int) -> int | None:
        """The worker that holds the fewest rows among those with credit for `rows` more of `lane`."""
        best = None
        for name, worker in self._workers.items():
            if worker.rows[lane] + rows > self._lane_rows[lane]:
                continue
            load = sum(worker.rows.values())
            if best is None or load < best[0]:
                best = (load, name)
        return None if best is None else best[1]

    def _hand_over(self, name: int, job: Job) -> SendJob:
        worker, header = self._workers[name], job.header
        worker.held[header.number, header.part, header.attempt] = job
        worker.rows[header.urgent] += header.rows
        return SendJob(name, job)

    def _give_credit(self, collected: Collected) -> None:
        request = self._requests.get(collected.number)
        if request is not None:
            request.collected.add(collected.part)
        worker = self._workers.get(collected.worker)
        if worker is None:
            return
        job = worker.held.pop((collected.number, collected.part, collected.attempt), None)
        if job is not None:
            worker.rows[job.header.urgent] -= job.header.rows

    def _forget(self, published: Published) -> None:
        number = published.number
        request = self._requests.pop(number, None)
        if request is None:
            return
        if published.answered:
            self.rows_answered += request.jobs[0].header.total_rows
        del self._numbers[request.key]
        for lane, turns in self._turns.items():
            if request.waiting[lane]:
                turns.remove(number)

    def _take_back(self, name: int) -> None:
        """Put what a dead worker held back at the head of its request, to be handed to another."""
        worker = self._workers.pop(name, None)
        if worker is None:
            return
        for job in reversed(worker.held.values()):
            header = job.header
            request = self._requests.get(header.number)
            if request is None or header.part in request.collected:
                continue
            again = Job(replace(header, attempt=header.attempt + 1), job.payload)
            request.jobs[header.part] = again
            if not request.waiting[header.urgent]:
                self._turns[header.urgent].appendleft(header.number)
            request.waiting[header.urgent].appendleft(again)

    def check_invariants(self) -> None:
        """Raise AssertionError where the state contradicts itself; called by the tests after every event."""
        for lane, most in self._lane_rows.items():
            for worker in self._workers.values():
                held = sum(job.header.rows for job in worker.held.values() if job.header.urgent is lane)
                _must(held == worker.rows[lane], 'the rows held are not the sum of the jobs held')
                _must(held <= most, 'a worker holds more rows than its credit')
            turns = self._turns[lane]
            _must(len(set(turns)) == len(turns), 'a request has two turns in a lane')
            having = {number for number, request in self._requests.items() if request.waiting[lane]}
            _must(set(turns) == having, 'a request with waiting jobs has no turn, or one without has')
        _must({r.key for r in self._requests.values()} == set(self._numbers), 'keys and requests differ')


def _must(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)
