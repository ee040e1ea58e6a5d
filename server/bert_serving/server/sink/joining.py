"""Join the parts of a request into one array, as they arrive.

A reply can have hundreds of megabytes, and the sink serves all clients in one thread. So the sink copies each part to
its place when it arrives. It copies the other parts later in slices, and serves other clients in between.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from orjson import Fragment

from ..protocol.ring import Part
from ..protocol.wire import Answer, encode_json

TOKEN_BYTES = 64
"""The memory of a token in the reply, as a string in a list."""

SLICE_BYTES = 4 << 20
"""Bytes to copy at a time, which takes a few milliseconds."""

Array: TypeAlias = NDArray[Any]
Details: TypeAlias = 'Sequence[Any] | Fragment | None'


def _token_bytes(answer: Answer) -> int:
    return TOKEN_BYTES * sum(map(len, answer.tokens)) if isinstance(answer.tokens, list) else 0


def expected_bytes(part: Part) -> int:
    """Return the minimum bytes of the whole array of a request, according to this part."""
    shape = part.answer.shape
    if part.width:
        shape = [shape[0], max(part.width, shape[1]), *shape[2:]]
    return part.header.request.total_rows * math.prod(shape[1:]) * np.dtype(part.answer.dtype).itemsize


def is_whole(part: Part) -> bool:
    """Return whether a part is already the whole answer to its request: the only part, without padding."""
    request, answer = part.header.request, part.answer
    return request.parts == 1 and answer.shape[0] == request.total_rows and part.width in (0, answer.shape[1])


class PartJoiner:
    """Joins the parts of one request into one array of `total_rows` rows in C order.

    Token-level parts, [rows, t, D], and token ids, [rows, t], are padded with zeros on axis 1 to the largest `width` of
    any part, as in 1.10. A part that is large, or wider than the parts before it, waits until all parts have arrived.
    Then `copy_rest` copies it.

    Attributes:
        held_bytes: the memory that the parts take, joined or not.
    """

    def __init__(self, total_rows: int, slice_bytes: int = SLICE_BYTES) -> None:
        """`slice_bytes` is the number of bytes to copy at a time."""
        self.held_bytes = 0
        self._total_rows = total_rows
        self._slice_bytes = slice_bytes
        self._first: Answer | None = None  # without its body
        self._has: Sequence[bool] = ()
        self._width = 0
        self._joined: Array | None = None
        self._filled = 0
        self._waiting: deque[tuple[int, Array]] = deque()
        self._details: list[tuple[int, Sequence[bytes]]] = []  # as JSON, by their first rows
        self._fault: ValueError | MemoryError | None = None

    @property
    def is_joined(self) -> bool:
        """Whether nothing is left for `copy_rest`."""
        return not self._waiting

    def add(self, part: Part) -> None:
        """Add a part. If it does not match the others, or does not fit into memory, `answer` raises the error."""
        answer = part.answer
        if self._fault is not None:
            return
        if self._first is None:
            self._first = replace(answer, body=b'', tokens=None)
            self._has = [each is not None for each in _details_of(answer)]
        details = _details_of(answer)
        if any(each is not None for each in details):
            self._details.append((part.header.first_row, [encode_json(each or [])[1:-1] for each in details]))
        self._width = max(self._width, part.width)
        self.held_bytes += _token_bytes(answer)
        first_row = part.header.first_row
        try:
            array = np.frombuffer(answer.body, np.dtype(answer.dtype)).reshape(answer.shape)
            if not self._is_copied_now(array):
                self._waiting.append((first_row, array))
                self.held_bytes += array.nbytes
                return
            joined = self._joined = self._allocate() if self._joined is None else self._joined
            for _ in self._copy(array, first_row, joined):
                pass  # it is no larger than a slice
            self._filled += len(array)
            self.held_bytes += len(array) * _row_bytes(joined)
        except (ValueError, MemoryError) as error:
            self._fail(error)

    def copy_rest(self) -> Iterator[None]:
        """Copy the waiting parts, a slice at each step, and free the memory of each part after its copy."""
        try:
            old, joined = self._joined, self._joined
            if joined is None or joined.shape != self._shape:
                joined = self._joined = self._allocate()
                if old is not None:
                    yield from self._copy(old, 0, joined)
            del old
            while self._waiting:
                first_row, array = self._waiting.popleft()
                yield from self._copy(array, first_row, joined)
                self._filled += len(array)
                del array
        except (ValueError, MemoryError) as error:
            self._fail(error)

    def answer(self) -> Answer:
        """Return the joined array, after `copy_rest` has copied everything.

        Raises:
            ValueError: rows are missing, or the dtypes or shapes of the parts differ.
            MemoryError: the whole is too large.
        """
        first, joined = self._first, self._joined
        if self._fault is not None:
            raise self._fault
        if first is None or joined is None or self._filled != self._total_rows:
            raise ValueError('%d rows for a request of %d' % (self._filled, self._total_rows))
        in_order = [details for _, details in sorted(self._details, key=itemgetter(0))]
        tokens, counts, truncated = (
            Fragment(b'[%s]' % b','.join(filter(None, (details[kind] for details in in_order)))) if has else None
            for kind, has in enumerate(self._has)
        )
        body = joined.reshape(-1).view(np.uint8).data
        return Answer(first.dtype, list(joined.shape), body, tokens, counts, truncated)

    @property
    def _shape(self) -> tuple[int, ...]:
        """The shape of the whole array, according to the parts so far."""
        shape = [] if self._first is None else self._first.shape[1:]
        return (self._total_rows, self._width, *shape[1:]) if self._width else (self._total_rows, *shape)

    def _is_copied_now(self, array: Array) -> bool:
        fits = self._joined is None or self._joined.shape == self._shape
        return fits and not self._waiting and array.nbytes <= self._slice_bytes

    def _allocate(self) -> Array:
        first = self._first
        return np.zeros(self._shape, None if first is None else np.dtype(first.dtype))

    def _copy(self, array: Array, first_row: int, joined: Array) -> Iterator[None]:
        """Copy rows to their place, a slice at each step."""
        axes = 2 if self._width else 1  # from here on all parts must agree
        if array.dtype != joined.dtype or array.ndim != joined.ndim or array.shape[axes:] != joined.shape[axes:]:
            raise ValueError('%s %s and %s %s' % (joined.dtype, joined.shape, array.dtype, array.shape))
        if first_row + len(array) > len(joined):
            raise ValueError('rows up to %d for a request of %d' % (first_row + len(array), len(joined)))
        columns = slice(array.shape[1]) if self._width else slice(None)
        at_once = max(1, self._slice_bytes // max(1, _row_bytes(array)))
        for start in range(0, len(array), at_once):
            rows = array[start : start + at_once]
            joined[first_row + start : first_row + start + len(rows), columns] = rows
            yield

    def _fail(self, error: ValueError | MemoryError) -> None:
        self._fault = error
        self._joined = None
        self._waiting.clear()


def _details_of(answer: Answer) -> tuple[Details, Details, Details]:
    return answer.tokens, answer.token_counts, answer.truncated_rows


def _row_bytes(array: Array) -> int:
    return math.prod(array.shape[1:]) * array.itemsize
