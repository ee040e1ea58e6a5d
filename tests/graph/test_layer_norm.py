"""LayerNorm, plain and fused, against NumPy: above all, that the epsilon is the one that was asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bert_serving.server.graph import layer_norm
from bert_serving.server.graph.layer_norm import can_fuse_layer_norm, fused_layer_norm, plain_layer_norm
from bert_serving.server.graph.tf import tf, tf1
from graph import reference

ROWS, HIDDEN = 13, 37

DTYPES = [tf.float32, tf.bfloat16]
CLOSE: dict[Any, Any] = {tf.float32: {'rtol': 1e-4, 'atol': 2e-5}, tf.bfloat16: {'rtol': 0.03, 'atol': 0.03}}


@pytest.fixture
def arrays():
    """States so small that any other epsilon than the one asked for shows."""
    rng = np.random.default_rng(7)
    x, gamma, beta = rng.normal(0, 0.01, (ROWS, HIDDEN)), rng.normal(1, 0.3, HIDDEN), rng.normal(0, 0.3, HIDDEN)
    return x.astype(np.float32), gamma.astype(np.float32), beta.astype(np.float32)


@pytest.mark.parametrize('epsilon', [1e-12, 1e-5, 0.1])
@pytest.mark.parametrize('dtype', DTYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize('kind', [plain_layer_norm, fused_layer_norm])
def test_like_numpy(kind, dtype, epsilon, arrays):
    if kind is fused_layer_norm and not can_fuse_layer_norm(dtype):
        pytest.skip('this processor, or this TensorFlow, has no fused LayerNorm for %s' % dtype.name)
    with tf.Graph().as_default(), tf1.Session() as session:
        # Rounded to the type under test first, or the rounding of the inputs would be measured.
        x, gamma, beta = (session.run(tf.cast(tf.constant(values, dtype), tf.float32)) for values in arrays)
        inputs = [x, gamma, beta]
        tensors = inputs if kind is plain_layer_norm else [tf.constant(values, dtype) for values in inputs]
        answer = session.run(tf.cast(kind(*map(tf.convert_to_tensor, tensors), epsilon), tf.float32))
    np.testing.assert_allclose(answer, reference.layer_norm(x, gamma, beta, epsilon), **CLOSE[dtype])


@pytest.mark.parametrize('dtype', DTYPES, ids=lambda dtype: dtype.name)
def test_nothing_is_fused_where_the_op_is_not_there(dtype, monkeypatch):
    monkeypatch.setattr(layer_norm, 'FUSED_LAYER_NORM', 'NoSuchLayerNorm')
    assert not can_fuse_layer_norm(dtype)


def test_nothing_is_fused_where_the_epsilon_is_not_honored(monkeypatch, caplog):
    monkeypatch.setattr(layer_norm, 'fused_layer_norm', lambda x, g, b, epsilon: plain_layer_norm(x, g, b, 0.001))
    assert not can_fuse_layer_norm(tf.float32)
    assert 'is inaccurate for float32' in caplog.text
