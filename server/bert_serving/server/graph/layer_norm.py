"""LayerNorm in two forms: plain ops, which run anywhere, and a single fused kernel of oneDNN.

Runs in the exporter. The fused kernel takes half the time of the plain ops for a thousand rows, but has an overhead of
0.15 ms: below about a hundred rows the plain ops are faster. In the shapes, R is the number of rows and H the hidden
units of each.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from .checkpoint import Array
from .tf import tf, tf1

Tensor = Any

FUSED_LAYER_NORM = '_MklLayerNorm'

logger = logging.getLogger(__name__)


def plain_layer_norm(x: Tensor, gamma: Tensor, beta: Tensor | None, epsilon: float) -> Tensor:
    """Normalize each row of [R, H] to mean beta (0 without one) and standard deviation gamma.

    The formula avoids the order of TensorFlow's batch_normalization, x * scale + (beta - mean * scale): on x86 the
    optimizer of release 2.21 replaces that with the fused kernel but drops the epsilon and uses 0.001 instead.
    """
    mean = tf.reduce_mean(x, -1, keepdims=True)  # [R, 1]
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), -1, keepdims=True)  # [R, 1]
    scaled = (x - mean) * tf.math.rsqrt(variance + epsilon) * gamma  # [R, H]
    return scaled if beta is None else scaled + beta  # [R, H]


def fused_layer_norm(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> Tensor:
    """The same by oneDNN, on an x86 CPU only. It sums in float32 for every type of `x`, `gamma` and `beta`.

    No public function creates this op, so it is created by name.
    """
    attributes = {'epsilon': tf1.AttrValue(f=epsilon)}
    operation = x.graph.create_op(FUSED_LAYER_NORM, [x, gamma, beta], [x.dtype], attrs=attributes, name='LayerNorm')
    return operation.outputs[0]  # [R, H]


def can_fuse_layer_norm(dtype: Any) -> bool:
    """Whether TensorFlow on this machine has the fused kernel for `dtype`, and it uses its epsilon.

    This runs the kernel: a registered op might still not run on this processor, or give a wrong answer.
    """
    x = np.array([[3, 4, 5], [-2, 0, 2]], np.float32)
    gamma, beta = np.array([1, 2, 3], np.float32), np.array([0, 1, 0], np.float32)
    for epsilon in (1e-12, 1.0):
        expected = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + epsilon) * gamma + beta  # [R, H]
        try:
            answer = _on_cpu(dtype, x, gamma, beta, epsilon)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            logger.debug('no fused LayerNorm for %s: %s', dtype.name, error)
            return False
        if not np.allclose(answer, expected, rtol=0.02, atol=0.02):
            logger.warning(
                'fused LayerNorm of TensorFlow %s is inaccurate for %s; using unfused ops', tf.__version__, dtype.name
            )
            return False
    return True


def _on_cpu(dtype: Any, x: Array, gamma: Array, beta: Array, epsilon: float) -> Array:
    with tf.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(device_count={'GPU': 0})) as session:
        x, gamma, beta = (tf.constant(values, dtype) for values in (x, gamma, beta))
        answer: Array = session.run(tf.cast(fused_layer_norm(x, gamma, beta, epsilon), tf.float32))
    return answer
