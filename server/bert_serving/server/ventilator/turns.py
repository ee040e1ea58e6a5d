"""The queue of jobs for the workers. In each lane, clients get their shares, and the requests of each take turns.

So neither a request of a hundred jobs nor a client with a thousand requests delays another client's single row.

The order is start-time fair queueing. A job starts at the virtual time at which its client's last job ended, or now if
that is in the past. It ends later by its rows divided by the client's weight. The job with the earliest start is next.
Virtual time advances with the served rows, so that a stream of new clients starves nobody. While two clients both have
waiting jobs, the rows that each gets differ from its share by at most two of the largest jobs, regardless of other
clients.

With keys, there are two levels: owners get shares by their weights, and the clients of an owner get equal parts of its
share.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from ..protocol.ring import Job, Lane
from .invariants import check

LANES = tuple(Lane)
"""The lanes in the order of service. Iterating over the Enum itself is slow."""

WeightOf = Callable[[bytes], float]
"""A function from a client's identity, or its owner, to the size of its share."""

OwnerOf = Callable[[bytes], bytes]
"""A function from a client's identity to its owner."""


def equal_weight(_identity: bytes) -> float:
    """Return 1: every client gets the same share."""
    return 1.0


class _Client:
    """The waiting jobs of one client in one lane, by request, in the order of the requests' turns.

    `starts_at` is the virtual start of the next job, and `order` breaks ties. Every request here has a job.
    """

    __slots__ = ('identity', 'order', 'starts_at', 'turns', 'weight')

    def __init__(self, identity: bytes, starts_at: float, order: int, weight: float) -> None:
        self.identity = identity
        self.starts_at = starts_at
        self.order = order
        self.weight = weight
        self.turns: OrderedDict[int, deque[Job]] = OrderedDict()

    def __iter__(self) -> Iterator[Job]:
        return (job for jobs in self.turns.values() for job in jobs)

    @property
    def next_job(self) -> Job:
        return next(iter(self.turns.values()))[0]

    def jobs_of(self, number: int) -> Sequence[Job]:
        return self.turns.get(number, ())

    def add(self, job: Job) -> None:
        number = job.header.request.number
        jobs = self.turns.get(number)
        if jobs is None:
            self.turns[number] = deque((job,))
        else:
            jobs.append(job)

    def withdraw(self, job: Job) -> None:
        jobs = self.turns[job.header.request.number]
        jobs.remove(job)
        if not jobs:
            del self.turns[job.header.request.number]

    def drop_request(self, number: int) -> None:
        del self.turns[number]

    def check(self, lane: Lane) -> None:
        for number, jobs in self.turns.items():
            check(bool(jobs), 'a request without a waiting job has a turn', number)
            check(all(job.header.request.number == number for job in jobs), 'a job has the wrong turn', number)
            check(all(job.header.request.identity == self.identity for job in jobs), 'a job of another', number)
            check(all(job.header.lane is lane for job in jobs), 'a job waits in the wrong lane', number)

    def take(self) -> Job:
        """Remove and return the next job. Its request's next turn comes after all other requests."""
        number, jobs = next(iter(self.turns.items()))
        job = jobs.popleft()
        if jobs:
            self.turns.move_to_end(number)
        else:
            del self.turns[number]
        return job


class _Owner:
    """The waiting jobs of one owner in one lane: a queue of its clients, like the queue of the lane."""

    __slots__ = ('identity', 'order', 'queue', 'starts_at', 'turns', 'weight')

    def __init__(self, identity: bytes, starts_at: float, order: int, weight: float) -> None:
        self.identity = identity
        self.starts_at = starts_at
        self.order = order
        self.weight = weight
        self.queue = _LaneQueue(equal_weight, None)
        self.turns: dict[int, Any] = self.queue._client_of  # the owner's requests, with the interface of a client

    def __iter__(self) -> Iterator[Job]:
        return iter(self.queue)

    @property
    def next_job(self) -> Job:
        return self.queue.first_client().next_job

    def jobs_of(self, number: int) -> Sequence[Job]:
        return self.queue.jobs_of(number)

    def add(self, job: Job) -> None:
        self.queue.add(job)

    def take(self) -> Job:
        return self.queue.take(self.queue.first_client())

    def withdraw(self, job: Job) -> None:
        self.queue.withdraw(job.header.request.number, job.header.part)

    def drop_request(self, number: int) -> None:
        self.queue.drop_request(number)

    def check(self, lane: Lane) -> None:
        self.queue.check(lane)


