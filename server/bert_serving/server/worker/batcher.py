"""What a worker decides: which rows go into the next graph run, and when a job is computed.

Pure: tokenised jobs go in, runs come out; the output of a run goes in, finished jobs come out. No socket, thread or
clock. The intake thread of `worker.py` adds jobs, its compute thread takes runs; the lock is theirs.

A run is made of rows, not of jobs: rows of several requests join, and one job's rows may be spread over several runs.
Padding is computed like text, so rows of like length belong together: the oldest rows of a lane, up to a window, are
sorted by length and cut into runs by a budget of tokens, and of these the one with the oldest row is next. So every run
brings the oldest row on, whatever is added meanwhile: nobody starves. Rows that are the same are computed once.

Urgent rows go before bulk rows; after `MAX_OVERTAKES` urgent runs that passed waiting bulk over, a bulk run is taken.
There is no waiting timer: a run is made of what is there when the device is free. A job on which a worker has died gets
runs of half the size (`JobHeader.reduced_batch`): what was too much for the memory at once may do in two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..protocol.ring import JobHeader, Lane
from .rows import Row

MAX_OVERTAKES = 8
"""Runs of urgent rows after which a bulk row that waits is taken."""

WINDOW_RUNS = 4
"""The window is as many rows as so many of the largest runs have: enough of a length to fill one, while a job's rows
stay near each other in time."""

Key = tuple[tuple[int, ...], int, bool, int]


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job whose texts are tokenised: a row for each text. No row is longer than `max_len`, 1.10's L of the job."""

    header: JobHeader
    rows: Sequence[Row]
    max_len: int


@dataclass(slots=True, eq=False)
class _Progress:
    """A job of which rows are still to be computed, and what is there of its answer."""

    job: ReadyJob
    missing: int
    output: NDArray[np.generic] | None = None
    failed: bool = False

    def put(self, index: int, answer: NDArray[np.generic]) -> NDArray[np.generic] | None:
        """Take in the answer to row `index`, [D], or [T, D] of a run of any width T; the whole if that was the last."""
        if self.output is None:
            shape = answer.shape
            if answer.ndim == 2:
                shape = (max(len(row) for row in self.job.rows), *answer.shape[1:])
            self.output = np.zeros((len(self.job.rows), *shape), answer.dtype)
        if answer.ndim == 2:
            length = len(self.job.rows[index])
            self.output[index, :length] = answer[:length]
        else:
            self.output[index] = answer
        self.missing -= 1
        return None if self.missing or self.failed else self.output


