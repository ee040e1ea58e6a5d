"""The jobs that wait for a worker. In each lane the clients get their shares, and the requests of each take turns.

So neither a request of a hundred jobs nor a client of a thousand requests holds up another's single row.

Clients are served by virtual time (start-time fair queueing): a job starts at the virtual time at which its client's
last one ended, or now if that is longer ago, and ends its rows divided by the weight of the client later. The job that
starts first is next. Time goes on by the rows that are served, so that a stream of new clients starves nobody. While
two clients both have jobs waiting, what they get differs by no more than two of the largest jobs each from their
shares, however many others come and go.

With keys, the same is done twice: the owners get shares by their weights, and the clients of an owner equal shares of
its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from ..protocol.ring import Job, Lane
from .invariants import check

LANES = tuple(Lane)
"""The lanes in the order in which they are served. To iterate over the Enum itself is slow."""

WeightOf = Callable[[bytes], float]
"""How large a share is, by the identity of the client, or by its owner."""

OwnerOf = Callable[[bytes], bytes]
"""Whose client it is, by its identity."""


def equal_weight(_identity: bytes) -> float:
    """Every client gets the same share."""
    return 1.0


class _Client:
    """The waiting jobs of one client in one lane: its requests in the order of their turns, each with its jobs.

    `starts_at` is the virtual time of its next job; `order` decides between equal times. Every request has a job.
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
        """Remove the job whose turn it is. Its request's next turn comes after those of all others."""
        number, jobs = next(iter(self.turns.items()))
        job = jobs.popleft()
        if jobs:
            self.turns.move_to_end(number)
        else:
            del self.turns[number]
        return job


class _Owner:
    """The waiting jobs of one owner in one lane: its clients, in a queue as that of the lane."""

    __slots__ = ('identity', 'order', 'queue', 'starts_at', 'turns', 'weight')

    def __init__(self, identity: bytes, starts_at: float, order: int, weight: float) -> None:
        self.identity = identity
        self.starts_at = starts_at
        self.order = order
        self.weight = weight
        self.queue = _LaneQueue(equal_weight, None)
        self.turns: dict[int, Any] = self.queue._client_of  # its requests, as those of a client

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
    """The waiting jobs of one lane, of its clients or, with `owner_of`, of their owners."""

    def __init__(self, weight_of: WeightOf, owner_of: OwnerOf | None) -> None:
        self._weight_of = weight_of
        self._owner_of = owner_of
        self.clients: dict[bytes, _Client | _Owner] = {}
        self._client_of: dict[int, _Client | _Owner] = {}
        # (start of the next job, order, client); clients that have no jobs any more are left for a while.
        self._heap: list[tuple[float, int, _Client | _Owner]] = []
        self._now = 0.0
        self._total_weight = 0.0
        self._largest = 0
        # When the last job of a client without jobs ended, if that is later than now.
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
        """Give one who has no jobs a place in the order."""
        kind = _Client if self._owner_of is None else _Owner
        starts_at = max(self._now, self._ended_at.pop(who, 0.0))
        client = self.clients[who] = kind(who, starts_at, self._next_order(), self._weight_of(who))
        self._push(client)
        self._total_weight += client.weight
        return client

    def next_client(self) -> _Client | _Owner | None:
        """The client whose turn it is; None if no job waits."""
        heap = self._heap
        while heap:
            starts_at, order, client = heap[0]
            if client.turns and (starts_at, order) == (client.starts_at, client.order):
                return client
            heappop(heap)
        return None

    def first_client(self) -> _Client | _Owner:
        """As `next_client`; raise StopIteration if no job waits."""
        client = self.next_client()
        if client is None:
            raise StopIteration
        return client

    def take(self, client: _Client | _Owner) -> Job:
        """Remove and return the job of the client whose turn it is."""
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
            # New clients begin here: not long after those that wait, or they would lose, and not for ever before them,
            # or they would starve them if ever more came.
            self._now = max(started_at, min(self._now + share, waiting.starts_at + self._largest))
        if not client.turns:
            self._part_with(client)
        return job

    def withdraw(self, number: int, part: int) -> bool:
        """Remove the job of one part, if it waits; return whether it did."""
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
        """Raise InvariantError where a job waits in the wrong place, or a request has a turn and no job."""
        check(self.rows == sum(job.header.rows for job in self), 'the waiting rows are miscounted')
        check(set(self.requests) == {n for client in self.clients.values() for n in client.turns}, 'a turn is lost')
        for who, client in self.clients.items():
            check(bool(client.turns), 'a client without a request has a turn')
            check(client.identity == who, 'a client has the place of another')
            client.check(lane)

    def _part_with(self, client: _Client | _Owner) -> None:
        """Let go of a client without jobs, and remember that it has had its share, as long as that matters."""
        del self.clients[client.identity]
        self._total_weight -= client.weight
        if client.starts_at > self._now:
            self._ended_at[client.identity] = client.starts_at
        if not self.clients:  # nobody waited, so nobody has had more than another
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
    """The waiting jobs of every request that has any. Iterates over them all."""

    def __init__(self, weight_of: WeightOf = equal_weight, owner_of: OwnerOf | None = None) -> None:
        """With `owner_of`, the weights are those of the owners, who share the lanes in place of their clients."""
        self._lanes: dict[Lane, _LaneQueue] = {lane: _LaneQueue(weight_of, owner_of) for lane in LANES}

    def share_by(self, weight_of: WeightOf, owner_of: OwnerOf) -> None:
        """Let owners have the shares from now on, in place of their clients; call it before there is a job."""
        for lane in LANES:
            self._lanes[lane] = _LaneQueue(weight_of, owner_of)

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
        return self._lanes[lane].take(self._lanes[lane].first_client())

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request whose jobs wait."""
        return [job.header.part for lane in self._lanes.values() for job in lane.jobs_of(number)]

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
            queue.check(lane)
            for number in queue.requests:
                parts = self.parts_of(number)
                check(len(set(parts)) == len(parts), 'a job waits twice', number)
