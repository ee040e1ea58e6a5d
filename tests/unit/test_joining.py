"""The arrays of the parts of a request become one array."""

from __future__ import annotations

import numpy as np

from bert_serving.server.sink.joining import join_parts
from unit.sink_double import a_part


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
    part = a_part()
    assert join_parts([part], 2) is part.answer


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
    assert join_parts([last, first], 3).token_counts == [3, 4, 5]
    assert join_parts([last, first], 3).truncated_rows == [1, 2]
    assert join_parts([last, first], 3).tokens is None


def test_tokens_come_in_the_order_of_the_rows() -> None:
    first = a_part(part=0, parts=2, first_row=0, rows=2, total=3, tokens=[['a'], ['b']])
    last = a_part(part=1, parts=2, first_row=2, rows=1, total=3, tokens=[['c', 'd']])
    assert join_parts([last, first], 3).tokens == [['a'], ['b'], ['c', 'd']]
