"""What happens to vectors after the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.worker.postprocess import normalize


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
