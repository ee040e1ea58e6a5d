"""Rows whose values are not finite are found, and so are tokens of the vocabulary that make them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bert_serving.server.worker.finite import (
    BLOCK,
    ROWS_A_BATCH,
    TOKENS_A_ROW,
    FirstRun,
    find_rows_not_finite,
    try_tokens,
)

NOT_FINITE = [np.nan, np.inf, -np.inf]
A_BATCH = ROWS_A_BATCH * TOKENS_A_ROW


@pytest.mark.parametrize('dtype', [np.float32, np.float16])
@pytest.mark.parametrize('value', NOT_FINITE)
@pytest.mark.parametrize('shape', [(5, 3), (5, 4, 3), (5, BLOCK // 4 + 1)])
def test_the_rows_that_are_not_finite_are_named(dtype: type, value: float, shape: tuple[int, ...]) -> None:
    array = np.full(shape, np.finfo(dtype).max, dtype)
    array[0] = -array[0]
    array[1] = np.finfo(dtype).smallest_subnormal
    assert find_rows_not_finite(array) == []
    array[2].flat[-1] = array[4].flat[0] = value
    assert find_rows_not_finite(array) == [2, 4]


@pytest.mark.parametrize(
    'array', [np.zeros((0, 3), np.float32), np.zeros((2, 0, 3), np.float16), np.ones((2, 3), np.int32)]
)
def test_answers_without_numbers_and_whole_numbers_are_finite(array: NDArray[np.generic]) -> None:
    assert find_rows_not_finite(array) == []


@given(st.lists(st.floats(width=16), min_size=1))
def test_float16_is_told_from_its_bits_as_numpy_tells_it(values: list[float]) -> None:
    array = np.array(values, np.float16)[:, np.newaxis]
    assert find_rows_not_finite(array) == np.flatnonzero(~np.isfinite(array[:, 0])).tolist()


class Overflowing:
    """An encoder whose answer to a row is NaN if the row has one of the ids, or all of `together`."""

    def __init__(self, *ids: int, together: tuple[int, ...] = ()) -> None:
        self.ids = ids
        self.together = together
        self.batches: list[NDArray[np.int32]] = []

    def will_compile(self, rows: int, width: int) -> bool:
        return False

    def encode(
        self,
        input_ids: NDArray[np.int32],
        input_mask: NDArray[np.int32],
        input_type_ids: NDArray[np.int32],
        pooling_mask: NDArray[np.int32] | None = None,
    ) -> NDArray[np.generic]:
        assert input_ids.dtype == input_mask.dtype == input_type_ids.dtype == np.int32
        assert input_mask.all()
        assert not input_type_ids.any()
        self.batches.append(input_ids)
        is_bad = [
            any(id_ in row for id_ in self.ids) or (self.together != () and set(self.together) <= set(row.tolist()))
            for row in input_ids
        ]
        return np.where(np.array(is_bad)[:, np.newaxis], np.nan, np.ones((len(input_ids), 3))).astype(np.float32)


def never() -> bool:
    return False


def always() -> bool:
    return True


def run(
    encoder: Overflowing,
    vocab_size: int,
    unusual: tuple[int, ...] = (),
    is_over: Callable[[], bool] = never,
    most_tokens: int | None = None,
) -> FirstRun:
    return try_tokens(encoder, unusual, vocab_size, most_tokens, is_over)


@pytest.mark.parametrize('vocab_size', [1, 7, A_BATCH, 1000])
def test_with_time_enough_every_token_is_tried(vocab_size: int) -> None:
    encoder = Overflowing()
    assert run(encoder, vocab_size) == FirstRun(vocab_size, ())
    assert {batch.shape for batch in encoder.batches} == {(ROWS_A_BATCH, TOKENS_A_ROW)}, 'one shape, for XLA'
    assert set(np.concatenate(encoder.batches).ravel().tolist()) == set(range(vocab_size))


@pytest.mark.parametrize('bad', [0, 321, 999])
def test_a_token_that_overflows_is_found_wherever_it_is(bad: int) -> None:
    assert run(Overflowing(bad), 1000).failed == [bad]


def test_tokens_that_overflow_together_alone_are_named_with_their_row() -> None:
    found = run(Overflowing(together=(3, 4)), 1000, unusual=(3, 4)).failed
    assert {3, 4} <= set(found)
    assert len(found) == TOKENS_A_ROW


def test_the_unusual_tokens_are_tried_even_if_there_is_no_time() -> None:
    encoder = Overflowing(249_999)
    assert run(encoder, 250_000, is_over=always) == FirstRun(A_BATCH, ())
    assert run(encoder, 250_000, unusual=(249_999, 7), is_over=always) == FirstRun(A_BATCH, [249_999])


def test_any_beginning_is_spread_over_the_vocabulary_and_is_the_same_each_time() -> None:
    first, second = Overflowing(), Overflowing()
    for encoder in (first, second):
        run(encoder, 250_000, unusual=(5,), is_over=always)
    (ids,) = first.batches
    np.testing.assert_array_equal(ids, second.batches[0])
    assert ids[0, 0] == 5
    counts, _ = np.histogram(ids, bins=5, range=(0, 250_000))
    assert counts.min() > A_BATCH / 20


def test_rows_are_no_longer_than_the_model_allows() -> None:
    encoder = Overflowing()
    run(encoder, 100, most_tokens=4)
    assert {batch.shape for batch in encoder.batches} == {(ROWS_A_BATCH, 4)}
