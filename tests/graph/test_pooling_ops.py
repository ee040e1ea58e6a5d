"""The pooling strategies against NumPy, which pools one row after another over the tokens that count."""

from __future__ import annotations

import numpy as np
import pytest

from bert_serving.server.graph.pooling_ops import POOLING
from bert_serving.server.graph.tf import tf, tf1
from bert_serving.server.model.pooling import PoolingStrategy
from graph import reference

ROWS, TOKENS, WIDTH = 5, 9, 13

over_tokens = pytest.mark.parametrize('strategy', POOLING, ids=str)


def pool(strategy, x, mask):
    with tf.Graph().as_default(), tf1.Session() as session:
        return session.run(POOLING[strategy](tf.constant(x), tf.constant(mask)))


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(size=(ROWS, TOKENS, WIDTH)).astype(np.float32)


@pytest.fixture
def mask():
    return (np.arange(TOKENS) < np.array([[9], [1], [4], [8], [2]])).astype(np.int32)


def test_every_strategy_is_defined_over_tokens_or_uses_the_pooler():
    assert {strategy for strategy in PoolingStrategy if not strategy.uses_pooler} == set(POOLING)


@over_tokens
def test_like_numpy(strategy, x, mask):
    answer = pool(strategy, x, mask)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, reference.pool(strategy.name, x, mask), rtol=1e-5, atol=1e-6)


@over_tokens
def test_with_holes_in_the_mask(strategy, x, mask):
    """As `-mask_cls_sep` makes them: LAST_TOKEN then counts what is left, and lands before the true end."""
    mask[:, 0] = 0
    mask[1] = [0, 0, 1, 0, 1, 1, 0, 0, 0]
    answer = pool(strategy, x, mask)
    np.testing.assert_allclose(answer, reference.pool(strategy.name, x, mask), rtol=1e-5, atol=1e-6)
    if strategy is PoolingStrategy.LAST_TOKEN:
        np.testing.assert_array_equal(answer[1], x[1, 2])


@over_tokens
def test_row_with_everything_masked_is_finite_and_leaves_the_others_alone(strategy, x, mask):
    expected = pool(strategy, x, mask)
    mask[3] = 0
    answer = pool(strategy, x, mask)
    others = [0, 1, 2, 4]
    np.testing.assert_array_equal(answer[others], expected[others])
    assert np.isfinite(answer).all()


@pytest.mark.parametrize('strategy', [PoolingStrategy.FIRST_TOKEN, PoolingStrategy.LAST_TOKEN], ids=str)
def test_one_token_of_a_row_with_everything_masked_is_its_first(strategy, x, mask):
    mask[3] = 0
    np.testing.assert_array_equal(pool(strategy, x, mask)[3], x[3, 0])


def test_nothing_to_average_is_zero(x, mask):
    mask[3] = 0
    np.testing.assert_array_equal(pool(PoolingStrategy.REDUCE_MEAN, x, mask)[3], np.zeros(WIDTH))
