"""Detect NaN and infinity in a model's output: in each result, and in a first run before serving.

Pure NumPy. A model with finite weights can still overflow, for certain tokens or combinations of tokens. So the worker
checks each result, and a first run finds most such models before they serve (docs/adr/0021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .device import Encoder

Array = NDArray[Any]

BLOCK = 1 << 16
"""Numbers to check at a time: as many as fit into the cache of a core."""

FLOAT16_EXPONENT = 0x7C00
"""The bits of the exponent. All of them are set only in infinity and NaN."""

TOKENS_A_ROW, ROWS_A_BATCH = 16, 8
"""The batch size of a first run: large enough for the large size class of a graph."""


def find_rows_not_finite(array: Array) -> list[int]:
    """Return the indexes of the rows of [B, D] or [B, T, D] that contain NaN or infinity."""
    numbers = array.reshape(-1)
    if all(_is_finite(numbers[start : start + BLOCK]) for start in range(0, numbers.size, BLOCK)):
        return []
    return [index for index, row in enumerate(array) if not _is_finite(row)]


def _is_finite(numbers: Array) -> bool:
    if numbers.dtype == np.float16:  # isfinite takes ten times as long
        bits = numbers.view(np.uint16) & np.uint16(FLOAT16_EXPONENT)
        return bool(bits.max(initial=0) != FLOAT16_EXPONENT)
    return bool(np.isfinite(numbers).all())


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The result of a first run: the number of tried tokens, and the ids of those without finite vectors."""

    tried: int
    failed: Sequence[int]


def try_tokens(
    encoder: Encoder,
    unusual_ids: Sequence[int],
    vocab_size: int,
    most_tokens: int | None,
    is_over: Callable[[], bool],
) -> FirstRun:
    """Compute rows of the ids 0 to `vocab_size` - 1 until a row is not finite, all ids are done, or `is_over()`.

    The first batch, with `unusual_ids` first, is always computed. The other ids follow in a fixed order that spreads
    over the vocabulary from the start. `most_tokens` is the maximum length of a row.
    """
    width = min(TOKENS_A_ROW, most_tokens or TOKENS_A_ROW)
    tried = 0
    for rows in _batches(_order(unusual_ids, vocab_size), width):
        if tried and is_over():
            break
        tried = min(tried + rows.size, vocab_size)
        bad = find_rows_not_finite(_encode(encoder, rows))
        if bad:
            return FirstRun(tried, _find_ids(encoder, rows[bad[0]]))
    return FirstRun(tried, ())


def _order(unusual_ids: Sequence[int], vocab_size: int) -> Array:
    first = np.asarray(unusual_ids, np.int32)
    others = np.setdiff1d(np.arange(vocab_size, dtype=np.int32), first)
    np.random.default_rng(0).shuffle(others)
    return np.concatenate([first, others])


def _batches(ids: Array, width: int) -> Iterator[Array]:
    """Cut the ids into arrays [ROWS_A_BATCH, width]. The last array is filled up from the first id on."""
    size = ROWS_A_BATCH * width
    for start in range(0, ids.size, size):
        yield np.resize(np.concatenate([ids[start : start + size], ids]), (ROWS_A_BATCH, width))


def _find_ids(encoder: Encoder, row: Array) -> list[int]:
    """Return the ids of a row that are not finite alone, or all ids if only a combination is not finite."""
    alone = find_rows_not_finite(_encode(encoder, row[:, np.newaxis]))
    return sorted({int(row[index]) for index in alone} or set(row.tolist()))


def _encode(encoder: Encoder, ids: Array) -> Array:
    return encoder.encode(ids, np.ones_like(ids), np.zeros_like(ids))