@dataclass(slots=True, eq=False)
class _Entry:
    """A row that waits, and every place of a job where its answer belongs."""

    key: Key
    row: Row
    places: list[tuple[_Progress, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Run:
    """Rows that are computed together, padded to `width` positions."""

    entries: Sequence[_Entry]
    width: int

    @property
    def rows(self) -> list[Row]:
        """The rows, in the order in which the answers are expected."""
        return [entry.row for entry in self.entries]

    @property
    def tokens(self) -> int:
        """Positions that hold a token; the others of the run's B*T are padding."""
        return sum(len(entry.row) for entry in self.entries)

    def halves(self) -> tuple[Run, Run]:
        """The same rows as two runs; there must be two rows at least."""
        middle = len(self.entries) // 2
        return Run(self.entries[:middle], self.width), Run(self.entries[middle:], self.width)

    def half_with(self, entry: _Entry) -> Run:
        """A run of half as many of the rows, of which `entry`'s is one; of a single row, the same."""
        others = [other for other in self.entries if other is not entry]
        return Run([entry, *others[: (len(self.entries) + 1) // 2 - 1]], self.width)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a run may have: rows, and rows times width. A single row is always allowed."""

    rows: int
    tokens: int


class Batcher:
    """The rows of one worker that wait for the device."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lanes: dict[Lane, dict[Key, _Entry]] = {lane: {} for lane in Lane}  # in order of age
        self._overtakes = 0

    def __len__(self) -> int:
        """Rows waiting, equal ones counted once."""
        return sum(map(len, self._lanes.values()))

    def add(self, job: ReadyJob) -> None:
        """Let the rows of `job`, of which there is at least one, wait for their runs."""
        lane = self._lanes[job.header.lane]
        progress = _Progress(job, missing=len(job.rows))
        for index, row in enumerate(job.rows):
            key = (tuple(row.ids), row.first_segment, row.specials_masked, row.compute_length)
            entry = lane.get(key)
            if entry is None:
                entry = lane[key] = _Entry(key, row)
            entry.places.append((progress, index))

    def next_run(self) -> Run | None:
        """Take the rows of the next run; None if nothing waits."""
        lane = self._choose_lane()
        if not lane:
            return None
        window = list(islice(lane.values(), WINDOW_RUNS * self.limits.rows))
        run = self._run_with(window[0], window)
        if any(progress.job.header.reduced_batch for entry in run.entries for progress, _ in entry.places):
            run = run.half_with(window[0])
        for entry in run.entries:
            del lane[entry.key]
        return run

    def _choose_lane(self) -> dict[Key, _Entry]:
        urgent, bulk = self._lanes[Lane.URGENT], self._lanes[Lane.BULK]
        if not bulk:
            return urgent
        if urgent and self._overtakes < MAX_OVERTAKES:
            self._overtakes += 1
            return urgent
        self._overtakes = 0
        return bulk

    def _run_with(self, oldest: _Entry, window: list[_Entry]) -> Run:
        """Of the runs into which the rows of `window` are cut, the one with `oldest` in it."""
        if oldest.row.depends_on_padding:  # right only where T is its own: with others of exactly that T
            width = oldest.row.compute_length
            same = (e for e in window if e.row.depends_on_padding and e.row.compute_length == width)
            return Run(list(islice(same, self._rows_that_fit(width))), width)
        rows = [entry for entry in window if not entry.row.depends_on_padding]
        rows.sort(key=lambda entry: len(entry.row), reverse=True)
        start = 0
        while True:
            width = len(rows[start].row)
            run = rows[start : start + self._rows_that_fit(width)]
            if oldest in run:
                return Run(run, width)
            start += len(run)

    def _rows_that_fit(self, width: int) -> int:
        return max(1, min(self.limits.rows, self.limits.tokens // width))

    def finish(self, run: Run, output: NDArray[np.generic]) -> Iterator[tuple[ReadyJob, NDArray[np.generic]]]:
        """The jobs that are complete with this run, each with its answer.

        `output` is [B, D], or [B, T, D] of a token-level strategy, a row for each of `run.rows`; so are the answers, with
        the B of the job, and the T of its longest row.
        """
        for entry, answer in zip(run.entries, output, strict=True):
            for progress, index in entry.places:
                whole = progress.put(index, answer)
                if whole is not None:
                    yield progress.job, whole

    def fail(self, run: Run) -> Iterator[ReadyJob]:
        """The jobs with a row in this run, which could not be computed; what else they had waiting is given up."""
        for entry in run.entries:
            for progress, _index in entry.places:
                if not progress.failed:
                    progress.failed = True
                    self._give_up(progress)
                    yield progress.job

    def drop(self, number: int) -> list[ReadyJob]:
        """Forget the rows that wait of request `number`; return its jobs of which there were any."""
        dropped: dict[int, _Progress] = {}
        for lane in self._lanes.values():
            for entry in lane.values():
                dropped.update((id(p), p) for p, _ in entry.places if p.job.header.request.number == number)
        for progress in dropped.values():
            progress.failed = True
            self._give_up(progress)
        return [progress.job for progress in dropped.values()]

    def clear(self) -> None:
        """Forget every row that waits; of a run that has been taken, jobs complete only if nothing of them waited."""
        for lane in self._lanes.values():
            for entry in lane.values():
                for progress, _ in entry.places:
                    progress.failed = True
            lane.clear()

    def _give_up(self, failed: _Progress) -> None:
        lane = self._lanes[failed.job.header.lane]
        for key, entry in list(lane.items()):
            entry.places = [place for place in entry.places if place[0] is not failed]
            if not entry.places:
                del lane[key]