class _LaneQueue:
    """The waiting jobs of one lane, by client or, with `owner_of`, by owner."""

    def __init__(self, weight_of: WeightOf, owner_of: OwnerOf | None) -> None:
        self._weight_of = weight_of
        self._owner_of = owner_of
        self.clients: dict[bytes, _Client | _Owner] = {}
        self._client_of: dict[int, _Client | _Owner] = {}
        # (start of the next job, order, client). Clients without jobs stay for a while.
        self._heap: list[tuple[float, int, _Client | _Owner]] = []
        self._now = 0.0
        self._total_weight = 0.0
        self._largest = 0
        # The virtual end of the last job of a client without jobs, if it is in the future.
        self._ended_at: dict[bytes, float] = {}
        self._most_ended = 100
        self._order = 0
        self.rows = 0

    def __iter__(self) -> Iterator[Job]:
        return (job for client in self.clients.values() for job in client)

    def jobs_of(self, number: int) -> Sequence[Job]:
        client = self._client_of.get(number)
        return () if client is None else client.jobs_of(number)

    @property
    def requests(self) -> Iterable[int]:
        return self._client_of

    def add(self, job: Job) -> None:
        request = job.header.request
        self.rows += job.header.rows
        self._largest = max(self._largest, job.header.rows)
        client = self._client_of.get(request.number)
        if client is None:
            who = request.identity if self._owner_of is None else self._owner_of(request.identity)
            client = self._client_of[request.number] = self.clients.get(who) or self._admit(who)
        client.add(job)

    def _admit(self, who: bytes) -> _Client | _Owner:
        """Give a client without jobs a place in the order."""
        kind = _Client if self._owner_of is None else _Owner
        starts_at = max(self._now, self._ended_at.pop(who, 0.0))
        client = self.clients[who] = kind(who, starts_at, self._next_order(), self._weight_of(who))
        self._push(client)
        self._total_weight += client.weight
        return client

    def next_client(self) -> _Client | _Owner | None:
        """The next client, or None if no job waits."""
        heap = self._heap
        while heap:
            starts_at, order, client = heap[0]
            if client.turns and (starts_at, order) == (client.starts_at, client.order):
                return client
            heappop(heap)
        return None

    def first_client(self) -> _Client | _Owner:
        """The next client. Raise StopIteration if no job waits."""
        client = self.next_client()
        if client is None:
            raise StopIteration
        return client

    def take(self, client: _Client | _Owner) -> Job:
        """Remove and return the job of the next client."""
        job = client.take()
        heappop(self._heap)
        number, started_at, share = job.header.request.number, client.starts_at, job.header.rows / self._total_weight
        client.starts_at += job.header.rows / client.weight
        client.order = self._next_order()
        self.rows -= job.header.rows
        if number not in client.turns:
            del self._client_of[number]
        if client.turns:
            self._push(client)
        waiting = self.next_client()
        if waiting is not None:
            # New clients start here: soon after the waiting clients, because later would be unfair, but not before all
            # of them, because a stream of new clients would starve them.
            self._now = max(started_at, min(self._now + share, waiting.starts_at + self._largest))
        if not client.turns:
            self._part_with(client)
        return job

    def withdraw(self, number: int, part: int) -> bool:
        """Remove the job of one part if it is waiting, and return whether it was."""
        job = next((job for job in self.jobs_of(number) if job.header.part == part), None)
        if job is None:
            return False
        client = self._client_of[number]
        client.withdraw(job)
        self.rows -= job.header.rows
        if number not in client.turns:
            del self._client_of[number]
        if not client.turns:
            self._part_with(client)
        return True

    def drop_request(self, number: int) -> None:
        """Remove all jobs of a request."""
        client = self._client_of.pop(number, None)
        if client is not None:
            self.rows -= sum(job.header.rows for job in client.jobs_of(number))
            client.drop_request(number)
            if not client.turns:
                self._part_with(client)

    def clear(self) -> None:
        for number in list(self._client_of):
            self.drop_request(number)
        self._heap.clear()

    def check(self, lane: Lane) -> None:
        """Raise InvariantError if a job waits in the wrong place, or a request has a turn but no job."""
        check(self.rows == sum(job.header.rows for job in self), 'the waiting rows are miscounted')
        check(set(self.requests) == {n for client in self.clients.values() for n in client.turns}, 'a turn is lost')
        for who, client in self.clients.items():
            check(bool(client.turns), 'a client without a request has a turn')
            check(client.identity == who, 'a client has the place of another')
            client.check(lane)

    def _part_with(self, client: _Client | _Owner) -> None:
        """Remove a client without jobs, and remember the end of its last job as long as that matters."""
        del self.clients[client.identity]
        self._total_weight -= client.weight
        if client.starts_at > self._now:
            self._ended_at[client.identity] = client.starts_at
        if not self.clients:  # nobody is waiting, so past shares do not matter
            self._ended_at.clear()
            self._total_weight = 0.0
        if len(self._ended_at) > self._most_ended:
            self._ended_at = {who: when for who, when in self._ended_at.items() if when > self._now}
            self._most_ended = 2 * len(self._ended_at) + 100
        if len(self._heap) > 2 * len(self.clients) + 100:
            self._heap = [(each.starts_at, each.order, each) for each in self.clients.values()]
            heapify(self._heap)

    def _push(self, client: _Client | _Owner) -> None:
        heappush(self._heap, (client.starts_at, client.order, client))

    def _next_order(self) -> int:
        self._order += 1
        return self._order


