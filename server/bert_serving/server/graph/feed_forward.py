"""The feed-forward half of a layer: to more units, through an activation, and back."""

from __future__ import annotations

import numpy as np

from .activations import ACTIVATIONS
from .inputs import Tensor
from .ops import Ops
from .tf import tf


def feed_forward(ops: Ops, layer: str, x: Tensor) -> Tensor:
    """From [R, H] to [R, H] with the weights of the scope `layer`, without norm and residual."""
    biases, activation = ops.config.biases, ACTIVATIONS[ops.config.hidden_act]
    if ops.config.gated:
        inner = _gated(ops, layer + '/intermediate', x)  # [R, F]
    else:
        inner = activation(ops.dense(layer + '/intermediate/dense', x, biases.feed_forward_in))  # [R, F]
    return ops.dense(layer + '/output/dense', inner, biases.feed_forward_out)  # [R, H]


def _gated(ops: Ops, scope: str, x: Tensor) -> Tensor:
    """Units after the activation times their gates, [R, F]; one product computes both."""
    parts, constants = ('dense', 'gate'), ops.constants
    kernel = constants.get(
        scope + '/dense_gate/kernel',
        ops.dtype,
        lambda variables: np.concatenate([variables['%s/%s/kernel' % (scope, part)] for part in parts], -1),
    )  # [H, 2*F]
    bias = None
    if ops.config.biases.feed_forward_in:
        bias = constants.get(
            scope + '/dense_gate/bias',
            ops.dtype,
            lambda variables: np.concatenate([variables['%s/%s/bias' % (scope, part)] for part in parts]),
        )  # [2*F]
    units, gate = tf.split(ops.product(x, kernel, bias), 2, -1)  # 2 * [R, F]
    return ops.clipped(ACTIVATIONS[ops.config.hidden_act](units) * gate)
