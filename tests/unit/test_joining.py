"""The arrays of the parts of a request become one array."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from bert_serving.server.protocol.ring import Part
from bert_serving.server.protocol.wire import Answer
from bert_serving.server.sink.joining import SLICE_BYTES, PartJoiner, is_whole
from unit.sink_double import a_part


def join_parts(parts: list[Part], total_rows: int, slice_bytes: int = SLICE_BYTES) -> Answer:
    joiner = PartJoiner(total_rows, slice_bytes)
    for part in parts:
        joiner.add(part)
    for _ in joiner.copy_rest():
        pass
    return joiner.answer()


def array_of(answer: Answer) -> np.ndarray:
    return np.frombuffer(answer.body, answer.dtype).reshape(answer.shape)


def test_token_level_parts_are_padded_with_zeros_to_the_widest() -> None:
    wide = a_part(part=0, parts=2, first_row=0, rows=1, total=3, array=np.ones((1, 5, 7), np.float32), width=6)
    narrow = a_part(part=1, parts=2, first_row=1, rows=2, total=3, array=np.ones((2, 3, 7), np.float32), width=4)
    answer = join_parts([narrow, wide], 3)
    assert answer.shape == [3, 6, 7]
    array = np.frombuffer(answer.body, answer.dtype).reshape(answer.shape)
    assert array[0, :5].all()
    assert not array[0, 5:].any()
    assert array[1:, :3].all()
    assert not array[1:, 3:].any()


def test_a_single_part_is_padded_too_if_it_has_to_be() -> None:
    part = a_part(rows=2, array=np.ones((2, 3, 7), np.float16), width=4)
    answer = join_parts([part], 2)
    assert (answer.dtype, answer.shape) == ('float16', [2, 4, 7])
    assert len(answer.body) == 2 * 4 * 7 * 2


def test_a_single_part_that_is_whole_is_passed_on_without_a_copy() -> None:
    assert is_whole(a_part())
    assert not is_whole(a_part(total=3))
    assert not is_whole(a_part(parts=2, total=4))
    assert not is_whole(a_part(array=np.ones((2, 3, 7), np.float32), width=4))


def test_tokenized_parts_are_padded_with_zeros_to_the_longest_row() -> None:
    long = a_part(part=0, parts=2, first_row=0, rows=1, total=3, array=np.array([[2, 7, 8, 3]], np.int32), width=4)
    short = a_part(part=1, parts=2, first_row=1, rows=2, total=3, array=np.array([[2, 3], [2, 3]], np.int32), width=2)
    answer = join_parts([short, long], 3)
    assert (answer.dtype, answer.shape) == ('int32', [3, 4])
    array = np.frombuffer(answer.body, np.int32).reshape(3, 4)
    assert array.tolist() == [[2, 7, 8, 3], [2, 3, 0, 0], [2, 3, 0, 0]]


def test_tokenized_rows_without_a_token_are_an_array_of_no_width() -> None:
    empty = [a_part(part, 2, part, 1, 2, array=np.zeros((1, 0), np.int32)) for part in range(2)]
    assert join_parts(empty, 2).shape == [2, 0]


def test_token_counts_and_truncated_rows_come_in_the_order_of_the_rows() -> None:
    first = a_part(part=0, parts=2, first_row=0, rows=2, total=3, token_counts=[3, 4], truncated_rows=[1])
    last = a_part(part=1, parts=2, first_row=2, rows=1, total=3, token_counts=[5], truncated_rows=[2])
    assert orjson.dumps(join_parts([last, first], 3).token_counts) == b'[3,4,5]'
    assert orjson.dumps(join_parts([last, first], 3).truncated_rows) == b'[1,2]'
    assert join_parts([last, first], 3).tokens is None


def test_tokens_come_in_the_order_of_the_rows() -> None:
    first = a_part(part=0, parts=2, first_row=0, rows=2, total=3, tokens=[['a'], ['b']])
    last = a_part(part=1, parts=2, first_row=2, rows=1, total=3, tokens=[['c', 'd']])
    assert orjson.dumps(join_parts([last, first], 3).tokens) == b'[["a"],["b"],["c","d"]]'


def test_lone_surrogates_and_rows_without_tokens_are_joined_too() -> None:
    shown: list[list[list[str]]] = [[['\ud800']], [[]], [['b']]]
    parts = [a_part(part, 3, part, 1, 3, tokens=tokens) for part, tokens in enumerate(shown)]
    none_truncated = [a_part(part, 2, part, 1, 2, truncated_rows=[]) for part in range(2)]
    assert orjson.dumps(join_parts(parts, 3).tokens) == b'[["\\ud800"],[],["b"]]'
    assert orjson.dumps(join_parts(none_truncated, 2).truncated_rows) == b'[]'


def test_what_comes_is_copied_at_once_so_that_nothing_is_left_for_the_last_part() -> None:
    joiner = PartJoiner(6)
    for part in (2, 0, 1):
        joiner.add(a_part(part, 3, 2 * part, 2, 6))
        assert joiner.is_joined
    assert joiner.held_bytes == 6 * 3 * 4
    assert array_of(joiner.answer()).tolist() == np.arange(18).reshape(6, 3).tolist()


@pytest.mark.parametrize('slice_bytes', [1, 12, 30, 1000])
def test_what_is_large_or_wider_than_the_first_is_copied_in_slices(slice_bytes: int) -> None:
    """No step copies more than a slice, or one row; every part is freed when it is copied."""
    wide = [np.full((2, 1 + part, 2), part, np.float32) for part in range(4)]
    parts = [a_part(part, 4, 2 * part, 2, 8, array=wide[part], width=1 + part) for part in range(4)]
    joiner = PartJoiner(8, slice_bytes)
    for part in parts:
        joiner.add(part)
    assert not joiner.is_joined
    steps = 0
    for _ in joiner.copy_rest():
        steps += 1
    assert joiner.is_joined
    assert steps >= 8 * 4 * 2 * 4 / max(slice_bytes, 32) / 4
    array = array_of(joiner.answer())
    assert array.shape == (8, 4, 2)
    for part in range(4):
        assert (array[2 * part : 2 * part + 2, : part + 1] == part).all()
        assert not array[2 * part : 2 * part + 2, part + 1 :].any()


def test_parts_that_do_not_fit_are_an_error_in_whichever_way_they_are_copied() -> None:
    first = a_part(part=0, parts=2, total=4)
    odd = a_part(part=1, parts=2, first_row=2, rows=2, total=4, array=np.zeros((2, 4), np.float32))
    for slice_bytes in (1, SLICE_BYTES):
        with pytest.raises(ValueError, match=r'\(4, 3\) and float32 \(2, 4\)'):
            join_parts([first, odd, a_part(part=2, parts=2, total=4)], 4, slice_bytes)
    with pytest.raises(ValueError, match='0 rows for a request of 4'):
        join_parts([], 4)
    with pytest.raises(ValueError, match='2 rows for a request of 4'):
        join_parts([first], 4)
