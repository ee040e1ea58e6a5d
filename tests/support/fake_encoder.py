"""An encoder that needs no TensorFlow: what it answers can be computed by hand from the ids it is fed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]


class FakeEncoder:
    """Answers [B, 3] float32: the sum of a row's ids, the number of its tokens, the sum of its type ids.

    `seconds` is how long each batch takes; while `gate` is cleared, batches wait; `entered` says that one has begun.
    `fail_on` is an id that makes a batch fail; a row with an id of `not_finite` is all of that number.
    """

    def __init__(
        self, seconds: float = 0.0, fail_on: int | None = None, not_finite: Mapping[int, float] | None = None
    ) -> None:
        self.seconds = seconds
        self.fail_on = fail_on
        self.not_finite = not_finite or {}
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[tuple[int, int]] = []

    def will_compile(self, rows: int, width: int) -> bool:
        return False

    def encode(
        self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32, pooling_mask: Int32 | None = None
    ) -> NDArray[np.generic]:
        self.entered.set()
        self.gate.wait()
        time.sleep(self.seconds)
        self.batches.append((input_ids.shape[0], input_ids.shape[1]))
        if self.fail_on is not None and (input_ids == self.fail_on).any():
            raise MemoryError('the id %d is too much for me' % self.fail_on)
        answer = np.stack([input_ids.sum(1), input_mask.sum(1), input_type_ids.sum(1)], axis=1).astype(np.float32)
        for index, value in self.not_finite.items():
            answer[(input_ids == index).any(axis=1)] = value
        return answer


class SpellboundEncoder(FakeEncoder):
    """A `FakeEncoder` that does something before a batch with a certain token in it: `spells` has it by the token's id.

    A spell is given the number of rows of the batch that have the token.
    """

    def __init__(self, spells: Mapping[int, Callable[[int], None]], seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.spells = spells

    def encode(
        self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32, pooling_mask: Int32 | None = None
    ) -> NDArray[np.generic]:
        for token_id, spell in self.spells.items():
            rows = int((input_ids == token_id).any(axis=1).sum())
            if rows:
                spell(rows)
        return super().encode(input_ids, input_mask, input_type_ids)


class TokenLevelFakeEncoder(FakeEncoder):
    """Answers [B, T, 2] float32: each position's id and mask."""

    def encode(
        self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32, pooling_mask: Int32 | None = None
    ) -> NDArray[np.generic]:
        super().encode(input_ids, input_mask, input_type_ids)
        return np.stack([input_ids, input_mask], axis=2).astype(np.float32)
