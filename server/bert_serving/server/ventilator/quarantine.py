"""Quarantined jobs, which a dead worker held: they run one at a time, on a reserved worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..protocol.ring import Job


class Quarantine:
    """The jobs that wait to run alone, in order. Iterable."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    @property
    def rows(self) -> int:
        """The rows of all jobs."""
        return sum(job.header.rows for job in self._jobs)

    @property
    def requests(self) -> set[int]:
        """The numbers of the requests that have jobs here."""
        return {job.header.request.number for job in self._jobs}

    @property
    def places(self) -> set[tuple[int, int]]:
        """The number and the part of each job."""
        return {(job.header.request.number, job.header.part) for job in self._jobs}

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request that are here."""
        return [job.header.part for job in self._jobs if job.header.request.number == number]

    def append(self, job: Job) -> None:
        """Add a job at the end."""
        self._jobs.append(job)

    def appendleft(self, job: Job) -> None:
        """Add a job at the beginning."""
        self._jobs.appendleft(job)

    def popleft(self) -> Job:
        """Remove and return the next job."""
        return self._jobs.popleft()

    def drop_request(self, number: int) -> None:
        """Remove the jobs of a request."""
        if self._jobs:
            self._jobs = deque(job for job in self._jobs if job.header.request.number != number)

    def withdraw(self, number: int, part: int) -> None:
        """Remove a job whose part has arrived after all."""
        for job in self._jobs:
            if (job.header.request.number, job.header.part) == (number, part):
                self._jobs.remove(job)
                break
