"""The rules of shared calls: which requests can share one, how many, and how long one waits for others. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.pooling import PoolingStrategy
from .backend import Encoding
from .requests import Rows

MAX_ROWS = 16
"""The maximum number of texts in a shared call: by default, the server gives priority to so many."""

MAX_CHARACTERS = 256
"""The maximum characters of a request that shares a call. The others of the call wait until its texts are computed."""

BUSY_REQUESTS = 2
"""The number of pending requests from which on the server counts as busy, and a request waits for others."""

WAIT_SHARE = 0.05
"""How long to wait for other requests, as a share of the usual duration of a call."""

MAX_WAIT_S = 0.01
"""The maximum of that wait in seconds."""

LEAST_CALLS = 10
"""The time that a request must have left to share a call, in usual durations of a call. The earliest deadline of a call
ends it for all of its requests."""

SMOOTHING = 0.1
"""The weight of the latest call in the usual duration."""


def can_share(rows: Rows) -> bool:
    """Whether a request with these rows can share a call.

    Each of its texts must have a letter or a digit, and so a token. The answer for a text without a token depends on
    the other texts of its call.
    """
    texts = rows.items
    return (
        rows.form == 'texts'
        and len(texts) <= MAX_ROWS
        and sum(map(len, texts)) <= MAX_CHARACTERS
        and all(map(_has_word, texts))
    )


def _has_word(text: str) -> bool:
    """Whether a text has a letter or a digit, also after the normalization of any tokenizer."""
    return any(map(str.isalnum, unicodedata.normalize('NFKD', text)))


def max_shared_rows(status: Mapping[str, Any] | None) -> int:
    """The maximum number of texts in a shared call to a server with this status, or 1 if it should get none.

    Several workers share the number, because each could compute a separate call. A server of release 1.10 does not
    list its workers and gets none. The vectors of tokens, with the strategy NONE, would have the length of the longest
    text of the call.
    """
    status = status or {}
    workers = status.get('workers')
    if not workers or status.get('pooling_strategy') == PoolingStrategy.NONE.value:
        return 1
    priority: int = status.get('priority_batch_size', 1)
    return max(1, min(MAX_ROWS, priority) // len(workers))


def split_encoding(encoding: Encoding, sizes: Sequence[int]) -> list[Encoding]:
    """Split the result of a call, [B, D], into those of its requests, which have `sizes` rows."""
    parts, start = [], 0
    for size in sizes:
        end = start + size
        truncated = [row - start for row in encoding.truncated if start <= row < end]
        counts = None if encoding.counts is None else encoding.counts[start:end]
        parts.append(Encoding(encoding.array[start:end], '', counts, truncated))
        start = end
    return parts


class Pace:
    """The usual duration of a call, and the times that follow from it."""

    def __init__(self) -> None:
        self._usual_s = 0.0

    def record(self, seconds: float) -> None:
        """Record the duration of a call."""
        self._usual_s += SMOOTHING * (seconds - self._usual_s)

    @property
    def least_left_s(self) -> float:
        """The seconds until its deadline that a request must have left to share a call."""
        return LEAST_CALLS * self._usual_s

    @property
    def wait_s(self) -> float:
        """The seconds that a request waits for others while the server is busy."""
        return min(MAX_WAIT_S, WAIT_SHARE * self._usual_s)
