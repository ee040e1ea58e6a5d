"""Decide which rows go into the next batch, and when a job is complete.

Pure: tokenized jobs go in and batches come out; the output of a batch goes in and complete jobs come out. No socket,
thread or clock. In `worker.py`, the intake thread adds jobs and the compute thread takes batches, under their lock.

A batch consists of rows, not of jobs: it can contain rows of several requests, and the rows of a job can spread over
several batches. Padding costs as much as text, so rows of similar length belong together. The batcher sorts a window of
the oldest rows of a lane by length, and cuts it into batches (`batch_limits.py`). The batch with the oldest row is
next, so no row starves. If rows of several clients wait, every second batch is the one with the oldest row of the next
client in turn. Equal rows are computed once. With a cache, rows that were computed before are not computed again.

Urgent rows come before bulk rows, but after `MAX_OVERTAKES` urgent batches in a row, one waiting bulk batch is next. A
row that is longer than a whole batch counts as bulk, even if its job is urgent. So short urgent rows wait for at most
one long row, the one on the device.

There is no batching delay: when the device is free, the next batch is made of the waiting rows. If a worker has died on
a job, the next attempt uses batches of half the size (`JobHeader.reduced_batch`), which might fit into memory.
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
"""The maximum number of urgent batches in a row while bulk rows wait."""

WINDOW_BATCHES = 4
"""The size of the window in largest batches: enough rows of one length to fill a batch, while the rows of a job are
still computed close together in time."""

Key = tuple[tuple[int, ...], int, tuple[int, ...], int | None, int]
"""The key of a row. Rows with the same key are equal and have the same result."""


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A tokenized job, with one row for each text. No row is longer than `max_len`, 1.10's L of the job.

    `options` are the options of its request; rows that differ only in options after the graph are computed together.
    `truncated` are the truncated rows, as positions in the request.
    """

    header: JobHeader
    rows: Sequence[Row]
    max_len: int
    options: EncodingOptions | None = None
    truncated: Sequence[int] = ()


@dataclass(slots=True, eq=False)
class _PendingJob:
    """A job with missing rows, and the part of its result that is already computed."""

    job: ReadyJob
    missing: int
    output: NDArray[np.generic] | None = None
    failed: bool = False

    def put(self, index: int, answer: NDArray[np.generic]) -> NDArray[np.generic] | None:
        """Store the result of row `index`. Return the whole result if this was the last row.

        `answer` is [D], or [T, D] for a token-level strategy, with T the width of the batch.
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
    """A waiting row, and its places in one or several jobs."""

    key: Key
    row: Row
    length: int
    """The number of tokens, stored because every batch sorts the whole window by it."""
    fixed_width: int | None
    """The only possible T for the row, or None if any T from `length` on is possible."""
    places: list[tuple[_PendingJob, int]] = field(default_factory=list)

    @property
    def client(self) -> bytes:
        """The identity of the first client that asked for the row."""
        return self.places[0][0].job.header.request.identity


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to compute together, padded to `width` positions."""

    entries: Sequence[_Entry]
    width: int

    @property
    def rows(self) -> list[Row]:
        """The rows, in the order in which `Batcher.finish` expects their results."""
        return [entry.row for entry in self.entries]

    @property
    def tokens(self) -> int:
        """The number of tokens. The rest of the B*T positions is padding."""
        return sum(entry.length for entry in self.entries)

    def halves(self) -> tuple[Batch, Batch]:
        """Split the batch, of at least two rows, into two."""
        middle = len(self.entries) // 2
        return Batch(self.entries[:middle], self.width), Batch(self.entries[middle:], self.width)

    def half_with(self, entry: _Entry) -> Batch:
        """Make a batch of half the rows, including `entry`. A batch of one row stays the same."""
        others = [other for other in self.entries if other is not entry]
        return Batch([entry, *others[: (len(self.entries) + 1) // 2 - 1]], self.width)


class Batcher:
    """The queue of rows of one worker."""

    def __init__(self, limits: BatchLimits, cache: RowCache | None = None) -> None:
        self.limits = limits
        self.cache = cache
        self.num_cached = 0
        """The number of rows answered from the cache."""
        self._lanes: dict[Lane, dict[Key, _Entry]] = {lane: {} for lane in Lane}  # oldest first
        self._overtakes = 0
        # For each client, the number of the last batch that was made for its oldest row.
        self._turns: dict[bytes, int] = {}
        self._turn = 0
        self._is_turn = False

    def __len__(self) -> int:
        """The number of waiting rows. Equal rows count once."""
        return sum(map(len, self._lanes.values()))

    def add(self, job: ReadyJob) -> NDArray[np.generic] | None:
        """Queue the rows of `job`, at least one. Return its result if the cache has all rows."""
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
        """Remove and return the next batch, or None if no row is waiting."""
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
        """Choose the row that the next batch must contain: by turns the oldest, and that of the client waiting longest.

        So a client whose row is behind a thousand rows of another waits for two batches, not for all of those rows.
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
        """Cut the rows of `window` into batches, and return the batch with `oldest`."""
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
        """Put the rows of a computed batch into the cache. `output` is as in `finish`."""
        if self.cache is not None:
            for entry, answer in zip(batch.entries, output, strict=True):
                self.cache.put(entry.row, answer)

    def finish(self, batch: Batch, output: NDArray[np.generic]) -> Iterator[tuple[ReadyJob, NDArray[np.generic]]]:
        """Yield each job that `batch` completes, with its result.

        `output` has a row for each of `batch.rows`. It is [B, D], or [B, T, D] for a token-level strategy. A result has
        the same form, with B the number of the job's rows and T its longest row.
        """
        for entry, answer in zip(batch.entries, output, strict=True):
            for pending, index in entry.places:
                whole = pending.put(index, answer)
                if whole is not None:
                    yield pending.job, whole

    def fail(self, batch: Batch) -> Iterator[ReadyJob]:
        """Yield each job with a row in the failed `batch`, and drop its waiting rows."""
        for entry in batch.entries:
            for pending, _index in entry.places:
                if not pending.failed:
                    pending.failed = True
                    self._drop_waiting(pending)
                    yield pending.job

    def drop(self, number: int) -> list[ReadyJob]:
        """Drop the waiting rows of request `number`, and return the jobs that had any."""
        dropped: dict[int, _PendingJob] = {}
        for lane in self._lanes.values():
            for entry in lane.values():
                dropped.update((id(p), p) for p, _ in entry.places if p.job.header.request.number == number)
        for pending in dropped.values():
            pending.failed = True
            self._drop_waiting(pending)
        return [pending.job for pending in dropped.values()]

    def clear(self) -> None:
        """Drop all waiting rows. A batch taken earlier completes only jobs without dropped rows."""
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
