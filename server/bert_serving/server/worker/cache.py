"""The cache of a worker: computed vectors for repeated rows.

Pure. The cache keeps the output of the graph for a row, before it is scaled, shortened or converted. So an entry serves
requests with different options. A worker has only one model.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .rows import Row

MAX_BYTES = 256 << 20
"""The maximum memory of the cache of a worker, for any number of rows."""

ENTRY_BYTES = 400
"""The approximate memory of an entry in addition to its numbers and ids."""

CacheKey: TypeAlias = 'tuple[bytes, int, tuple[int, ...], int | None, int]'


class RowCache:
    """An LRU cache of the results of at most `max_rows` rows."""

    def __init__(self, max_rows: int, max_bytes: int = MAX_BYTES) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._answers: OrderedDict[CacheKey, NDArray[np.generic]] = OrderedDict()
        self.bytes = 0
        """The approximate memory in use."""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._answers)

    def get(self, row: Row) -> NDArray[np.generic] | None:
        """Return the result of an equal row, [D] or [T, D] with T the length of the row, or None."""
        key = _key_of(row)
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, row: Row, answer: NDArray[np.generic]) -> None:
        """Store the result of a row, [D] or [T, D], where T can be larger than the length of the row."""
        key = _key_of(row)
        if key in self._answers:
            return
        answer = (answer[: len(row)] if answer.ndim == 2 else answer).copy()  # a view would keep the batch
        size = _bytes_of(key, answer)
        if size > self._max_bytes:
            return
        self._answers[key] = answer
        self.bytes += size
        while len(self._answers) > self._max_rows or self.bytes > self._max_bytes:
            self.bytes -= _bytes_of(*self._answers.popitem(last=False))


def _key_of(row: Row) -> CacheKey:
    fixed_width = row.compute_length if row.depends_on_padding else None
    return array('i', row.ids).tobytes(), row.first_segment, row.masked, fixed_width, row.prompt_length


def _bytes_of(key: CacheKey, answer: NDArray[np.generic]) -> int:
    return answer.nbytes + sys.getsizeof(key[0]) + ENTRY_BYTES
