"""Decide which rows go into the next batch, and when a job is complete.

Pure: tokenized jobs go in, batches come out; the output of a batch goes in, complete jobs come out. There is no socket,
thread or clock. The intake thread of `worker.py` adds jobs and its compute thread takes batches; the lock is theirs.

A batch consists of rows, not of jobs: it can join rows of several requests, and one job's rows can be spread over
several batches. Padding costs as much as text, so rows of similar length belong together: the oldest rows of a lane, up
to a window, are sorted by length and cut into batches (`batch_limits.py`), and the batch that holds the oldest row is
next. So no row starves, however much is added meanwhile. If rows of several clients wait, every second batch is that
with the oldest row of another client, each in its turn. Equal rows are computed once; with a cache, rows that were
computed before are not computed again.

Urgent rows go before bulk rows. After `MAX_OVERTAKES` urgent batches in a row that passed waiting bulk rows, one bulk
batch is taken. A row that is longer than a whole batch counts as bulk, even if its job is urgent: urgent short rows
then wait only for the long row that is on the device, however many others wait.

There is no batching delay: a batch is made of the rows that wait when the device is free. A job on which a worker has
died gets batches of half the size (`JobHeader.reduced_batch`): half may fit where the whole did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from ..protocol.options import EncodingOptions
from ..protocol.ring import JobHeader, Lane
from .batch_limits import BatchLimits
from .cache import RowCache
from .rows import Row

MAX_OVERTAKES = 8
"""Urgent batches after which a waiting bulk batch is taken."""

WINDOW_BATCHES = 4
"""The window holds as many rows as this number of the largest batches: enough rows of one length to fill a batch, while
the rows of a job are still computed close together in time."""

Key = tuple[tuple[int, ...], int, tuple[int, ...], int | None, int]
"""Rows with the same key are equal, and so are their answers."""


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A tokenized job, with one row for each of its texts. No row is longer than `max_len`, 1.10's L of the job.

    `options` are those of its request; rows that differ only in what they ask for after the graph are computed
    together. `truncated` are the rows that were cut, as places in the request.
    """

    header: JobHeader
    rows: Sequence[Row]
    max_len: int
    options: EncodingOptions | None = None
    truncated: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class _PendingJob:
    """A job that has rows left to compute, and the part of its answer that is there already."""

    job: ReadyJob
    missing: int
    output: NDArray[np.generic] | None = None
    failed: bool = False

    def put(self, index: int, answer: NDArray[np.generic]) -> NDArray[np.generic] | None:
        """Store the answer to row `index`; return the whole answer if this was the last row.

        `answer` is [D], or [T, D] for a token-level strategy, where T is the width of the batch.
        """
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
    """A waiting row, and every place in a job that its answer belongs to."""

    key: Key
    row: Row
    length: int
    """Tokens of the row. The whole window is sorted by it for every batch, so it is kept."""
    fixed_width: int | None
    """The only T at which the row can be computed; None if any T from `length` on is right."""
    places: list[tuple[_PendingJob, int]] = field(default_factory=list)

    @property
    def client(self) -> bytes:
        """The identity of the client that asked for it first."""
        return self.places[0][0].job.header.request.identity


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are computed together, padded to `width` positions."""

    entries: Sequence[_Entry]
    width: int

    @property
    def rows(self) -> list[Row]:
        """The rows, in the order in which `Batcher.finish` expects their answers."""
        return [entry.row for entry in self.entries]

    @property
    def tokens(self) -> int:
        """Positions that hold a token; the remaining ones of the B*T are padding."""
        return sum(entry.length for entry in self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """Two batches with the same rows; the batch must have at least two."""
        middle = len(self.entries) // 2
        return Batch(self.entries[:middle], self.width), Batch(self.entries[middle:], self.width)

    def half_with(self, entry: _Entry) -> Batch:
        """A batch of half the rows, `entry` among them; the same batch if it has a single row."""
        others = [other for other in self.entries if other is not entry]
        return Batch([entry, *others[: (len(self.entries) + 1) // 2 - 1]], self.width)


class Batcher:
    """The rows of one worker that wait for the device."""

    def __init__(self, limits: BatchLimits, cache: RowCache | None = None) -> None:
        self.limits = limits
        self.cache = cache
        self.num_cached = 0
        """Rows that the cache has answered."""
        self._lanes: dict[Lane, dict[Key, _Entry]] = {lane: {} for lane in Lane}  # oldest first
        self._overtakes = 0
        # When the oldest row of a client was last the one that a batch is made for, in such batches.
        self._turns: dict[bytes, int] = {}
        self._turn = 0
        self._is_turn = False

    def __len__(self) -> int:
        """The number of waiting rows; equal rows count once."""
        return sum(map(len, self._lanes.values()))

    def add(self, job: ReadyJob) -> NDArray[np.generic] | None:
        """Queue the rows of `job`, which has at least one; return its answer if the cache has all of it."""
        pending = _PendingJob(job, missing=len(job.rows))
        for index, row in enumerate(job.rows):
            if self.cache is not None and (cached := self.cache.get(row)) is not None:
                self.num_cached += 1
                whole = pending.put(index, cached)
                if whole is not None:
                    return whole
                continue
            fixed_width = row.compute_length if row.depends_on_padding else None
            key = (tuple(row.ids), row.first_segment, row.masked, fixed_width, row.prompt_length)
            lane = self._lanes[job.header.lane if self.limits.has_room_for(len(row.ids)) else Lane.BULK]
            entry = lane.get(key)
            if entry is None:
                entry = lane[key] = _Entry(key, row, len(row.ids), fixed_width)
            entry.places.append((pending, index))
        return None

    def next_batch(self) -> Batch | None:
        """Take the rows of the next batch; None if no row waits."""
        lane = self._choose_lane()
        if not lane:
            return None
        window = list(islice(lane.values(), WINDOW_BATCHES * self.limits.rows))
        first = self._choose_first(window)
        batch = self._batch_with(first, window)
        if any(pending.job.header.reduced_batch for entry in batch.entries for pending, _ in entry.places):
            batch = batch.half_with(first)
        for entry in batch.entries:
            del lane[entry.key]
        return batch

    def _choose_lane(self) -> dict[Key, _Entry]:
        urgent, bulk = self._lanes[Lane.URGENT], self._lanes[Lane.BULK]
        if not bulk:
            return urgent
        if urgent and self._overtakes < MAX_OVERTAKES:
            self._overtakes += 1
            return urgent
        self._overtakes = 0
        return bulk

    def _choose_first(self, window: list[_Entry]) -> _Entry:
        """The row that the next batch is made for: by turns the oldest of all, and that of the client waiting longest.

        So a client whose row is behind a thousand rows of another waits for two batches, not for all of theirs.
        """
        self._is_turn = not self._is_turn
        self._turn += 1
        if self._is_turn:
            self._turns[window[0].client] = self._turn
            return window[0]
        oldest: dict[bytes, _Entry] = {}
        for entry in window:
            oldest.setdefault(entry.client, entry)
        self._turns = {client: self._turns.get(client, 0) for client in oldest}
        client = min(self._turns, key=lambda client: self._turns[client])
        self._turns[client] = self._turn
        return oldest[client]

    def _batch_with(self, oldest: _Entry, window: list[_Entry]) -> Batch:
        """Cut the rows of `window` into batches and return the one that holds `oldest`."""
        if oldest.fixed_width is not None:
            width = oldest.fixed_width
            same = (entry for entry in window if entry.fixed_width == width)
            return Batch(list(islice(same, self.limits.rows_of(width))), width)
        entries = [entry for entry in window if entry.fixed_width is None]
        entries.sort(key=attrgetter('length'), reverse=True)
        start = 0
        while True:
            width = entries[start].length
            chosen = entries[start : start + self.limits.rows_of(width)]
            del chosen[self.limits.cut([entry.length for entry in chosen]) :]
            if oldest in chosen:
                return Batch(chosen, width)
            start += len(chosen)

    def remember(self, batch: Batch, output: NDArray[np.generic]) -> None:
        """Put the rows of a computed batch into the cache; `output` is that of `finish`."""
        if self.cache is not None:
            for entry, answer in zip(batch.entries, output, strict=True):
                self.cache.put(entry.row, answer)

    def finish(self, batch: Batch, output: NDArray[np.generic]) -> Iterator[tuple[ReadyJob, NDArray[np.generic]]]:
        """Yield each job that `batch` completes, with its answer.

        `output` has a row for each of `batch.rows` and is [B, D], or [B, T, D] for a token-level strategy. So is an
        answer, where B is the number of the job's rows and T its longest row.
        """
        for entry, answer in zip(batch.entries, output, strict=True):
            for pending, index in entry.places:
                whole = pending.put(index, answer)
                if whole is not None:
                    yield pending.job, whole

    def fail(self, batch: Batch) -> Iterator[ReadyJob]:
        """Yield each job that has a row in `batch`, which could not be computed, and drop its waiting rows."""
        for entry in batch.entries:
            for pending, _index in entry.places:
                if not pending.failed:
                    pending.failed = True
                    self._drop_waiting(pending)
                    yield pending.job

    def drop(self, number: int) -> list[ReadyJob]:
        """Drop the waiting rows of request `number`; return the jobs that had any."""
        dropped: dict[int, _PendingJob] = {}
        for lane in self._lanes.values():
            for entry in lane.values():
                dropped.update((id(p), p) for p, _ in entry.places if p.job.header.request.number == number)
        for pending in dropped.values():
            pending.failed = True
            self._drop_waiting(pending)
        return [pending.job for pending in dropped.values()]

    def clear(self) -> None:
        """Drop every waiting row. A batch taken earlier completes only those jobs that have no dropped row."""
        for lane in self._lanes.values():
            for entry in lane.values():
                for pending, _ in entry.places:
                    pending.failed = True
            lane.clear()

    def _drop_waiting(self, failed: _PendingJob) -> None:
        for lane in self._lanes.values():
            for key, entry in list(lane.items()):
                entry.places = [place for place in entry.places if place[0] is not failed]
                if not entry.places:
                    del lane[key]
