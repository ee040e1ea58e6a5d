"""What a worker decides: which rows go into the next graph run, and when a job is computed.

Pure: tokenised jobs go in, runs come out; the output of a run goes in, finished jobs come out. No socket, thread or
clock. The intake thread of `worker.py` adds jobs, its compute thread takes runs; the lock is theirs.

Urgent jobs go before bulk jobs, each lane in order of arrival; after `MAX_OVERTAKES` runs in which a waiting bulk job
was passed over, a bulk job is taken. There is no waiting timer: a run is made of what is there when the device is free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .features import Row
from .wire import JobHeader

MAX_OVERTAKES = 8
"""Runs of urgent jobs after which a bulk job that waits is taken."""


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job whose texts are tokenised: a row for each text. No row is longer than `max_len`, 1.10's L of the job."""

    header: JobHeader
    rows: Sequence[Row]
    max_len: int

    @property
    def runs_alone(self) -> bool:
        """Whether a row of it would answer something else in a run that is wider than its own job."""
        return any(row.depends_on_padding for row in self.rows)


@dataclass(frozen=True, slots=True)
class Run:
    """Jobs whose rows are computed together, one below the other, padded to `width` positions."""

    jobs: Sequence[ReadyJob]
    width: int

    @property
    def rows(self) -> list[Row]:
        """All rows, in the order of the jobs."""
        return [row for job in self.jobs for row in job.rows]

    def divide(self, output: NDArray[np.generic]) -> Iterator[tuple[ReadyJob, NDArray[np.generic]]]:
        """Each job with its rows of `output`, which is [B, D], or [B, T, D] of a token-level strategy.

        The positions beyond a job's `max_len`, computed only for the sake of its neighbours, are cut off. The arrays
        are views.
        """
        start = 0
        for job in self.jobs:
            stop = start + len(job.rows)
            yield job, (output[start:stop] if output.ndim == 2 else output[start:stop, : job.max_len])
            start = stop


class Batcher:
    """The jobs of one worker that wait for the device."""

    def __init__(self, max_rows: int) -> None:
        """`max_rows` is the most rows of a run; a single job may have no more."""
        self.max_rows = max_rows
        self._lanes: dict[bool, deque[ReadyJob]] = {True: deque(), False: deque()}
        self._overtakes = 0

    def __len__(self) -> int:
        """Jobs waiting."""
        return sum(map(len, self._lanes.values()))

    def add(self, job: ReadyJob) -> None:
        """Let `job` wait for its run."""
        self._lanes[job.header.urgent].append(job)

    def next_run(self) -> Run | None:
        """Take the jobs of the next run; None if nothing waits.

        The first job decides the lane; more of that lane join in order while all their rows fit into `max_rows`.
        """
        lane = self._choose_lane()
        jobs = self._lanes[lane]
        if not jobs:
            return None
        taken = [jobs.popleft()]
        rows = len(taken[0].rows)
        while jobs and not taken[0].runs_alone and self._may_join(jobs[0], rows):
            taken.append(jobs.popleft())
            rows += len(taken[-1].rows)
        return Run(taken, max(row.compute_length for job in taken for row in job.rows))

    def _may_join(self, job: ReadyJob, rows: int) -> bool:
        return rows + len(job.rows) <= self.max_rows and not job.runs_alone

    def _choose_lane(self) -> bool:
        urgent, bulk = self._lanes[True], self._lanes[False]
        if not bulk:
            return True
        if urgent and self._overtakes < MAX_OVERTAKES:
            self._overtakes += 1
            return True
        self._overtakes = 0
        return False
