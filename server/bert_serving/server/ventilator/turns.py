"""The jobs that wait for a worker. In each lane the clients get their shares, and the requests of each take turns.

So neither a request of a hundred jobs nor a client of a thousand requests holds up another's single row.

Clients are served by virtual time (start-time fair queueing): a job starts at the virtual time at which its client's
last one ended, or now if that is longer ago, and ends its rows divided by the weight of the client later. The job that
starts first is next. Time goes on by the rows that are served, so that a stream of new clients starves nobody. While
two clients both have jobs waiting, what they get differs by no more than two of the largest jobs each from their
shares, however many others come and go.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush

from ..protocol.ring import Job, Lane
from .invariants import check

LANES = tuple(Lane)
"""The lanes in the order in which they are served. To iterate over the Enum itself is slow."""

WeightOf = Callable[[bytes], float]
"""How large a client's share is, by its identity."""


def equal_weight(_identity: bytes) -> float:
    """Every client gets the same share."""
    return 1.0


class _Client:
    """The waiting jobs of one client in one lane: its requests in the order of their turns, each with its jobs.

    `starts_at` is the virtual time of its next job; `order` decides between equal times. Every request has a job.
    """

    __slots__ = ('identity', 'order', 'starts_at', 'turns')

    def __init__(self, identity: bytes, starts_at: float, order: int) -> None:
        self.identity = identity
        self.starts_at = starts_at
        self.order = order
        self.turns: OrderedDict[int, deque[Job]] = OrderedDict()

    @property
    def next_job(self) -> Job:
        return next(iter(self.turns.values()))[0]

    def take(self) -> Job:
        """Remove the job whose turn it is. Its request's next turn comes after those of all others."""
        number, jobs = next(iter(self.turns.items()))
        job = jobs.popleft()
        if jobs:
            self.turns.move_to_end(number)
        else:
            del self.turns[number]
        return job


class _LaneQueue:
    """The waiting jobs of one lane."""

    def __init__(self, weight_of: WeightOf) -> None:
        self._weight_of = weight_of
        self.clients: dict[bytes, _Client] = {}
        self._client_of: dict[int, _Client] = {}
        # (start of the next job, order, client); clients that have no jobs any more are left for a while.
        self._heap: list[tuple[float, int, _Client]] = []
        self._now = 0.0
        self._total_weight = 0.0
        self._largest = 0
        # When the last job of a client without jobs ended, if that is later than now.
        self._ended_at: dict[bytes, float] = {}
        self._most_ended = 100
        self._order = 0
        self.rows = 0

    def __iter__(self) -> Iterator[Job]:
        return (job for client in self.clients.values() for jobs in client.turns.values() for job in jobs)

    def jobs_of(self, number: int) -> deque[Job] | None:
        client = self._client_of.get(number)
        return None if client is None else client.turns[number]

    @property
    def requests(self) -> Iterator[int]:
        return iter(self._client_of)

    def add(self, job: Job) -> None:
        request = job.header.request
        self.rows += job.header.rows
        self._largest = max(self._largest, job.header.rows)
        jobs = self.jobs_of(request.number)
        if jobs is not None:
            jobs.append(job)
            return
        client = self.clients.get(request.identity)
        if client is None:
            starts_at = max(self._now, self._ended_at.pop(request.identity, 0.0))
            client = self.clients[request.identity] = _Client(request.identity, starts_at, self._next_order())
            self._push(client)
            self._total_weight += self._weight_of(request.identity)
        client.turns[request.number] = deque((job,))
        self._client_of[request.number] = client

    def next_client(self) -> _Client | None:
        """The client whose turn it is; None if no job waits."""
        heap = self._heap
        while heap:
            starts_at, order, client = heap[0]
            if client.turns and (starts_at, order) == (client.starts_at, client.order):
                return client
            heappop(heap)
        return None

    def take(self, client: _Client) -> Job:
        """Remove and return the job of the client whose turn it is."""
        job = client.take()
        heappop(self._heap)
        started_at, share = client.starts_at, job.header.rows / self._total_weight
        client.starts_at += job.header.rows / self._weight_of(client.identity)
        client.order = self._next_order()
        self.rows -= job.header.rows
        if job.header.request.number not in client.turns:
            del self._client_of[job.header.request.number]
        if client.turns:
            self._push(client)
        waiting = self.next_client()
        if waiting is not None:
            # New clients begin here: not long after those that wait, or they would lose, and not for ever before them,
            # or they would starve them if ever more came.
            self._now = max(started_at, min(self._now + share, waiting.starts_at + self._largest))
        if not client.turns:
            self._part_with(client)
        return job

    def withdraw(self, number: int, part: int) -> bool:
        """Remove the job of one part, if it waits; return whether it did."""
        jobs = self.jobs_of(number)
        for job in jobs or ():
            if job.header.part == part:
                self.rows -= job.header.rows
                self._client_of[number].turns[number].remove(job)
                if not self._client_of[number].turns[number]:
                    self.drop_request(number)
                return True
        return False

    def drop_request(self, number: int) -> None:
        """Remove all jobs of a request."""
        client = self._client_of.pop(number, None)
        if client is not None:
            self.rows -= sum(job.header.rows for job in client.turns.pop(number))
            if not client.turns:
                self._part_with(client)

    def clear(self) -> None:
        for client in list(self.clients.values()):
            client.turns.clear()
            self._part_with(client)
        self._client_of.clear()
        self._heap.clear()
        self.rows = 0

    def _part_with(self, client: _Client) -> None:
        """Let go of a client without jobs, and remember that it has had its share, as long as that matters."""
        del self.clients[client.identity]
        self._total_weight -= self._weight_of(client.identity)
        if client.starts_at > self._now:
            self._ended_at[client.identity] = client.starts_at
        if not self.clients:  # nobody waited, so nobody has had more than another
            self._ended_at.clear()
        if len(self._ended_at) > self._most_ended:
            self._ended_at = {who: when for who, when in self._ended_at.items() if when > self._now}
            self._most_ended = 2 * len(self._ended_at) + 100
        if len(self._heap) > 2 * len(self.clients) + 100:
            self._heap = [(each.starts_at, each.order, each) for each in self.clients.values()]
            heapify(self._heap)

    def _push(self, client: _Client) -> None:
        heappush(self._heap, (client.starts_at, client.order, client))

    def _next_order(self) -> int:
        self._order += 1
        return self._order