class TurnQueue:
    """The waiting jobs of all requests. Iterable."""

    def __init__(self, weight_of: WeightOf = equal_weight, owner_of: OwnerOf | None = None) -> None:
        """With `owner_of`, the owners share the lanes by their weights, instead of their clients."""
        self._lanes: dict[Lane, _LaneQueue] = {lane: _LaneQueue(weight_of, owner_of) for lane in LANES}

    def share_by(self, weight_of: WeightOf, owner_of: OwnerOf) -> None:
        """Give the shares to owners instead of their clients. Call it before there is a job."""
        for lane in LANES:
            self._lanes[lane] = _LaneQueue(weight_of, owner_of)

    def __iter__(self) -> Iterator[Job]:
        return (job for lane in self._lanes.values() for job in lane)

    @property
    def rows(self) -> int:
        """The number of rows of all waiting jobs."""
        return sum(lane.rows for lane in self._lanes.values())

    @property
    def requests(self) -> int:
        """The number of requests with a waiting job."""
        lanes = [set(lane.requests) for lane in self._lanes.values()]
        return len(set().union(*lanes))

    def add(self, job: Job) -> None:
        """Add a job after the others of its request. A request without jobs in the lane gets the last turn."""
        self._lanes[job.header.lane].add(job)

    def next_job(self, lane: Lane) -> Job | None:
        """The next job of the lane, which stays in the queue, or None."""
        client = self._lanes[lane].next_client()
        return None if client is None else client.next_job

    def take(self, lane: Lane) -> Job:
        """Remove the next job. Its request's next turn comes after all other requests of the client.

        Raises:
            StopIteration: no job of the lane waits.
        """
        return self._lanes[lane].take(self._lanes[lane].first_client())

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request with waiting jobs."""
        return [job.header.part for lane in self._lanes.values() for job in lane.jobs_of(number)]

    def withdraw(self, number: int, part: int) -> None:
        """Remove the job of one part if it is waiting."""
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
        """Raise InvariantError if a job waits twice or in the wrong place, or a request has a turn but no job."""
        for lane, queue in self._lanes.items():
            queue.check(lane)
            for number in queue.requests:
                parts = self.parts_of(number)
                check(len(set(parts)) == len(parts), 'a job waits twice', number)
