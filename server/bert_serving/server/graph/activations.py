"""The activations of encoders, heads and Dense modules, as TensorFlow ops that all engines support.

Runs in the exporter. The names are those of `model/config.py` and `model/torch_activations.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .inputs import Tensor
from .tf import tf

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
_RRELU_SLOPE = (1 / 8 + 1 / 3) / 2
"""The mean of the slopes that RReLU draws in training."""

_LAPLACE_MEAN, _LAPLACE_DEVIATION = 0.707107, 0.282095


def gelu(x: Tensor) -> Tensor:
    """The Gaussian error linear unit as the paper defines it, in the order of ops that the optimizer fuses."""
    return 0.5 * (tf.math.erf(x * math.sqrt(0.5)) + 1.0) * x


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, with which some models were trained."""
    return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0)) - 1)


def clip(x: Tensor, limit: float) -> Tensor:
    """Limit x to the range from `-limit` to `limit`."""
    return tf.minimum(tf.maximum(x, -limit), limit)


def laplace(x: Tensor) -> Tensor:
    return 0.5 * (1 + tf.math.erf((x - _LAPLACE_MEAN) / (_LAPLACE_DEVIATION * math.sqrt(2))))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    'elu': elu,
    'gelu': gelu,
    'gelu_10': lambda x: clip(gelu(x), 10),
    'gelu_quick': lambda x: x * tf.sigmoid(1.702 * x),
    'gelu_tanh': gelu_tanh,
    'hardshrink': lambda x: x * tf.cast(tf.abs(x) > 0.5, x.dtype),
    'hardsigmoid': lambda x: tf.nn.relu6(x + 3) / 6,
    'hardswish': lambda x: x * tf.nn.relu6(x + 3) / 6,
    'hardtanh': lambda x: clip(x, 1),
    'laplace': laplace,
    'leaky_relu': lambda x: tf.nn.leaky_relu(x, 0.01),
    'linear': lambda x: x,
    'log_sigmoid': lambda x: -tf.math.softplus(-x),
    'mish': lambda x: x * tf.tanh(tf.math.softplus(x)),
    'relu': tf.nn.relu,
    'relu2': lambda x: tf.square(tf.nn.relu(x)),
    'relu6': tf.nn.relu6,
    'rrelu': lambda x: tf.nn.leaky_relu(x, _RRELU_SLOPE),
    'selu': lambda x: _SELU_SCALE * elu(x, _SELU_ALPHA),
    'sigmoid': tf.sigmoid,
    'silu': tf.nn.silu,
    'softmax': tf.nn.softmax,
    'softplus': tf.math.softplus,
    'softshrink': lambda x: x - clip(x, 0.5),
    'softsign': lambda x: x / (1 + tf.abs(x)),
    'sqrt_softplus': lambda x: tf.sqrt(tf.math.softplus(x)),
    'tanh': tf.tanh,
    'tanhshrink': lambda x: x - tf.tanh(x),
}
