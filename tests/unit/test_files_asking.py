"""One text at fault costs its own row alone; and the estimate of the time that is left."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_serving.server.files.asking import Encoded, RowsRefusedError, Vectors, encode_texts, scattered
from bert_serving.server.files.estimate import Progress, fraction_done


class Server:
    """Refuses each request that has a text of `at_fault`."""

    def __init__(self, at_fault: set[str]) -> None:
        self.at_fault = at_fault
        self.requests = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.requests += 1
        wrong = self.at_fault.intersection(texts)
        if wrong:
            raise RowsRefusedError('cannot take %s' % min(wrong))
        return Vectors(np.array([[float(text), 1.0] for text in texts], np.float32), 3 * len(texts))


@settings(deadline=None)
@given(st.integers(0, 40), st.sets(st.integers(0, 39)))
def test_all_texts_but_those_at_fault_have_their_vectors(count: int, at_fault: set[int]) -> None:
    server = Server({str(number) for number in at_fault})
    encoded = encode_texts([str(number) for number in range(count)], server)
    wrong = {number for number in at_fault if number < count}
    assert encoded.errors == {number: 'cannot take %d' % number for number in wrong}
    assert encoded.places == [number for number in range(count) if number not in wrong]
    assert encoded.tokens == 3 * len(encoded.places)
    array = scattered(encoded, [2 * number for number in range(count)], 2 * count, 2, 'float32')
    assert array.shape == (2 * count, 2)
    for row in range(2 * count):
        is_there = row % 2 == 0 and row // 2 not in wrong
        assert array[row].tolist() == ([row / 2, 1.0] if is_there else [0.0, 0.0])


def test_one_text_at_fault_costs_few_requests() -> None:
    server = Server({'777'})
    encode_texts([str(number) for number in range(1024)], server)
    assert server.requests <= 1 + 2 * math.log2(1024)


def test_an_answer_of_one_request_is_not_copied() -> None:
    array = np.ones((2, 3), np.float32)
    assert scattered(Encoded([array], [0, 1], {}, 0), [0, 1], 2, 3, 'float32') is array


@pytest.mark.parametrize(('width', 'dtype'), [(4, 'float32'), (3, 'float16')])
def test_vectors_of_another_model_are_refused(width: int, dtype: str) -> None:
    with pytest.raises(ValueError, match='expected vectors of %d %s' % (width, dtype)):
        scattered(Encoded([np.ones((2, 3), np.float32)], [0, 1], {}, 0), [0, 1], 2, width, dtype)


def test_the_estimate_goes_by_the_bytes_read_since_this_start() -> None:
    assert fraction_done([100, 300], 0, 0.5) == 0.125
    assert fraction_done([100, 300], 1, 1.0) == 1.0
    assert fraction_done([0], 0, 0.0) == 1.0
    progress = Progress(500, 0, 0, begun=300, fraction=0.5, begun_fraction=0.3, seconds=10.0)
    assert progress.rows_per_s == 20.0
    assert progress.total == 1000
    assert progress.seconds_left == pytest.approx(25.0)


def test_where_the_size_is_unknown_nothing_is_estimated() -> None:
    progress = Progress(500, 0, 0, begun=0, fraction=None, begun_fraction=0.0, seconds=0.0)
    assert (progress.rows_per_s, progress.total, progress.seconds_left) == (0.0, None, None)
    assert Progress(5, 0, 0, 5, 0.5, 0.5, 1.0).seconds_left is None
