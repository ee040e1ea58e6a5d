"""Join the parts of a request into one array."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..protocol.ring import Part
from ..protocol.wire import Answer

TOKEN_BYTES = 64
"""Memory of a token that is shown, as a string in a list."""


def held_bytes(answer: Answer) -> int:
    """The memory that a part takes, roughly: its array, and the tokens that it shows."""
    tokens = 0 if answer.tokens is None else TOKEN_BYTES * sum(map(len, answer.tokens))
    return len(answer.body) + tokens


def expected_bytes(part: Part) -> int:
    """The bytes of the whole array of a request, at least, as this part shows."""
    shape = part.answer.shape
    if part.width:
        shape = [shape[0], max(part.width, shape[1]), *shape[2:]]
    return part.header.request.total_rows * math.prod(shape[1:]) * np.dtype(part.answer.dtype).itemsize


def join_parts(parts: Sequence[Part], total_rows: int) -> Answer:
    """Return the rows of all parts, in order, as one array of `total_rows` rows in C order.

    Token-level parts, [rows, t, D], and token ids, [rows, t], are padded with zeros on axis 1 to the largest `width` of
    any part, as in 1.10. A single part that needs no padding is returned without a copy.

    Raises:
        ValueError: rows are missing, or the dtypes or shapes of the parts differ.
        MemoryError: the whole is too large.
    """
    first = parts[0].answer
    width = max(part.width for part in parts)
    shape = [total_rows, *first.shape[1:]]
    if width:
        shape[1] = width
    if len(parts) == 1 and first.shape == shape:
        return first
    joined: NDArray[np.generic] = np.zeros(shape, np.dtype(first.dtype))
    fixed = 2 if width else 1  # the first axis in which all parts must agree
    filled = 0
    for part in parts:
        answer, row = part.answer, part.header.first_row
        array = np.frombuffer(answer.body, np.dtype(answer.dtype)).reshape(answer.shape)
        if array.dtype != joined.dtype or answer.shape[fixed:] != shape[fixed:] or array.ndim != joined.ndim:
            raise ValueError('%s %s and %s %s' % (first.dtype, first.shape, answer.dtype, answer.shape))
        where = (slice(row, row + len(array)), slice(array.shape[1]) if width else slice(None))
        joined[where] = array
        filled += len(array)
    if filled != total_rows:
        raise ValueError('%d rows for a request of %d' % (filled, total_rows))
    in_order = [part.answer for part in sorted(parts, key=lambda part: part.header.first_row)]
    tokens = [row for answer in in_order for row in answer.tokens or []]
    counts = [count for answer in in_order for count in answer.token_counts or []]
    truncated = [row for answer in in_order for row in answer.truncated_rows or []]
    return Answer(
        dtype=first.dtype,
        shape=shape,
        body=joined.reshape(-1).view(np.uint8).data,
        tokens=None if first.tokens is None else tokens,
        token_counts=None if first.token_counts is None else counts,
        truncated_rows=None if first.truncated_rows is None else truncated,
    )
