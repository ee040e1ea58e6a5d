"""The maximum size of a batch, and where rows of different lengths are cut into several.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The maximum size of a batch: rows, tokens (rows times width), and pairs of tokens (rows times width squared).

    The scores of attention grow with the pairs, and everything else with the tokens. A single row is always allowed.

    A run of the graph costs as much as `run_cost` more tokens in a larger run. Two runs replace one where that saves
    more padding. None: one run is always cheaper. With `costs_pairs`, only attention computes padding, and the cost of
    a run is in pairs of tokens.
    """

    rows: int
    tokens: int
    pairs: int
    run_cost: int | None = None
    costs_pairs: bool = False

    def rows_of(self, width: int) -> int:
        """How many rows of this width, at least 1, a batch can have."""
        return max(1, min(self.rows, self.tokens // width, self.pairs // width**2))

    def has_room_for(self, length: int) -> bool:
        """Whether a row of this length is within the limits, so that it is not computed only because it is alone."""
        return length <= self.tokens and length**2 <= self.pairs

    def cut(self, lengths: Sequence[int]) -> int:
        """How many rows, at least 1, to compute together, out of rows of these lengths, the longest first.

        The others are shorter. Together with these, they would be padded to the length of the first.
        """
        power = 2 if self.costs_pairs else 1
        count, width = len(lengths), lengths[0] ** power
        while self.run_cost is not None:
            saved = [(count - start) * (width - lengths[start] ** power) for start in range(count)]
            if max(saved) <= self.run_cost:
                break
            count = saved.index(max(saved))
        return count
