"""How far a job is, and how long it will still take. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: `rows` are done, `begun` of them by earlier starts, in `seconds` of this start.

    `fraction` is the part of the input's bytes that has been read, None if unknown; `begun_fraction`, at this start.
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
        """About how many rows there are, by the bytes that have been read."""
        return None if not self.fraction else max(self.rows, round(self.rows / min(1.0, self.fraction)))

    @property
    def seconds_left(self) -> float | None:
        """About how long the rest will take, if it goes on as it has since this start."""
        if self.fraction is None or self.fraction <= self.begun_fraction:
            return None
        return self.seconds * (1.0 - min(1.0, self.fraction)) / (self.fraction - self.begun_fraction)


def fraction_done(sizes: Sequence[int], source: int, share: float) -> float:
    """The part of all bytes that has been read when `share` of the input `source` has been; all inputs are in order."""
    total = sum(sizes)
    return (sum(sizes[:source]) + share * sizes[source]) / total if total else 1.0
