"""The maximum size of a batch, and the rule for cutting rows of different lengths into several batches. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The maximum size of a batch: rows, tokens (rows times width), and pairs of tokens (rows times width squared).

    The scores of attention grow with the pairs, and everything else with the tokens. A single row is always allowed.

    A run of the graph costs as much as `run_cost` more tokens in a larger run. Two runs replace one if they save more
    padding than that. If `run_cost` is None, one run is always cheaper. With `costs_pairs`, only attention computes
    padding, and the cost of a run is in pairs of tokens.
    """

    rows: int
    tokens: int
    pairs: int
    run_cost: int | None = None
    costs_pairs: bool = False

    def rows_of(self, width: int) -> int:
        """Return the maximum rows of this width in a batch, at least 1."""
        return max(1, min(self.rows, self.tokens // width, self.pairs // width**2))

    def has_room_for(self, length: int) -> bool:
        """Return whether a row of this length is within the limits, and not allowed only because it is a single row."""
        return length <= self.tokens and length**2 <= self.pairs

    def cut(self, lengths: Sequence[int]) -> int:
        """Return how many rows to compute together, at least 1. `lengths` are the lengths of the rows, longest first.

        The remaining rows are shorter. In the same run, they would be padded to the length of the first.
        """
        power = 2 if self.costs_pairs else 1
        count, width = len(lengths), lengths[0] ** power
        while self.run_cost is not None:
            saved = [(count - start) * (width - lengths[start] ** power) for start in range(count)]
            if max(saved) <= self.run_cost:
                break
            count = saved.index(max(saved))
        return count
