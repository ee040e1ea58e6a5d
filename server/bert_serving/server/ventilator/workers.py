"""The workers: the jobs that each holds, and the credit that it has left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ..protocol.ring import Collected, Job, Lane
from .invariants import check
from .turns import LANES

Hold = tuple[int, int, int]
"""A job that a worker holds: number, part, attempt."""


@dataclass(slots=True)
class WorkerRecord:
    """The jobs that a worker holds, and whether it gets more."""

    held: dict[Hold, Job] = field(default_factory=dict)
    """Jobs sent and not collected."""
    jobs_of: dict[int, int] = field(default_factory=dict)
    """How many jobs of each request it holds."""
    rows: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(LANES, 0))
    """Rows held, by lane."""
    is_running_alone: bool = False
    """Whether it holds a quarantined job, and nothing else."""
    is_dying: bool = False
    """Whether its process is gone: it gets no more jobs."""

    @property
    def total_rows(self) -> int:
        """Rows held."""
        return sum(self.rows.values())

    def parts_of(self, number: int) -> list[int]:
        """The parts of a request that it holds."""
        return [part for held, part, _attempt in self.held if held == number]

    def forget_all(self) -> None:
        """Hold nothing."""
        self.held.clear()
        self.jobs_of.clear()
        self.rows = dict.fromkeys(LANES, 0)
        self.is_running_alone = False


class WorkerPool:
    """All workers that can take jobs, by number. At most one of them is reserved for quarantined jobs.

    `lane_rows` is each worker's credit: the rows of a lane that it can hold.
    """

    def __init__(self, lane_rows: Mapping[Lane, int]) -> None:
        self._lane_rows = lane_rows
        self._workers: dict[int, WorkerRecord] = {}
        self.reserved: int | None = None
        """The worker that is kept free for quarantined jobs: it gets no others."""

    def __iter__(self) -> Iterator[WorkerRecord]:
        return iter(self._workers.values())

    def __getitem__(self, name: int) -> WorkerRecord:
        return self._workers[name]

    def add(self, name: int) -> None:
        """A worker that holds nothing."""
        self._workers[name] = WorkerRecord()

    def mark_dying(self, name: int) -> None:
        """Choose a worker no more, if it is known."""
        if name in self._workers:
            self._workers[name].is_dying = True

    def remove(self, name: int) -> WorkerRecord | None:
        """Forget a worker; return what it held, None if it is not known."""
        if self.reserved == name:
            self.reserved = None
        return self._workers.pop(name, None)

    def choose(self, lane: Lane, rows: int) -> int | None:
        """The worker that holds the fewest rows among those with credit for `rows` more of `lane`."""
        best, least = None, 0
        for name, worker in self._workers.items():
            if name == self.reserved or worker.is_dying or worker.rows[lane] + rows > self._lane_rows[lane]:
                continue
            load = sum(worker.rows.values())
            if best is None or load < least:
                best, least = name, load
        return best

    def reserve(self) -> int | None:
        """The reserved worker or, if there is none yet, the one that now is; None if all are dying."""
        if self.reserved is None:
            living = [name for name, worker in self._workers.items() if not worker.is_dying]
            self.reserved = min(living, key=lambda name: self._workers[name].total_rows, default=None)
        return self.reserved

    def take(self, name: int, job: Job) -> None:
        """Let a worker hold a job."""
        header, worker = job.header, self._workers[name]
        number = header.request.number
        worker.held[number, header.part, header.attempt] = job
        worker.jobs_of[number] = worker.jobs_of.get(number, 0) + 1
        worker.rows[header.lane] += header.rows

    def give_credit(self, collected: Collected) -> None:
        """Let a worker hold a job no longer, if it does."""
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
        """The workers that hold a job of that request."""
        for name, worker in self._workers.items():
            if number in worker.jobs_of:
                yield name

    def check(self) -> None:
        """Raise InvariantError where rows are miscounted, credit is overdrawn, or a quarantined job has company."""
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
