"""The jobs that wait for a worker. In each lane the requests take turns, job by job.

So a request of a hundred jobs does not hold up one of two.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from ..protocol.ring import Job, Lane
from .invariants import check

LANES = tuple(Lane)
"""The lanes in the order in which they are served. To iterate over the Enum itself is slow."""


class TurnQueue:
    """The waiting jobs of every request that has any. Iterates over them all."""

    def __init__(self) -> None:
        # By lane: the requests in the order of their turns, each with its jobs. No request is there without a job.
        self._lanes: dict[Lane, OrderedDict[int, deque[Job]]] = {lane: OrderedDict() for lane in LANES}

    def __iter__(self) -> Iterator[Job]:
        return (job for turns in self._lanes.values() for jobs in turns.values() for job in jobs)

    def add(self, job: Job) -> None:
        """Let a job wait behind those of its request. A request that had none in the lane gets the last turn."""
        turns, number = self._lanes[job.header.lane], job.header.request.number
        jobs = turns.get(number)
        if jobs is None:
            turns[number] = deque((job,))
        else:
            jobs.append(job)

    def next_job(self, lane: Lane) -> Job | None:
        """The job whose turn it is, which stays; None if no job of the lane waits."""
        for jobs in self._lanes[lane].values():
            return jobs[0]
        return None

    def take(self, lane: Lane) -> Job:
        """Remove the job whose turn it is. Its request's next turn comes after those of all others.

        Raises:
            StopIteration: no job of the lane waits.
        """
        turns = self._lanes[lane]
        number, jobs = next(iter(turns.items()))
        job = jobs.popleft()
        if jobs:
            turns.move_to_end(number)
        else:
            del turns[number]
        return job

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request whose jobs wait."""
        return [job.header.part for turns in self._lanes.values() for job in turns.get(number, ())]

    def withdraw(self, number: int, part: int) -> None:
        """Remove the job of one part, if it waits."""
        for turns in self._lanes.values():
            for job in turns.get(number, ()):
                if job.header.part == part:
                    turns[number].remove(job)
                    if not turns[number]:
                        del turns[number]
                    return

    def drop_request(self, number: int) -> None:
        """Remove all jobs of a request."""
        for turns in self._lanes.values():
            turns.pop(number, None)

    def clear(self) -> None:
        """Remove all jobs."""
        for turns in self._lanes.values():
            turns.clear()

    def check(self) -> None:
        """Raise InvariantError where a job waits twice or in the wrong place, or a request has a turn and no job."""
        for lane, turns in self._lanes.items():
            for number, jobs in turns.items():
                check(bool(jobs), 'a request without a waiting job has a turn', number)
                check(all(job.header.request.number == number for job in jobs), 'a job has the wrong turn', number)
                check(all(job.header.lane is lane for job in jobs), 'a job waits in the wrong lane', number)
                parts = self.parts_of(number)
                check(len(set(parts)) == len(parts), 'a job waits twice', number)
