"""Estimate the progress and the remaining time of a job. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job: `rows` are done, `begun` of them by earlier runs, after `seconds` of this run.

    `fraction` is the share of the input's bytes that was read, or None if unknown. `begun_fraction` is its value at the
    start of this run.
    """

    rows: int
    errors: int
    tokens: int
    begun: int
    fraction: float | None
    begun_fraction: float
    seconds: float

    @property
    def rows_per_s(self) -> float:
        return (self.rows - self.begun) / self.seconds if self.seconds > 0 else 0.0

    @property
    def total(self) -> int | None:
        """The estimated number of rows, from the share of the bytes that was read."""
        return None if not self.fraction else max(self.rows, round(self.rows / min(1.0, self.fraction)))

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds for the rest, at the average speed of this run."""
        if self.fraction is None or self.fraction <= self.begun_fraction:
            return None
        return self.seconds * (1.0 - min(1.0, self.fraction)) / (self.fraction - self.begun_fraction)


def fraction_done(sizes: Sequence[int], source: int, share: float) -> float:
    """The share of all bytes that was read, after the inputs before `source` and `share` of `source` itself."""
    total = sum(sizes)
    return (sum(sizes[:source]) + share * sizes[source]) / total if total else 1.0
