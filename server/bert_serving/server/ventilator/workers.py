"""The workers: their current jobs and remaining credit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..protocol.ring import Collected, Job, Lane
from .invariants import check
from .turns import LANES

Hold = tuple[int, int, int]
"""The key of a job at a worker: number, part, attempt."""


@dataclass(slots=True)
class WorkerRecord:
    """The jobs of a worker, and its state."""

    held: dict[Hold, Job] = field(default_factory=dict)
    """The jobs sent and not yet collected."""
    jobs_of: dict[int, int] = field(default_factory=dict)
    """The number of its jobs of each request."""
    rows: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    """The rows it holds, by lane."""
    is_running_alone: bool = False
    """Whether it holds only a quarantined job."""
    is_dying: bool = False
    """Whether it gets no more jobs: its process has exited, or will when it has done those that it holds."""

    @property
    def total_rows(self) -> int:
        """The rows of all its jobs."""
        return sum(self.rows.values())

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request among its jobs."""
        return [part for held, part, _attempt in self.held if held == number]

    def forget_all(self) -> None:
        """Remove all jobs."""
        self.held.clear()
        self.jobs_of.clear()
        self.rows = dict.fromkeys(LANES, 0)
        self.is_running_alone = False


class WorkerPool:
    """All live workers, by number. At most one of them is reserved for quarantined jobs.

    `lane_rows` is the credit of a worker: the maximum rows that it can hold in each lane.
    """

    def __init__(self, lane_rows: Mapping[Lane, int]) -> None:
        self._lane_rows = lane_rows
        self._workers: dict[int, WorkerRecord] = {}
        self.reserved: int | None = None
        """The number of the worker that gets only quarantined jobs, if there is one."""

    def __iter__(self) -> Iterator[WorkerRecord]:
        return iter(self._workers.values())

    def __getitem__(self, name: int) -> WorkerRecord:
        return self._workers[name]

    def add(self, name: int) -> None:
        """Add a worker without jobs."""
        self._workers[name] = WorkerRecord()

    def mark_dying(self, name: int) -> None:
        """Give no more jobs to a worker, if it is known."""
        if name in self._workers:
            self._workers[name].is_dying = True

    def remove(self, name: int) -> WorkerRecord | None:
        """Remove a worker and return its record, or None if it is not known."""
        if self.reserved == name:
            self.reserved = None
        return self._workers.pop(name, None)

    def choose(self, lane: Lane, rows: int) -> int | None:
        """Choose the worker with the fewest rows, among those with credit for `rows` more in `lane`."""
        best, least = None, 0
        for name, worker in self._workers.items():
            if name == self.reserved or worker.is_dying or worker.rows[lane] + rows > self._lane_rows[lane]:
                continue
            load = sum(worker.rows.values())
            if best is None or load < least:
                best, least = name, load
        return best

    def reserve(self) -> int | None:
        """Return the reserved worker. Reserve one if there is none; return None if all are dying."""
        if self.reserved is None:
            living = [name for name, worker in self._workers.items() if not worker.is_dying]
            self.reserved = min(living, key=lambda name: self._workers[name].total_rows, default=None)
        return self.reserved

    def take(self, name: int, job: Job) -> None:
        """Add a job to a worker."""
        header, worker = job.header, self._workers[name]
        number = header.request.number
        worker.held[number, header.part, header.attempt] = job
        worker.jobs_of[number] = worker.jobs_of.get(number, 0) + 1
        worker.rows[header.lane] += header.rows

    def give_credit(self, collected: Collected) -> None:
        """Remove a job from a worker, if it holds it."""
        worker = self._workers.get(collected.worker)
        if worker is None:
            return
        job = worker.held.pop((collected.number, collected.part, collected.attempt), None)
        if job is not None:
            worker.rows[job.header.lane] -= job.header.rows
            worker.jobs_of[collected.number] -= 1
            if not worker.jobs_of[collected.number]:
                del worker.jobs_of[collected.number]
        if not worker.held:
            worker.is_running_alone = False

    def holders_of(self, number: int) -> Iterator[int]:
        """The workers with a job of that request."""
        for name, worker in self._workers.items():
            if number in worker.jobs_of:
                yield name

    def check(self) -> None:
        """Raise InvariantError if rows are miscounted, credit is overdrawn, or a quarantined job is not alone."""
        for worker in self:
            for lane, most in self._lane_rows.items():
                held = sum(job.header.rows for job in worker.held.values() if job.header.lane is lane)
                check(held == worker.rows[lane], 'the rows held are not the sum of the jobs held')
                check(held <= most, 'a worker holds more rows than its credit')
            check(
                worker.jobs_of == Counter(number for number, _, _ in worker.held),
                'the jobs of a request are miscounted',
            )
            check(not worker.is_running_alone or len(worker.held) == 1, 'a quarantined job is not alone')
        check(self.reserved is None or self.reserved in self._workers, 'a lost worker is reserved')
