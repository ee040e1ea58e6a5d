"""What happens to vectors and scores after the graph.

`data/quantized.json` holds what quantize_embeddings of sentence-transformers 6.2.0 makes of some vectors.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.worker.postprocess import Finish, convert, normalize

QUANTIZED = json.loads((Path(__file__).parent / 'data' / 'quantized.json').read_text('ascii'))
VECTORS = np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 2.0]], np.float32)
UNIT = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], np.float32)


@given(st.lists(st.lists(st.floats(-(2.0**50), 2.0**50, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_vector_has_length_1_and_its_direction(rows: list[list[float]]) -> None:
    vectors = np.array(rows, np.float32)
    scaled = normalize(vectors)
    for vector, unit in zip(vectors.astype(np.float64), scaled, strict=True):
        length = np.linalg.norm(vector)
        if length > 1e-10:
            np.testing.assert_allclose(unit, vector / length, rtol=1e-5, atol=1e-6)


def test_a_vector_of_zeros_stays_as_it_is() -> None:
    np.testing.assert_array_equal(normalize(np.zeros((2, 3), np.float32)), np.zeros((2, 3)))


@pytest.mark.parametrize('dtype', [np.float32, np.float16])
def test_the_type_is_kept(dtype: type) -> None:
    vectors = np.array([[300.0, 400.0]], dtype)
    scaled = normalize(vectors)
    assert scaled.dtype == dtype
    np.testing.assert_allclose(scaled, [[0.6, 0.8]], rtol=1e-3)


def test_no_rows() -> None:
    assert normalize(np.empty((0, 3), np.float32)).shape == (0, 3)


@pytest.mark.parametrize('case', QUANTIZED, ids=lambda case: str(case['dimensions']))
@pytest.mark.parametrize(('dtype', 'numpy_type'), [('binary', np.int8), ('ubinary', np.uint8)])
def test_sign_bits_are_those_of_sentence_transformers(case: dict[str, Any], dtype: Any, numpy_type: type) -> None:
    vectors = np.stack([np.frombuffer(bytes.fromhex(row), np.float32) for row in case['vectors']])
    converted = convert(vectors, dtype)
    assert converted.dtype == numpy_type
    assert converted.tolist() == case[dtype]


def test_int8_is_127_times_the_vector_of_length_1_rounded() -> None:
    converted = convert(np.array([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]], np.float32), 'int8')
    assert converted.dtype == np.int8
    assert converted.tolist() == [[76, -102, 0], [0, 0, 0], [0, 127, 0]]


def test_float16_is_saturated() -> None:
    converted = convert(np.array([[1e9, -1e9, 0.5]], np.float32), 'float16')
    assert converted.dtype == np.float16
    assert converted.tolist() == [[65504, -65504, 0.5]]


@pytest.mark.parametrize(
    ('normalizes', 'options', 'expected'),
    [
        (False, {}, VECTORS),
        (True, {}, UNIT),
        (True, {'normalize': False}, VECTORS),
        (False, {'normalize': True}, UNIT),
        (True, {'dimensions': 3, 'normalize': False}, VECTORS),
        (False, {'dimensions': 1}, VECTORS[:, :1]),
        (True, {'dimensions': 1}, UNIT[:, :1]),
        (True, {'dimensions': 1, 'normalize': False}, VECTORS[:, :1]),
        (True, {'dimensions': 1, 'normalize': True}, [[1], [0]]),
        (False, {'dimensions': 2, 'normalize': True}, [[0.6, 0.8], [0, 0]]),
    ],
)
def test_vectors_are_scaled_and_cut_in_the_order_of_sentence_transformers(
    normalizes: bool, options: dict[str, Any], expected: Any
) -> None:
    asked = EncodingOptions(**options) if options else None
    np.testing.assert_allclose(Finish(normalizes).apply(VECTORS, asked), expected, rtol=1e-6)


@pytest.mark.parametrize('dimensions', [1, 2, 3])
def test_vectors_that_were_cut_are_one_piece_of_memory(dimensions: int) -> None:
    """The worker sends their bytes as they are; it died of those of one dimension."""
    cut = Finish().apply(VECTORS, EncodingOptions(dimensions=dimensions))
    assert cut.flags.c_contiguous
    assert cut.reshape(-1).view(np.uint8).nbytes == 2 * 4 * dimensions


def test_states_of_tokens_are_neither_scaled_nor_cut() -> None:
    states = np.ones((1, 2, 4), np.float32)
    finish = Finish(normalizes=True)
    assert finish.apply(states, None) is states
    assert finish.apply(states, EncodingOptions(dtype='float16')).dtype == np.float16


@pytest.mark.parametrize(
    ('activation', 'expected'),
    [
        ('linear', [[-100.0, 0.0, 100.0]]),
        ('sigmoid', [[0.0, 0.5, 1.0]]),
        ('softmax', [[0.0, 0.0, 1.0]]),
    ],
)
def test_a_head_answers_scores_or_on_demand_logits(activation: str, expected: Any) -> None:
    logits = np.array([[-100.0, 0.0, 100.0]], np.float32)
    finish = Finish(activation=activation)
    for options in (None, EncodingOptions(raw=False)):
        scores = finish.apply(logits, options)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    np.testing.assert_array_equal(finish.apply(logits, EncodingOptions(raw=True)), logits)


def test_scores_have_the_type_of_the_server() -> None:
    logits = np.array([[0.0]], np.float16)
    assert Finish(activation='sigmoid').apply(logits, None).dtype == np.float16
    assert Finish(activation='sigmoid').apply(logits, EncodingOptions(dtype='float32')).dtype == np.float32
