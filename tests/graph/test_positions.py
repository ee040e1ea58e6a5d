"""Tables and buckets of positions, against values of transformers and the properties that attention relies on."""

from __future__ import annotations

import numpy as np
import pytest

from bert_serving.server.graph.positions import bias_buckets, disentangled_rows, distances, rotary_tables
from bert_serving.server.model.config import Disentangled, RelativeBias, Rotary

MPNET = {-300: 15, -128: 15, -91: 15, -64: 14, -20: 10, -16: 10, -11: 8, -8: 8, -7: 7, -1: 1, 0: 0}
MPNET |= {1: 17, 7: 23, 8: 24, 11: 24, 16: 26, 20: 26, 64: 30, 91: 31, 128: 31, 300: 31}
"""The bucket of each distance that transformers 5.24 returns for 32 buckets up to 128."""

DEBERTA = {-511: 1, -400: 23, -300: 49, -200: 87, -129: 127, -128: 128, -127: 129, -20: 236, -1: 255, 0: 256}
DEBERTA |= {1: 257, 20: 276, 127: 383, 128: 384, 129: 385, 200: 425, 300: 463, 400: 489, 511: 511}
"""The row of each distance that transformers 5.24 returns for 256 buckets up to 512."""

SHORT = {-511: 0, -129: 0, -20: 1, -9: 2, -5: 3, -4: 4, -3: 5, -1: 7, 0: 8, 1: 9, 3: 11, 4: 12, 5: 13, 9: 14, 20: 15}
"""The same for 8 buckets up to 24."""


def rotated(x, tables, position):
    cosines, sines = tables[:, position]
    return x * cosines + np.roll(x, len(x) // 2) * sines


@pytest.mark.parametrize('rotary', [Rotary(10_000.0), Rotary(160_000.0, 1.7)])
def test_rotary_positions_turn_pairs_of_units_by_their_angles(rotary):
    size, x = 8, np.random.default_rng(0).normal(size=8)
    tables = rotary_tables(rotary, 20, size)
    assert tables.shape == (2, 20, size)
    assert tables.dtype == np.float32
    np.testing.assert_allclose(rotated(x, tables, 0), x)
    angles = 13 / (rotary.base ** (2 * np.arange(size // 2) / size) * rotary.scale)
    turned = (x[: size // 2] + 1j * x[size // 2 :]) * np.exp(1j * angles)
    np.testing.assert_allclose(rotated(x, tables, 13), [*turned.real, *turned.imag], rtol=1e-5, atol=1e-6)


def test_scores_of_rotated_vectors_depend_on_the_distance_only():
    tables = rotary_tables(Rotary(10_000.0), 100, 16)
    query, key = np.random.default_rng(0).normal(size=(2, 16))
    scores = [rotated(query, tables, start) @ rotated(key, tables, start + 7) for start in (0, 1, 50, 92)]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-4)
    assert abs(rotated(query, tables, 0) @ rotated(key, tables, 8) - scores[0]) > 1e-3


def test_distances_of_shorter_rows_are_in_the_middle():
    assert distances(4).tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert distances(4)[4 - 2 : 4 + 2].tolist() == distances(2).tolist()


def test_buckets_of_mpnet():
    buckets = bias_buckets(RelativeBias(32, 128), np.array(list(MPNET), np.int32))
    assert dict(zip(MPNET, buckets.tolist(), strict=True)) == MPNET


def test_buckets_keep_the_shape():
    assert bias_buckets(RelativeBias(4, 8), np.zeros((2, 3), np.int32)).shape == (2, 3)
    assert disentangled_rows(Disentangled(8, 24), np.zeros((2, 3), np.int32)).shape == (2, 3)


@pytest.mark.parametrize(('spec', 'expected'), [(Disentangled(256, 512), DEBERTA), (Disentangled(8, 24), SHORT)])
def test_rows_of_deberta(spec, expected):
    rows = disentangled_rows(spec, np.array(list(expected), np.int32))
    assert dict(zip(expected, rows.tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ('buckets', 'most', 'expected'),
    [
        (2, 64, [1, 1, 1, 1, 2, 3, 3, 3, 3]),
        (2, 2, [0, 0, 0, 1, 2, 3, 0, 0, 0]),
        (3, 64, [2, 2, 2, 2, 3, 4, 4, 4, 4]),
        (4, 3, [0, 0, 2, 3, 4, 5, 6, 0, 0]),
        (4, 1, [2, 2, 2, 3, 4, 5, 6, 6, 6]),
    ],
)
@pytest.mark.filterwarnings('error')
def test_rows_of_few_buckets_are_those_of_the_reference(buckets, most, expected):
    """Transformers 5.24 returned these rows, with logarithms of zero or divisions by zero."""
    rows = disentangled_rows(Disentangled(buckets, most), np.array([-9, -5, -2, -1, 0, 1, 2, 5, 9], np.int32))
    assert rows.tolist() == expected


def test_rows_without_buckets_end_at_the_span():
    spec = Disentangled(4, 24, has_buckets=False)
    assert disentangled_rows(spec, np.array([-9, -4, -3, 0, 3, 4, 9], np.int32)).tolist() == [0, 0, 1, 4, 7, 7, 7]