class TurnQueue:
    """The waiting jobs of every request that has any. Iterates over them all."""

    def __init__(self, weight_of: WeightOf = equal_weight) -> None:
        self._lanes: dict[Lane, _LaneQueue] = {lane: _LaneQueue(weight_of) for lane in LANES}

    def __iter__(self) -> Iterator[Job]:
        return (job for lane in self._lanes.values() for job in lane)

    @property
    def rows(self) -> int:
        """Rows of all waiting jobs."""
        return sum(lane.rows for lane in self._lanes.values())

    @property
    def requests(self) -> int:
        """Requests that have a waiting job."""
        lanes = [set(lane.requests) for lane in self._lanes.values()]
        return len(set().union(*lanes))

    def add(self, job: Job) -> None:
        """Let a job wait behind those of its request. A request that had none in the lane gets the last turn."""
        self._lanes[job.header.lane].add(job)

    def next_job(self, lane: Lane) -> Job | None:
        """The job whose turn it is, which stays; None if no job of the lane waits."""
        client = self._lanes[lane].next_client()
        return None if client is None else client.next_job

    def take(self, lane: Lane) -> Job:
        """Remove the job whose turn it is. Its request's next turn comes after those of all others of its client.

        Raises:
            StopIteration: no job of the lane waits.
        """
        client = self._lanes[lane].next_client()
        if client is None:
            raise StopIteration
        return self._lanes[lane].take(client)

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request whose jobs wait."""
        return [job.header.part for lane in self._lanes.values() for job in lane.jobs_of(number) or ()]

    def withdraw(self, number: int, part: int) -> None:
        """Remove the job of one part, if it waits."""
        for lane in self._lanes.values():
            if lane.withdraw(number, part):
                return

    def drop_request(self, number: int) -> None:
        """Remove all jobs of a request."""
        for lane in self._lanes.values():
            lane.drop_request(number)

    def clear(self) -> None:
        """Remove all jobs."""
        for lane in self._lanes.values():
            lane.clear()

    def check(self) -> None:
        """Raise InvariantError where a job waits twice or in the wrong place, or a request has a turn and no job."""
        for lane, queue in self._lanes.items():
            check(queue.rows == sum(job.header.rows for job in queue), 'the waiting rows are miscounted')
            check(
                set(queue.requests) == {n for client in queue.clients.values() for n in client.turns}, 'a turn is lost'
            )
            for identity, client in queue.clients.items():
                check(bool(client.turns), 'a client without a request has a turn')
                for number, jobs in client.turns.items():
                    check(bool(jobs), 'a request without a waiting job has a turn', number)
                    check(all(job.header.request.number == number for job in jobs), 'a job has the wrong turn', number)
                    check(all(job.header.request.identity == identity for job in jobs), 'a job of another', number)
                    check(all(job.header.lane is lane for job in jobs), 'a job waits in the wrong lane', number)
                    parts = self.parts_of(number)
                    check(len(set(parts)) == len(parts), 'a job waits twice', number)
