"""The layers on top of an encoder: the pooler of pre-training and the heads for classification, all in float32."""

from __future__ import annotations

from .activations import ACTIVATIONS
from .constants import Constants
from .inputs import Inputs, Tensor
from .layer_norm import plain_layer_norm
from .ops import Ops
from .pooling_ops import reduce_mean
from .tf import tf


def pooler(constants: Constants, first: Tensor) -> Tensor:
    """A dense layer with tanh over [CLS]. From [B, H] to [B, H]."""
    with tf.name_scope('pooler'):
        return tf.tanh(_dense(constants, 'pooler/dense', first, has_bias=True))  # [B, H]


def logits(ops: Ops, state: Tensor) -> Tensor:
    """The logits of the head: from the state of each row, [B, H], to [B, number of labels]."""
    classifier, constants = ops.config.classifier, ops.constants
    scope = classifier.scope
    with tf.name_scope(scope):
        x = ACTIVATIONS[classifier.activation](
            _dense(constants, scope + '/dense', state, classifier.has_bias)
        )  # [B, H]
        if classifier.has_norm:
            gamma = constants.get(scope + '/LayerNorm/gamma')
            beta = constants.get(scope + '/LayerNorm/beta') if ops.config.biases.norm else None
            x = plain_layer_norm(x, gamma, beta, ops.config.layer_norm_eps)  # [B, H]
    with tf.name_scope('head'):
        weights, bias = constants.get('output_weights'), constants.get('output_bias')
        return tf.nn.bias_add(tf.matmul(x, weights, transpose_b=True), bias)  # [B, number of labels]


def state_of_row(ops: Ops, layer: Tensor, inputs: Inputs, position: Tensor | None) -> Tensor:
    """The state of each row that the head takes, [B, H]; with `position`, the layer has no other."""
    if position is not None:
        return layer
    states = inputs.layout.unflatten(layer)  # [B, T, H]
    return reduce_mean(states, inputs.mask) if ops.config.classifier.pooling == 'mean' else states[:, 0]


SCORES = {'linear': lambda x: x, 'sigmoid': tf.sigmoid, 'softmax': tf.nn.softmax}
"""The functions from logits to scores, by their names in `model.config.Head`."""


def _dense(constants: Constants, scope: str, x: Tensor, has_bias: bool) -> Tensor:
    product = tf.matmul(x, constants.get(scope + '/kernel'))
    return tf.nn.bias_add(product, constants.get(scope + '/bias')) if has_bias else product
